"""The life of a fault: nothing is broken without an undo, and whatever was broken can be mended."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import nullcontext, suppress
from functools import partial
from random import Random
from threading import Event
from typing import Any

import pytest

from harness.core.errors import HarnessError, NotProven, TimedOut, Unhealed
from harness.faults.fault_lifecycle import FaultLifecycle, FaultState
from harness.faults.model import Undo
from harness.tests.noop_fault import NoOp, Note, NoteUndoStore, stumbling
from harness.tests.stage import reach
from harness.transport import Reach

Events = list[tuple[str, Mapping[str, Any]]]


def life_of(note: Note) -> tuple[FaultLifecycle, Events]:
    told: Events = []
    lifecycle = FaultLifecycle(
        NoOp(id="f00d", machine="one", note=note),
        reach(),
        lambda event: told.append((event["event"], event)),
        undo_store_at=lambda _reach, _place: NoteUndoStore(note),
    )
    return lifecycle, told


def test_a_whole_life_is_told_stage_by_stage() -> None:
    note = Note()
    lifecycle, told = life_of(note)
    lifecycle.arm()
    lifecycle.inject()
    lifecycle.see()
    broken_then = note.broken
    lifecycle.heal()
    lifecycle.see_gone()
    assert (broken_then, note.broken) == (True, False)
    events = [event for event, _ in told]
    assert events == ["armed", "injected", "active", "healed", "heal-proved"]


def test_what_would_be_done_is_told_before_it_is_done() -> None:
    note = Note()
    lifecycle, told = life_of(note)
    note.fails = lambda: True
    with pytest.raises(HarnessError):
        lifecycle.arm()
    assert [event for event, _ in told] == ["armed"]
    assert told[0][1]["undo"]["commands"] == [["mend"]]


def test_nothing_is_injected_before_its_undo_is_armed() -> None:
    note = Note()
    lifecycle, told = life_of(note)
    with pytest.raises(NotProven, match="is new, expected armed"):
        lifecycle.inject()
    assert not note.broken
    assert not told


def test_a_fault_whose_injection_failed_can_only_be_taken_back() -> None:
    note = Note()
    lifecycle, _ = life_of(note)
    lifecycle.arm()
    note.fails = lambda: note.broken  # it works, and its answer is lost
    with pytest.raises(HarnessError):
        lifecycle.inject()
    note.fails = lambda: False
    for step in (lifecycle.arm, lifecycle.inject, lifecycle.see, lifecycle.see_gone):
        with pytest.raises(NotProven):
            step()
    lifecycle.heal()
    lifecycle.see_gone()
    assert not note.broken


def test_a_fault_that_nobody_sees_is_said_and_can_be_taken_back() -> None:
    note = Note()
    lifecycle, told = life_of(note)
    lifecycle.arm()
    lifecycle.inject()
    note.broken = False  # as if it had no effect
    with pytest.raises(TimedOut, match="the fault no-op of one is seen"):
        lifecycle.see()
    lifecycle.heal()
    lifecycle.see_gone()
    assert "active" not in [event for event, _ in told]


def test_nobody_waits_to_see_it_once_it_is_too_much() -> None:
    lifecycle, _ = life_of(Note())
    lifecycle.arm()
    lifecycle.inject()
    with pytest.raises(TimedOut, match="aborted before it answered"):
        lifecycle.see(unless=lambda: True)


def test_an_observer_that_hangs_is_left_to_itself_once_it_is_too_much() -> None:
    hanging, too_much = Event(), Event()

    class Hanging(NoOp):
        def active(self, reach: Reach) -> bool:
            too_much.set()
            return hanging.wait(60)

    note = Note()
    fault = Hanging(id="f00d", machine="one", note=note)
    store = NoteUndoStore(note)
    lifecycle = FaultLifecycle(
        fault, reach(), lambda _event: None, undo_store_at=lambda _reach, _place: store
    )
    lifecycle.arm()
    lifecycle.inject()
    began = time.monotonic()
    with pytest.raises(TimedOut, match="aborted before it answered"):
        lifecycle.see(unless=too_much.is_set)
    assert time.monotonic() - began < 30
    hanging.set()


def test_a_machine_that_comes_back_by_itself_has_no_lease_that_could_end_early() -> None:
    """A reboot takes longer than a lease, and the machine's own cleaner then removes the entry."""
    note = Note()
    lifecycle, _ = life_of(note)
    lifecycle.arm()
    assert lifecycle.undo is not None
    lifecycle.undo = lifecycle.undo.model_copy(update={"commands": ()})
    lifecycle.inject()
    NoteUndoStore(note).fire()
    lifecycle.renew()
    assert not lifecycle.expired


