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

from harness.errors import HarnessError, NotProven, TimedOut, Unhealed
from harness.faults.life import Life, Stage
from harness.faults.model import Undo
from harness.tests.noop_fault import NoOp, Note, NoteKeeper, stumbling
from harness.tests.stage import reach
from harness.transport import Reach

Events = list[tuple[str, Mapping[str, Any]]]


def life_of(note: Note) -> tuple[Life, Events]:
    told: Events = []
    life = Life(
        NoOp(id="f00d", machine="one", note=note),
        reach(),
        lambda event, data: told.append((event, data)),
        keeper=lambda _reach, _place: NoteKeeper(note),
    )
    return life, told


def test_a_whole_life_is_told_stage_by_stage() -> None:
    note = Note()
    life, told = life_of(note)
    life.arm()
    life.inject()
    life.see()
    broken_then = note.broken
    life.heal()
    life.see_gone()
    assert (broken_then, note.broken) == (True, False)
    events = [event for event, _ in told]
    assert events == ["armed", "injected", "active", "healed", "heal-proved"]


def test_what_would_be_done_is_told_before_it_is_done() -> None:
    note = Note()
    life, told = life_of(note)
    note.fails = lambda: True
    with pytest.raises(HarnessError):
        life.arm()
    assert [event for event, _ in told] == ["armed"]
    assert told[0][1]["undo"]["commands"] == [["mend"]]


def test_nothing_is_injected_before_its_undo_is_armed() -> None:
    note = Note()
    life, told = life_of(note)
    with pytest.raises(NotProven, match="is new, and should be armed"):
        life.inject()
    assert not note.broken
    assert not told


def test_a_fault_whose_injection_failed_can_only_be_taken_back() -> None:
    note = Note()
    life, _ = life_of(note)
    life.arm()
    note.fails = lambda: note.broken  # it works, and its answer is lost
    with pytest.raises(HarnessError):
        life.inject()
    note.fails = lambda: False
    for step in (life.arm, life.inject, life.see, life.see_gone):
        with pytest.raises(NotProven):
            step()
    life.heal()
    life.see_gone()
    assert not note.broken


def test_a_fault_that_nobody_sees_is_said_and_can_be_taken_back() -> None:
    note = Note()
    life, told = life_of(note)
    life.arm()
    life.inject()
    note.broken = False  # as if it had no effect
    with pytest.raises(TimedOut, match="the fault no-op of one is seen"):
        life.see()
    life.heal()
    life.see_gone()
    assert "active" not in [event for event, _ in told]


def test_nobody_waits_to_see_it_once_it_is_too_much() -> None:
    life, _ = life_of(Note())
    life.arm()
    life.inject()
    with pytest.raises(TimedOut, match="not before it was too much"):
        life.see(unless=lambda: True)


def test_an_observer_that_hangs_is_left_to_itself_once_it_is_too_much() -> None:
    hanging, too_much = Event(), Event()

    class Hanging(NoOp):
        def active(self, reach: Reach) -> bool:
            too_much.set()
            return hanging.wait(60)

    note = Note()
    fault = Hanging(id="f00d", machine="one", note=note)
    keeper = NoteKeeper(note)
    life = Life(fault, reach(), lambda _event, _data: None, keeper=lambda _reach, _place: keeper)
    life.arm()
    life.inject()
    began = time.monotonic()
    with pytest.raises(TimedOut, match="not before it was too much"):
        life.see(unless=too_much.is_set)
    assert time.monotonic() - began < 5
    hanging.set()


def test_a_machine_that_comes_back_by_itself_has_no_lease_that_could_end_early() -> None:
    """A reboot takes longer than a lease, and the machine's own cleaner then removes the entry."""
    note = Note()
    life, _ = life_of(note)
    life.arm()
    assert life.undo is not None
    life.undo = life.undo.model_copy(update={"commands": ()})
    life.inject()
    NoteKeeper(note).fire()
    life.renew()
    assert not life.expired


