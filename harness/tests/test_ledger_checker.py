"""The checker finds every planted loss, and in a clean history none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.errors import NotProven
from harness.ledger.checker import Found, Reading, results
from harness.ledger.history import Event
from harness.ledger.result import FAULT, LedgerResult

WHO = ("file/0", "file/1", "file/2")
LATE = 10**9


def reading(found: Sequence[Found], began_us: int = LATE, error: str = "") -> Reading:
    return Reading(by="m1", began_us=began_us, found=found, error=error)


def tally(events: Sequence[Event], *readings: Reading) -> LedgerResult:
    return results(events, {"file": readings})["file"]


@dataclass
class Story:
    """A history that could be, and what was there at its end; faults are planted by tests."""

    events: list[Event] = field(default_factory=list)
    acknowledged: dict[Found, int] = field(default_factory=dict)
    unsure: list[Found] = field(default_factory=list)
    unsent: list[Found] = field(default_factory=list)
    there: list[Found] = field(default_factory=list)


@st.composite
def stories(draw: st.DrawFn) -> Story:
    """Writers that interleave; what nobody knows may be there or not."""
    story, clock = Story(), 0
    numbers: Counter[str] = Counter()
    open_writes: dict[str, int] = {}
    for who in draw(st.lists(st.sampled_from(WHO), max_size=60)):
        clock += draw(st.integers(1, 50))
        if who not in open_writes:
            open_writes[who] = numbers[who]
            story.events.append(("invoke", who, numbers[who], clock))
            numbers[who] += 1
            continue
        what = draw(st.sampled_from(["ok", "ok", "ok", "info", "fail"]))
        write = (who, open_writes.pop(who))
        story.events.append((what, *write, clock))
        if what == "ok":
            story.acknowledged[write] = clock
        (story.unsure if what == "info" else story.unsent if what == "fail" else []).append(write)
    story.unsure += open_writes.items()
    story.there = [*story.acknowledged, *(it for it in story.unsure if draw(st.booleans()))]
    return story


@given(stories(), st.randoms(use_true_random=False))
def test_a_clean_history_is_clean(story: Story, random: st.randoms) -> None:  # type: ignore[valid-type]
    there = list(story.there)
    random.shuffle(there)  # type: ignore[attr-defined]
    found = tally(story.events, reading(there))
    assert (found.lost, found.duplicated, found.unexpected, found.stale) == (0, 0, 0, 0)
    assert found.ok == len(story.acknowledged)
    assert (found.info, found.fail) == (len(story.unsure), len(story.unsent))
    assert found.invoked == found.ok + found.info + found.fail
    assert found.found == len(there)
    assert (found.examples, found.unread, found.rpo_s) == ({}, "", 0.0)


@given(stories(), st.data())
def test_planted_losses_duplicates_and_unexpected_are_found_exactly(
    story: Story, data: st.DataObject
) -> None:
    def some(of: Sequence[Found]) -> list[Found]:
        return data.draw(st.lists(st.sampled_from(of), unique=True)) if of else []

    lost = some(list(story.acknowledged))
    kept = [write for write in story.there if write not in lost]
    twice = some(kept)
    strangers = [("file/0", 99), ("file/9", 0), ("http/0", 0), ("file/1", -1)]
    unexpected = some([*strangers, *story.unsent])
    found = tally(story.events, reading([*kept, *twice, *unexpected, *twice]))
    assert (found.lost, found.duplicated, found.unexpected) == (
        len(lost),
        len(twice),
        len(unexpected),
    )
    told = {name.partition(",")[0] for name in found.examples.get("lost", ())}
    assert told <= {f"{who} {seq}" for who, seq in lost}
    assert len(told) == min(5, len(lost))
    if lost:
        newest = max(story.acknowledged.values())
        oldest = min(story.acknowledged[write] for write in lost)
        assert found.rpo_s == pytest.approx((newest - oldest) / 1e6)


@given(stories(), st.data())
def test_the_largest_gap_is_the_one_that_a_plain_loop_finds(
    story: Story, data: st.DataObject
) -> None:
    events = list(story.events)
    for name in data.draw(st.lists(st.sampled_from(["healed", FAULT]), max_size=3)):
        place = data.draw(st.integers(0, len(events)))
        at = events[place - 1][3] if place else 0
        events.insert(place, ("mark", name, 0, at))
    found = tally(events, reading(story.there))
    moments = [event[3] for event in events if event[0] == "ok"]
    begun = [event[3] for event in events if event[0] == "invoke"]
    edges = [*begun[:1], *moments, *(event[3] for event in events[-1:] if begun)]
    gaps = [later - sooner for sooner, later in pairwise(edges)]
    assert found.gap_s == pytest.approx(max(gaps, default=0) / 1e6)
    faults = [event[3] for event in events if event[:2] == ("mark", "fault injected")]
    if faults:
        place = events.index(("mark", "fault injected", 0, faults[0]))
        after = [event[3] for event in events[place:] if event[0] == "ok"]
        assert found.to_json()["ok_after_fault"] == len(after)
    else:
        assert found.to_json()["ok_after_fault"] is None


def test_a_reading_that_missed_what_was_acknowledged_before_it_began_is_stale() -> None:
    events: list[Event] = []
    for seq, at in ((0, 10), (1, 20), (2, 40)):
        events += [("invoke", "file/0", seq, at - 5), ("ok", "file/0", seq, at)]
    whole = [("file/0", 0), ("file/0", 1), ("file/0", 2)]
    found = tally(events, reading(whole[:1], began_us=30), reading(whole))
    assert (found.lost, found.stale, found.examples) == (0, 1, {"stale": ("file/0 1",)})
    twice = tally(events, reading(whole[:1], began_us=30), reading([], began_us=15), reading(whole))
    assert (twice.stale, twice.examples["stale"]) == (2, ("file/0 0", "file/0 1"))
    gone = tally(events, reading(whole[:1], began_us=30), reading(whole[:1]))
    assert (gone.lost, gone.stale) == (2, 0)


def test_the_last_reading_that_came_about_decides() -> None:
    events: list[Event] = [("invoke", "file/0", 0, 1), ("ok", "file/0", 0, 2)]
    found = tally(events, reading([("file/0", 0)]), reading([], error="no route to host"))
    assert (found.lost, found.unread) == (0, "")
    assert found.troubles == ("m1 could not read: no route to host",)


def test_what_was_never_read_again_is_not_known() -> None:
    events: list[Event] = [("invoke", "file/0", 0, 1), ("ok", "file/0", 0, 2)]
    for readings in ([], [reading([], error="refused")]):
        found = tally(events, *readings)
        assert found.unread == "the writes were never read back"
        assert found.lost == 0


def test_phases_tell_when_writing_went_on_after_each_mark() -> None:
    second = 1_000_000
    events: list[Event] = [
        ("invoke", "file/0", 0, 1 * second),
        ("ok", "file/0", 0, 2 * second),
        ("mark", "fault injected", 0, 3 * second),
        ("invoke", "file/0", 1, 3 * second),
        ("info", "file/0", 1, 8 * second),
        ("mark", "healed", 0, 10 * second),
        ("invoke", "file/0", 2, 11 * second),
        ("ok", "file/0", 2, 14 * second),
        ("end", "-", 0, 15 * second),
    ]
    found = results(events, {}, wall_s=100.0)["file"]
    fault, healed = found.phases
    assert (fault.name, fault.at, fault.ok, fault.first_ok_s, fault.gap_s) == (
        FAULT,
        103.0,
        0,
        None,
        8.0,
    )
    assert (healed.ok, healed.first_ok_s, healed.gap_s) == (1, 4.0, 12.0)
    assert (found.gap_s, found.gap_from, found.gap_to, found.gap_open) == (12.0, 102, 114, False)
    assert found.to_json()["ok_after_fault"] == 1
    assert (found.to_json()["first_ok_s"], found.to_json()["outage_s"]) == (11.0, 12.0)


def test_a_silence_to_the_end_of_the_book_is_open() -> None:
    events: list[Event] = [
        ("invoke", "file/0", 0, 1),
        ("ok", "file/0", 0, 2),
        ("mark", "fault injected", 0, 5),
        ("end", "-", 0, 5_000_002),
    ]
    found = tally(events, reading([("file/0", 0)]))
    assert (found.gap_s, found.gap_open) == (5.0, True)
    assert found.to_json()["ok_after_fault"] == 0


def test_a_silence_after_writing_was_stopped_is_none() -> None:
    events: list[Event] = [
        ("invoke", "file/0", 0, 1),
        ("ok", "file/0", 0, 2),
        ("invoke", "file/0", 1, 3),
        ("stop", "-", 0, 1_000_002),
        ("ok", "file/0", 1, 2_500_002),
        ("end", "-", 0, 90_000_000),
    ]
    assert tally(events, reading([])).gap_s == 2.5
    del events[4]
    assert (tally(events, reading([])).gap_s, tally(events).gap_open) == (1.0, True)


def test_a_loss_is_as_old_as_it_was_when_the_fault_came() -> None:
    events: list[Event] = [
        ("invoke", "file/0", 0, 0),
        ("ok", "file/0", 0, 1_000_000),
        ("mark", "fault injected", 0, 3_500_000),
        ("invoke", "file/0", 1, 4_000_000),
        ("ok", "file/0", 1, 9_000_000),
    ]
    assert tally(events, reading([("file/0", 1)])).rpo_s == 2.5
    assert tally(events, reading([("file/0", 0)])).rpo_s == 0.0
    assert tally(events, reading([])).rpo_s == 8.0


def test_a_bank_that_had_another_total_is_caught() -> None:
    events: list[Event] = [
        ("due", "bank/0", 1000, 1),
        *(("total", "bank/0", total, 2) for total in (1000, 993, 1000, 1001)),
    ]
    found = results(events, {})["bank"]
    assert (found.totals, found.wrong_totals) == (4, 2)
    assert found.examples == {"wrong totals": ("993, not 1000", "1001, not 1000")}


def test_a_kind_that_wrote_nothing_has_a_tally_that_says_so() -> None:
    found = results([], {"file": [reading([])]})["file"]
    assert (found.invoked, found.ok, found.unread) == (0, 0, "")


@pytest.mark.parametrize(
    ("events", "says"),
    [
        ([("ok", "file/0", 0, 1)], "it never began"),
        ([("invoke", "file/0", 0, 1), ("ok", "file/0", 1, 2)], "it never began"),
        ([("invoke", "file/0", 1, 1)], "out of order"),
        ([("invoke", "file/0", 0, 1), *[("ok", "file/0", 0, 2)] * 2], "ended twice"),
    ],
)
def test_a_history_that_cannot_be_is_no_evidence(events: list[Event], says: str) -> None:
    with pytest.raises(NotProven, match=says):
        tally(events)
