"""Soaking: hours of writing, with one fault after the other, each from the steady state.

Nothing is judged here. Whatever comes of it is journalled as it happens (records of the kind
``soaked``), so that a soak whose harness was killed is put together again (``rebuilt``). The value:

``wanted_s``, ``lasted_s``   how long it should have lasted, and did
``ended``       why it ended early; None when it did not
``unhealed``    only if a fault could not be taken back: why
``turns``       each {"number", "at_s", "machine", "before", "error", "faults", "steady_s", "after"}
                as the runs of a drill have them (``conduct``), or "refused": why it was left out,
                or "broken_off": that its harness was not there at its end
``footprints``  each {"at_s", "seen"}: how much there was of what may leak (``footprint``)
``load``        what became of the requests (``loads``); None when none were made
``latency_ms``  the median time to an acknowledgement while nothing was broken, in each quarter
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random
from typing import Any

from harness.drill.ending import BY_HAND, how_it_ended, in_words
from harness.drill.ledger_health import Books, writing_again
from harness.drill.loads import Load, Mark, marking
from harness.drill.resource_usage import footprint
from harness.drill.runner import Stage, break_once, fault_of
from harness.drill.safety_monitor import watching
from harness.drill.schedule import Turn
from harness.errors import Refused, TimedOut, Unhealed
from harness.model import JSON
from harness.settings.soaks import Soak
from harness.waiting import until

SOAKED = "soaked"  # the kind of its records
EVERYTHING = "everything"  # what is hit, as its ledger is told: no one machine
BROKE_OFF = "its harness was killed, or broke off"
# What did not end by itself is taken up again.
RESUMABLE = (BY_HAND, BROKE_OFF)
_LOAD_UNKNOWN = f"{BROKE_OFF}: how its visitors fared is not known"


@dataclass
class _Told:
    """What is known so far of a part: its value, each piece of which is journalled at once."""

    value: dict[str, Any]
    began: float
    write: Callable[[str, Any], object]

    @property
    def lasted_s(self) -> float:
        return round(time.monotonic() - self.began, 1)

    def note(self, event: str, **data: Any) -> None:
        more = {"lasted_s": self.lasted_s, "ended": self.value["ended"]}
        self.write(SOAKED, {"event": event, **data, **more})


def soak(
    rules: Soak, turns: Iterable[Turn], wanted_s: float, stage: Stage, *, part: str
) -> dict[str, Any]:
    """Take one turn after the other until the time is over, or the turns are.

    However it ends, the ledger is read back, and all that is known by then is returned: ``ended``
    says why it ended early.
    """
    value: dict[str, Any] = {
        "wanted_s": wanted_s,
        "ended": None,
        "turns": [],
        "footprints": [],
    }
    told = _Told(value, time.monotonic(), lambda kind, data: stage.write(kind, part, data))
    with (
        stage.keeping(rules.ledger, machine=EVERYTHING, writes_per_s=rules.writes_per_s) as books,
        stage.loading(EVERYTHING) as load,
    ):
        mark = marking(books, load)
        told.note("begun", wanted_s=wanted_s, space=books.space, load=load.is_offered)
        with _ending_well(value):
            _look(stage, told)
            for turn in turns:
                left_s = wanted_s - (time.monotonic() - told.began)
                if left_s <= turn.pause_s:
                    stage.tell(f"no more turns: {left_s:.0f} s are left, without faults")
                    _rest(left_s, rules, stage, told)
                    break
                stage.tell(
                    f"turn {turn.number}: {turn.fault} on {turn.machine} in {turn.pause_s:.0f} s, "
                    f"{left_s / 60:.0f} min are left"
                )
                _rest(turn.pause_s, rules, stage, told)
                if not _take(turn, rules, stage, books, mark, told):
                    break
            _look(stage, told)
        value["lasted_s"] = told.lasted_s
        value["load"] = _fared(load)
        told.note("over", load=value["load"])
        stage.tell("reading back what was written")
        value["ledger"] = dict(books.tally())
        value["latency_ms"] = books.latency_ms()
    return value


def _fared(load: Load) -> JSON:
    """What became of the requests; a load that cannot say that is a trouble of its own."""
    try:
        return load.outcome(whole=True)
    except Exception as error:
        return {"phases": {}, "troubles": [in_words(error)]}


def rebuilt(events: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The value of a part that did not come to its end, from what was journalled of it.

    Without its ledger and ``latency_ms``: these are in the ledger's book. Of a load that was
    offered, what came of it is known once the part is over.
    """
    value: dict[str, Any] = {"ended": BROKE_OFF, "footprints": [], "load": None}
    turns: dict[int, Mapping[str, Any]] = {}
    over = False
    for it in events:
        value["lasted_s"] = it["lasted_s"]
        if it["event"] == "begun":
            value["wanted_s"] = it["wanted_s"]
            if it.get("load"):
                value["load"] = {"phases": {}, "troubles": [_LOAD_UNKNOWN]}
        elif it["event"] == "footprint":
            value["footprints"].append(it["footprint"])
        elif it["event"] == "turn begun":
            turns[it["turn"]["number"]] = {**it["turn"], "broken_off": BROKE_OFF}
        elif it["event"] == "turn over":
            turns[it["turn"]["number"]] = it["turn"]
        elif it["event"] == "over":
            over, value["load"] = True, it.get("load")
        # What ended by itself is over, even if nobody was there to say so.
        if over or it["ended"]:
            value["ended"] = it["ended"]
    return value | {"turns": list(turns.values())}


