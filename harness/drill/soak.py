"""Soaking: hours of writing, with one fault after the other, each from the steady state.

Nothing is judged here. The value:

``wanted_s``, ``lasted_s``   how long it should have lasted, and did
``ended``       why it ended early; None when it did not
``turns``       each {"number", "at_s", "machine", "before", "error", "faults", "steady_s", "after"}
                as the runs of a drill have them (``conduct``), or "refused": why it was left out
``footprints``  each {"at_s", "seen"}: how much there was of what may leak (``footprint``)
``latency_ms``  the median time to an acknowledgement while nothing was broken, in each quarter
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from random import Random
from typing import Any

from harness.drill.conduct import Books, Stage, break_once, fault_of
from harness.drill.footprint import footprint
from harness.drill.schedule import Turn
from harness.drill.watch import watching
from harness.errors import HarnessError, Refused, TimedOut, Unhealed
from harness.settings.soaks import Soak
from harness.waiting import until

BY_HAND = "stopped by hand"


def soak(rules: Soak, turns: Iterable[Turn], wanted_s: float, stage: Stage) -> dict[str, Any]:
    """Take one turn after the other until the time is over, or the turns are.

    Ctrl-C ends it early, with all that is known by then; whoever called hears of it from
    ``ended``. Unhealed when a fault could not be taken back.
    """
    began = time.monotonic()
    told: dict[str, Any] = {
        "wanted_s": wanted_s,
        "ended": None,
        "turns": [],
        "footprints": [],
    }
    with stage.keeping(
        rules.ledger, machine="everything", writes_per_s=rules.writes_per_s
    ) as books:
        with _ending_well(told):
            _look(stage, began, told)
            for turn in turns:
                left_s = wanted_s - (time.monotonic() - began)
                if left_s <= turn.pause_s:
                    stage.tell(f"no more turns: {left_s:.0f} s are left, without faults")
                    _rest(left_s, rules, stage, began, told)
                    break
                stage.tell(
                    f"turn {turn.number}: {turn.fault} on {turn.machine} in {turn.pause_s:.0f} s, "
                    f"{left_s / 60:.0f} min are left"
                )
                _rest(turn.pause_s, rules, stage, began, told)
                if not _take(turn, rules, stage, books, began, told):
                    break
            _look(stage, began, told)
        told["lasted_s"] = round(time.monotonic() - began, 1)
        stage.tell("reading back what was written")
        told["ledger"] = dict(books.tally())
        told["latency_ms"] = books.latency_ms()
    return told


@contextmanager
def _ending_well(told: dict[str, Any]) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        told["ended"] = BY_HAND


def _take(
    turn: Turn, rules: Soak, stage: Stage, books: Books, began: float, told: dict[str, Any]
) -> bool:
    """One turn; False when the soak cannot go on after it."""
    stage.write("turn", f"turn {turn.number}", turn.model_dump(mode="json"))
    entry: dict[str, Any] = {
        "number": turn.number,
        "at_s": round(time.monotonic() - began, 1),
        "machine": turn.machine,
        "before": [],
        "faults": [],
    }
    told["turns"].append(entry)
    try:
        _, entry["before"] = stage.calm(rules.calm_within_s)
        if entry["before"]:
            told["ended"] = f"there was no steady state: {entry['before'][0]}"
            return False
        planned = turn.planned
        draw = Random(turn.seed)
        fault = fault_of(planned, turn.machine, stage.reach, draw, books.space)
        with (
            watching(stage.reach, turn.machine, stage.limits) as watch,
            stage.warning(watch.give_up),
        ):
            break_once(planned, fault, watch, books, stage, entry["faults"])
        stage.tell(f"turn {turn.number}: waiting for the steady state again")
        took_s, entry["after"] = stage.calm(rules.calm_within_s)
        entry["steady_s"] = round(took_s, 2)
    except Unhealed:
        raise
    except Refused as no:
        entry["refused"] = str(no).partition("\n")[0]
        return True
    except HarnessError as error:
        entry["error"] = str(error)
    if entry.get("after"):
        told["ended"] = f"the steady state did not come back: {entry['after'][0]}"
    return not told["ended"]


def _rest(seconds: float, rules: Soak, stage: Stage, began: float, told: dict[str, Any]) -> None:
    """Leave all alone for a while, and take footprints when they are due."""
    deadline = time.monotonic() + seconds

    def over() -> bool:
        last = told["footprints"][-1]["at_s"]
        if time.monotonic() - began - last >= rules.look_every_s:
            _look(stage, began, told)
        return time.monotonic() >= deadline

    try:
        until(over, within_s=max(0.0, seconds), what="the next turn", every_s=1.0)
    except TimedOut:
        return  # which is what was wanted


def _look(stage: Stage, began: float, told: dict[str, Any]) -> None:
    told["footprints"].append(
        {"at_s": round(time.monotonic() - began, 1), "seen": footprint(stage.reach)}
    )