def test_a_lease_that_ended_is_noticed_when_it_is_renewed() -> None:
    note = Note()
    life, _ = life_of(note)
    life.arm()
    life.inject()
    life.renew()
    NoteKeeper(note).fire()
    with pytest.raises(NotProven, match="took itself back"):
        life.renew()
    assert life.expired
    life.heal()
    life.see_gone()


def test_an_undo_that_never_works_leaves_the_fault_unhealed() -> None:
    note = Note()
    life, told = life_of(note)
    life.arm()
    life.inject()
    note.fails = lambda: True
    with pytest.raises(Unhealed, match="could not be taken back"):
        life.heal(within_s=0)
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
    life, told = life_of(note)
    monkeypatch.setattr(NoOp, "at_once", at_once)
    monkeypatch.setattr(NoOp, "gone_within_s", 300.0)
    life.arm()
    life.inject()
    monkeypatch.setattr("harness.waiting.time", clock)
    note.fails = lambda: clock.now < 200
    with nullcontext() if heals else pytest.raises(Unhealed, match="within 60 s"):
        life.heal()
    assert ("healed" in [event for event, _ in told]) == heals


def test_an_undo_that_ends_in_an_answer_nobody_foresaw_is_tried_again() -> None:
    note = Note()
    answers = ["garbled"]

    class Garbled(NoOp):
        def heal(self, reach: Reach, undo: Undo) -> None:
            if answers:
                raise ValueError(answers.pop())
            super().heal(reach, undo)

    fault, keeper = Garbled(id="f00d", machine="one", note=note), NoteKeeper(note)
    life = Life(fault, reach(), lambda _event, _data: None, keeper=lambda _reach, _place: keeper)
    life.arm()
    life.inject()
    life.heal()
    assert (note.broken, answers) == (False, [])


def test_nothing_is_injected_when_too_much_is_broken_by_the_time_its_lease_was_renewed() -> None:
    note = Note()
    life, told = life_of(note)
    life.arm()
    with pytest.raises(NotProven, match="too much was broken already"):
        life.inject(unless=lambda: True)
    assert [event for event, _ in told] == ["armed"]
    assert not note.broken


def test_a_renewal_that_hangs_delays_no_healing_and_what_it_leaves_is_cleared_up() -> None:
    hanging, hangs = Event(), Event()

    class Slow(NoteKeeper):
        def renew(self, undo: Undo) -> bool:
            if self.note.broken:
                hangs.set()
                hanging.wait(60)
                self.note.kept[undo.id] = undo  # a timer that came too late
                return False
            return super().renew(undo)

    note = Note()
    keeper, fault = Slow(note), NoOp(id="f00d", machine="one", note=note)
    life = Life(fault, reach(), lambda *_: None, keeper=lambda _reach, _place: keeper, lease_s=3.0)
    life.arm()
    with life.renewed():
        life.inject()
        assert hangs.wait(10)
        began = time.monotonic()
    life.heal()
    assert time.monotonic() - began < 2
    hanging.set()
    life.see_gone()
    assert (note.kept, life.expired) == ({}, False)


@pytest.mark.parametrize("seed", range(10))
def test_ten_thousand_random_steps_never_break_what_is_not_armed_nor_leave_it_broken(
    seed: int,
) -> None:
    draw = Random(seed)
    note = Note(fails=stumbling(draw, 0.1))
    keeper = NoteKeeper(note)
    life, told = life_of(note)
    for _ in range(1000):
        step = draw.choice(["arm", "inject", "see", "renew", "heal", "see_gone", "fire", "next"])
        if step == "next" and life.stage in (Stage.NEW, Stage.GONE):
            life, told = life_of(note)
        elif step == "fire":
            keeper.fire()
        elif step != "next":
            call = partial(life.heal, within_s=0) if step == "heal" else getattr(life, step)
            with suppress(HarnessError):
                call()
        events = [event for event, _ in told]
        assert not note.broken or note.kept, "broken, and nothing is kept to mend it"
        assert not note.broken or "injected" in events, "broken, and the journal does not say so"
        assert life.stage is not Stage.GONE or not note.broken, "said to be gone, and is not"
    note.fails = lambda: False
    if life.stage is not Stage.NEW:
        life.heal()
    assert not note.broken