@contextmanager
def _ending_well(value: dict[str, Any]) -> Iterator[None]:
    """End the body early without an error: the code after it runs, and is told why it ended."""
    try:
        yield
    except (Exception, KeyboardInterrupt) as error:
        broke_off = in_words(error).partition("\n")[0]
        value["ended"] = value["ended"] or f"it broke off: {broke_off}"
        value |= how_it_ended(error)


def _take(turn: Turn, rules: Soak, stage: Stage, books: Books, mark: Mark, told: _Told) -> bool:
    """One turn; False when the soak cannot go on after it."""
    stage.write("turn", f"turn {turn.number}", turn.model_dump(mode="json"))
    entry: dict[str, Any] = {
        "number": turn.number,
        "at_s": told.lasted_s,
        "machine": turn.machine,
        "before": [],
        "faults": [],
    }
    told.note("turn begun", turn=entry)
    told.value["turns"].append(entry)
    try:
        _break(turn, rules, stage, books, mark, entry)
    except Unhealed as stays:
        entry["error"] = str(stays)
        told.value["ended"] = f"a fault stayed: {str(stays).partition(chr(10))[0]}"
        raise
    except Refused as no:
        entry["refused"] = str(no).partition("\n")[0]
    except Exception as error:  # a defect of the harness ends this turn, not the soak
        entry["error"] = in_words(error)
    finally:
        if entry["before"]:
            told.value["ended"] = f"there was no steady state: {entry['before'][0]}"
        if entry.get("after"):
            told.value["ended"] = f"the steady state did not come back: {entry['after'][0]}"
        told.note("turn over", turn=entry)
    return not told.value["ended"]


def _break(
    turn: Turn, rules: Soak, stage: Stage, books: Books, mark: Mark, entry: dict[str, Any]
) -> None:
    """The fault of a turn, from steady state to steady state; what came of it into ``entry``."""
    _, before = stage.calm(rules.calm_within_s)
    entry["before"] = list(before)
    if before:
        return
    planned = turn.planned
    fault = fault_of(planned, turn.machine, stage.reach, Random(turn.seed), books.space)
    with (
        watching(stage.reach, turn.machine, stage.limits) as watch,
        stage.warning(watch.give_up),
    ):
        break_once(planned, fault, watch, mark, stage, entry["faults"])
    stage.tell(f"turn {turn.number}: waiting for the steady state again")
    took_s, after = stage.calm(rules.calm_within_s)
    entry |= {"after": list(after), "steady_s": round(took_s, 2)}
    if not after:
        writing_again(books, rules.calm_within_s)


def _rest(seconds: float, rules: Soak, stage: Stage, told: _Told) -> None:
    """Leave all alone for a while, and take footprints when they are due."""
    deadline = time.monotonic() + seconds
    tried = [told.value["footprints"][-1]["at_s"]]

    def over() -> bool:
        if told.lasted_s - tried[-1] >= rules.look_every_s:
            tried.append(told.lasted_s)
            try:
                _look(stage, told)
            except Exception as error:  # the next one, or the last one, may come to something
                stage.tell(f"no footprint was taken: {in_words(error)}")
        return time.monotonic() >= deadline

    try:
        until(over, within_s=max(0.0, seconds), what="the next turn", every_s=1.0)
    except TimedOut:
        return  # which is what was wanted


def _look(stage: Stage, told: _Told) -> None:
    found = {"at_s": told.lasted_s, "seen": footprint(stage.reach)}
    told.value["footprints"].append(found)
    told.note("footprint", footprint=found)
