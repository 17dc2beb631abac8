"""What a CRUSH rule guarantees about where the copies of an object lie."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

_CHOOSES = ("choose_firstn", "choose_indep", "choosemsr")
_CHOOSES_LEAVES = ("chooseleaf_firstn", "chooseleaf_indep")
# Steps that only tune the search, and the end of a draw.
_OTHERS = re.compile(r"set_.*|emit")


def failure_domain(steps: Sequence[Mapping[str, Any]]) -> str:
    """The type of bucket of which each holds one copy at most; ValueError when it cannot be told.

    From the lowest choice upwards: a choice of several means that what they are chosen from may
    hold several copies, so that only its own type separates them. A choice of one adds nothing.
    Several draws (take … emit) do not know of each other and may meet on one OSD: "none".
    """
    draws: list[list[tuple[int, str]]] = []
    for step in steps:
        op = str(step["op"])
        if op == "take":
            draws.append([])
        elif op in (*_CHOOSES, *_CHOOSES_LEAVES):
            draws[-1].append((int(step["num"]), str(step["type"])))
        elif not _OTHERS.fullmatch(op):
            raise ValueError(f"its step {op} is not known")
    if len(draws) != 1:
        return "none"
    for number, kind in reversed(draws[0]):
        if number != 1:
            return kind
    raise ValueError("it chooses but one place")
