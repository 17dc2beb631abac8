"""What may be taken of the pods: the arithmetic of replicas and disruption budgets. Pure functions.

Two things are told apart:

``refusal``   pods that a fault picks out and takes, whoever they are
``pod_margins``  what is lost with a machine. A set of one pod is away until its machine
              is back: it is made so, and no loss of that machine could be rehearsed otherwise. A
              set that wants several must have a ready one elsewhere; and a budget over several
              pods must not be used up already, for it says that some are missing as it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeAlias

from harness.faults.budget import Margin
from harness.faults.pods import Budget, Pod
from harness.transport.objects import Object, listed, must, texts, words

# How many pods each controller wants: namespace, kind, name.
Wanted: TypeAlias = Mapping[tuple[str, str, str], int]

# Nothing makes a pod without a controller anew; a machine's own pods are its own; what a job has
# not done it does later.
_NOT_SERVING = ("", "Node", "Job")
_OPERATORS: Mapping[str, Callable[[str | None, Sequence[str]], bool]] = {
    "In": lambda value, values: value is not None and value in values,
    "NotIn": lambda value, values: value not in values,
    "Exists": lambda value, _: value is not None,
    "DoesNotExist": lambda value, _: value is None,
}


def refusal(
    victims: Sequence[Pod],
    pods: Sequence[Pod],
    budgets: Sequence[Budget],
    *,
    one_by_one: bool = False,
    even_all: bool = False,
    against_budget: bool = False,
) -> str | None:
    """Why these pods may not be taken from among all ``pods``; None when they may.

    ``one_by_one``: each goes when its budget allows it again, as a drain does it. ``even_all`` lets
    every replica go, ``against_budget`` more than a budget allows. A pod that nothing brings back
    is never taken.
    """
    lone = sorted(str(pod) for pod in victims if pod.controller is None)
    reasons = [f"nothing brings {name} back: it has no controller" for name in lone]
    at_once = 1 if one_by_one else len(victims)
    lines = [] if against_budget else list(allowed(victims, budgets, at_once))
    lines += [] if even_all else list(left(victims, pods))
    return "; ".join([*reasons, *(str(it) for it in lines if not it.holds)]) or None


def pod_margins(
    machine: str,
    pods: Sequence[Pod],
    wanted: Wanted,
    budgets: Sequence[Budget],
    *,
    even_all: bool = False,
    against_budget: bool = False,
) -> Iterator[Margin]:
    """What is left of sets of several pods when a machine is lost, and what their budgets allow.

    ``even_all`` and ``against_budget`` leave one of the two out. A controller that is not among
    ``wanted`` wants as many pods as it has.
    """
    victims = [pod for pod in pods if pod.machine == machine and _serves(pod)]
    there = Counter(_set_of(pod) for pod in pods if not pod.is_done)
    several = [it for it in victims if (key := _set_of(it)) and wanted.get(key, there[key]) > 1]
    if not even_all:
        yield from left(several, pods)
    if not against_budget:
        used = [it for it in budgets if it.pods > 1]
        # However many are on the machine: a budget is for those who take pods away one by one.
        yield from allowed(victims, used, 1)


def allowed(victims: Sequence[Pod], budgets: Sequence[Budget], at_once: int) -> Iterator[Margin]:
    """For each budget that covers a victim, the disruptions that it allows.

    No more than ``at_once`` of them go before others are back.
    """
    for budget in budgets:
        covered = [
            pod
            for pod in victims
            if pod.namespace == budget.namespace and matches(budget.selector, pod.labels)
        ]
        if covered:
            yield Margin(
                what=f"disruptions that the budget {budget} allows",
                have=budget.allowed,
                lose=min(len(covered), at_once),
                need=0,
            )


def left(victims: Sequence[Pod], pods: Sequence[Pod]) -> Iterator[Margin]:
    """For each controller of a victim, the ready pods that it has left."""
    lost = _ready_by_owner(victims)
    have = _ready_by_owner(pods)
    for (space, kind, name), count in sorted(lost.items()):
        yield Margin(
            what=f"ready pods of {kind} {space}/{name}",
            have=have[space, kind, name],
            lose=count,
            need=1,
        )


def matches(selector: Object | None, labels: Mapping[str, str]) -> bool:
    """Does a LabelSelector take in these labels? An empty one takes in all, none nothing."""
    if selector is None:
        return False
    wanted = texts(selector, "matchLabels")
    return all(labels.get(key) == value for key, value in wanted.items()) and all(
        _OPERATORS[must(it, "operator")](labels.get(must(it, "key")), words(it, "values"))
        for it in listed(selector, "matchExpressions")
    )


def _serves(pod: Pod) -> bool:
    return pod.is_whole and pod.kind not in _NOT_SERVING


def _set_of(pod: Pod) -> tuple[str, str, str] | None:
    made_by = pod.controller
    return None if made_by is None else (pod.namespace, made_by.kind, made_by.name)


def _ready_by_owner(pods: Sequence[Pod]) -> Counter[tuple[str, str, str]]:
    return Counter(key for pod in pods if (key := _set_of(pod)) and pod.is_whole)
