"""Decides which pods a fault may take, by replicas and disruption budgets. Pure functions.

There are two cases:

``refusal``   pods that a fault selects
``pod_margins``  pods that are lost with a machine. A set of one pod may be lost: it is made so,
              and otherwise no loss of its machine could be rehearsed. A set of several pods must
              have a ready pod elsewhere. A budget over several pods must still allow a disruption:
              otherwise pods are already missing.
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

# Pods that are not counted: those without a controller, static pods, and pods of a job, which
# finishes its work later.
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
    """Why the fault may not take these pods of all ``pods``; None if it may.

    ``one_by_one``: each pod is evicted when its budget allows it, as a drain does. ``even_all``
    takes every replica, ``against_budget`` more than a budget allows. A fault never takes a pod
    without a controller.
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
    """What is left of sets of several pods after the loss of a machine, and of their budgets.

    ``even_all`` skips the sets, ``against_budget`` the budgets. A controller that is not in
    ``wanted`` wants as many pods as it has.
    """
    victims = [pod for pod in pods if pod.machine == machine and _serves(pod)]
    there = Counter(_set_of(pod) for pod in pods if not pod.is_done)
    several = [it for it in victims if (key := _set_of(it)) and wanted.get(key, there[key]) > 1]
    if not even_all:
        yield from left(several, pods)
    if not against_budget:
        used = [it for it in budgets if it.pods > 1]
        # At most one of them counts: a budget applies to evictions, one at a time.
        yield from allowed(victims, used, 1)


def allowed(victims: Sequence[Pod], budgets: Sequence[Budget], at_once: int) -> Iterator[Margin]:
    """For each budget that covers a victim, the disruptions that it allows.

    At most ``at_once`` pods are gone at the same time.
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
    """True if a LabelSelector matches these labels. An empty one matches all, None matches none."""
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