def test_a_lease_that_ended_is_noticed_when_it_is_renewed() -> None:
    note = Note()
    lifecycle, _ = life_of(note)
    lifecycle.arm()
    lifecycle.inject()
    lifecycle.renew()
    NoteUndoStore(note).fire()
    with pytest.raises(NotProven, match="undid itself"):
        lifecycle.renew()
    assert lifecycle.expired
    lifecycle.heal()
    lifecycle.see_gone()


def test_an_undo_that_never_works_leaves_the_fault_unhealed() -> None:
    note = Note()
    lifecycle, told = life_of(note)
    lifecycle.arm()
    lifecycle.inject()
    note.fails = lambda: True
    with pytest.raises(Unhealed, match="could not be undone"):
        lifecycle.heal(within_s=0)
    assert "healed" not in [event for event, _ in told]


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.mark.parametrize(("at_once", "heals"), [(False, True), (True, False)])
def test_a_machine_that_boots_is_asked_to_take_it_back_for_as_long_as_a_boot_may_take(
    monkeypatch: pytest.MonkeyPatch, at_once: bool, heals: bool
) -> None:
    clock, note = Clock(), Note()
    lifecycle, told = life_of(note)
    monkeypatch.setattr(NoOp, "at_once", at_once)
    monkeypatch.setattr(NoOp, "gone_within_s", 300.0)
    lifecycle.arm()
    lifecycle.inject()
    monkeypatch.setattr("harness.core.waiting.time", clock)
    note.fails = lambda: clock.now < 200
    with nullcontext() if heals else pytest.raises(Unhealed, match="within 60 s"):
        lifecycle.heal()
    assert ("healed" in [event for event, _ in told]) == heals


def test_an_undo_that_ends_in_an_answer_nobody_foresaw_is_tried_again() -> None:
    note = Note()
    answers = ["garbled"]

    class Garbled(NoOp):
        def heal(self, reach: Reach, undo: Undo) -> None:
            if answers:
                raise ValueError(answers.pop())
            super().heal(reach, undo)

    fault, store = Garbled(id="f00d", machine="one", note=note), NoteUndoStore(note)
    lifecycle = FaultLifecycle(
        fault, reach(), lambda _event: None, undo_store_at=lambda _reach, _place: store
    )
    lifecycle.arm()
    lifecycle.inject()
    lifecycle.heal()
    assert (note.broken, answers) == (False, [])


def test_nothing_is_injected_when_too_much_is_broken_by_the_time_its_lease_was_renewed() -> None:
    note = Note()
    lifecycle, told = life_of(note)
    lifecycle.arm()
    with pytest.raises(NotProven, match="an abort condition was already met"):
        lifecycle.inject(unless=lambda: True)
    assert [event for event, _ in told] == ["armed"]
    assert not note.broken


def test_a_renewal_that_hangs_delays_no_healing_and_what_it_leaves_is_cleared_up() -> None:
    hanging, hangs = Event(), Event()

    class Slow(NoteUndoStore):
        def renew(self, undo: Undo) -> bool:
            if self.note.broken:
                hangs.set()
                hanging.wait(60)
                self.note.kept[undo.id] = undo  # a timer that came too late
                return False
            return super().renew(undo)

    note = Note()
    store, fault = Slow(note), NoOp(id="f00d", machine="one", note=note)
    lifecycle = FaultLifecycle(
        fault, reach(), lambda *_: None, undo_store_at=lambda _reach, _place: store, lease_s=3.0
    )
    lifecycle.arm()
    with lifecycle.renewed():
        lifecycle.inject()
        assert hangs.wait(10)
        began = time.monotonic()
    lifecycle.heal()
    assert time.monotonic() - began < 30
    hanging.set()
    lifecycle.see_gone()
    assert (note.kept, lifecycle.expired) == ({}, False)


@pytest.mark.parametrize("seed", range(10))
def test_ten_thousand_random_steps_never_break_what_is_not_armed_nor_leave_it_broken(
    seed: int,
) -> None:
    draw = Random(seed)
    note = Note(fails=stumbling(draw, 0.1))
    store = NoteUndoStore(note)
    lifecycle, told = life_of(note)
    for _ in range(1000):
        step = draw.choice(["arm", "inject", "see", "renew", "heal", "see_gone", "fire", "next"])
        if step == "next" and lifecycle.stage in (FaultState.NEW, FaultState.GONE):
            lifecycle, told = life_of(note)
        elif step == "fire":
            store.fire()
        elif step != "next":
            call = (
                partial(lifecycle.heal, within_s=0) if step == "heal" else getattr(lifecycle, step)
            )
            with suppress(HarnessError):
                call()
        events = [event for event, _ in told]
        assert not note.broken or note.kept, "broken, and nothing is kept to mend it"
        assert not note.broken or "injected" in events, "broken, and the journal does not say so"
        assert lifecycle.stage is not FaultState.GONE or not note.broken, (
            "said to be gone, and is not"
        )
    note.fails = lambda: False
    if lifecycle.stage is not FaultState.NEW:
        lifecycle.heal()
    assert not note.broken
