"""What may be taken of the pods: the arithmetic of replicas and disruption budgets. Pure functions.

Pods and PodDisruptionBudgets are objects as the API has them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from harness.faults.budget import Margin
from harness.probes.pods import is_ready

Item: TypeAlias = Mapping[str, Any]
# Who owns a pod: the kind and the name of its controller.
Owner: TypeAlias = tuple[str, str]

_OPERATORS: Mapping[str, Callable[[str | None, Sequence[str]], bool]] = {
    "In": lambda value, values: value is not None and value in values,
    "NotIn": lambda value, values: value not in values,
    "Exists": lambda value, _: value is not None,
    "DoesNotExist": lambda value, _: value is None,
}


def refusal(
    victims: Sequence[Item],
    pods: Sequence[Item],
    budgets: Sequence[Item],
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
    lone = sorted(_called(pod) for pod in victims if owner(pod) is None)
    reasons = [f"nothing brings {name} back: it has no controller" for name in lone]
    at_once = 1 if one_by_one else len(victims)
    lines = [] if against_budget else list(allowed(victims, budgets, at_once))
    lines += [] if even_all else list(left(victims, pods))
    return "; ".join([*reasons, *(str(it) for it in lines if not it.holds)]) or None


def allowed(victims: Sequence[Item], budgets: Sequence[Item], at_once: int) -> Iterator[Margin]:
    """For each budget that covers a victim, the disruptions that it allows.

    No more than ``at_once`` of them go before others are back.
    """
    for budget in budgets:
        space = budget["metadata"]["namespace"]
        covered = [
            pod
            for pod in victims
            if pod["metadata"]["namespace"] == space
            and matches(budget["spec"].get("selector"), pod["metadata"].get("labels", {}))
        ]
        if covered:
            yield Margin(
                what=f"disruptions that the budget {_called(budget)} allows",
                have=int(budget.get("status", {}).get("disruptionsAllowed", 0)),
                lose=min(len(covered), at_once),
                need=0,
            )


def left(victims: Sequence[Item], pods: Sequence[Item]) -> Iterator[Margin]:
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


def matches(selector: Item | None, labels: Mapping[str, str]) -> bool:
    """Does a LabelSelector take in these labels? An empty one takes in all, none nothing."""
    if selector is None:
        return False
    wanted = selector.get("matchLabels") or {}
    expressions: Iterable[Item] = selector.get("matchExpressions") or ()
    return all(labels.get(key) == value for key, value in wanted.items()) and all(
        _OPERATORS[it["operator"]](labels.get(it["key"]), it.get("values") or ())
        for it in expressions
    )


def owner(pod: Item) -> Owner | None:
    """The controller of a pod; None when nobody would make it anew."""
    for reference in pod["metadata"].get("ownerReferences", ()):
        if reference.get("controller"):
            return str(reference["kind"]), str(reference["name"])
    return None


def _ready_by_owner(pods: Sequence[Item]) -> Counter[tuple[str, str, str]]:
    count: Counter[tuple[str, str, str]] = Counter()
    for pod in pods:
        controller = owner(pod)
        leaving = "deletionTimestamp" in pod["metadata"]
        if controller is not None and is_ready(pod["status"]) and not leaving:
            count[pod["metadata"]["namespace"], *controller] += 1
    return count


def _called(item: Item) -> str:
    return f"{item['metadata']['namespace']}/{item['metadata']['name']}"
