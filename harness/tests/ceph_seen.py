"""What was seen of Ceph, with one thing changed, and what a check says of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeAlias

from harness.checks import CHECKS
from harness.core.model import Case, Verdict
from harness.tests.clean_case import Seen, case

Defect: TypeAlias = Callable[[Seen], None]
DOMAIN, LOSS = "the failure domain is the host", "losing one machine leaves room"


def items(seen: Seen) -> Any:
    return seen["ceph"]["test"]["items"]


def item(name: str, value: Any) -> Defect:
    """The item is this."""
    return lambda seen: items(seen).update({name: {"value": value}})


def changed(name: str, change: Callable[[Any], object]) -> Defect:
    """The item's value is changed in place."""

    def defect(seen: Seen) -> None:
        change(items(seen)[name]["value"])

    return defect


def steps(*chosen: tuple[str, int, str]) -> list[dict[str, Any]]:
    choices = [{"op": op, "num": number, "type": kind} for op, number, kind in chosen]
    return [{"op": "take", "item": -1}, *choices, {"op": "emit"}]


def rule(*made: dict[str, Any]) -> Defect:
    return changed("crush", lambda crush: crush["rules"]["0"].update(steps=list(made)))


BY_HOST = steps(("chooseleaf_firstn", 0, "host"))
BY_OSD = steps(("choose_firstn", 0, "osd"))


def judge(check: str, seen: Seen, **declared: Any) -> Verdict:
    known = case(seen)
    cluster = replace(known.cluster, **declared)
    return CHECKS[check](
        Case(cluster=cluster, targets=known.targets, observations=known.observations)
    )
