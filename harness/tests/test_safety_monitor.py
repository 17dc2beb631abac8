"""What is seen while a fault is active: when it was noticed, and when it is too much."""

from __future__ import annotations

from threading import Timer
from typing import Literal, TypeAlias

import pytest

from harness.drill.safety_monitor import (
    SafetyMonitor,
    Sample,
    Storage,
    monitoring,
    noticed,
    too_much,
    whole_again,
)
from harness.faults.model import EVERYTHING, NOTHING, BlastRadius
from harness.settings.drills import AbortConditions
from harness.tests.fake_transport import FakeKube
from harness.tests.stage import reach

Who: TypeAlias = Literal["the API", "Ceph"]
LIMITS = AbortConditions(electing_s=30, inactive_s=60, silent_s=90)
ALL = {"one": True, "two": True, "three": True}


def storage(at: float, **changes: int) -> Sample:
    values = {
        "osds_up": 3,
        "osds": 3,
        "monitors_in": 3,
        "monitors": 3,
        "groups": 96,
        "clean": 96,
        "active": 96,
        **changes,
    }
    return Sample(at=at, of="Ceph", storage=Storage(**values))


def nodes(at: float, **changes: bool) -> Sample:
    return Sample(at=at, of="the API", ready={**ALL, **changes})


def test_the_machine_that_is_hit_may_be_down() -> None:
    samples = [nodes(float(at), one=False) for at in range(10)]
    assert too_much(samples, "one", LIMITS) is None


def test_a_second_machine_that_is_down_is_too_much() -> None:
    samples = [nodes(1.0, one=False), nodes(2.0, one=False, two=False), nodes(3.0, two=False)]
    assert too_much(samples, "one", LIMITS) == "another machine is not ready: two"


def test_one_look_at_a_second_machine_may_be_a_blink() -> None:
    samples = [nodes(1.0, two=False), nodes(2.0), nodes(3.0, two=False)]
    assert too_much(samples, "one", LIMITS) is None


def test_monitors_may_elect_for_a_while_and_no_longer() -> None:
    electing = [storage(float(at), monitors_in=0) for at in range(0, 31, 5)]
    assert too_much(electing, "one", LIMITS) is None
    assert too_much([*electing, storage(31.0, monitors_in=1)], "one", LIMITS) == (
        "the monitors have had no majority for 31 s"
    )
    again = [*electing, storage(31.0, monitors_in=2), storage(32.0, monitors_in=0)]
    assert too_much(again, "one", LIMITS) is None


def test_groups_may_serve_nobody_for_a_while_and_no_longer() -> None:
    short = [storage(float(at), active=90) for at in range(0, 60, 5)]
    assert too_much(short, "one", LIMITS) is None
    long = [*short, storage(61.0, active=90)]
    assert too_much(long, "one", LIMITS) == "placement groups have been inactive for 61 s"
    again = [*short, storage(58.0), storage(61.0, active=90)]
    assert too_much(again, "one", LIMITS) is None


@pytest.mark.parametrize("who", ["the API", "Ceph"])
def test_the_silence_of_either_is_too_much_though_the_other_talks(who: Who) -> None:
    other = nodes if who == "Ceph" else storage
    silent = [Sample(at=float(at), of=who) for at in range(0, 100, 10)]
    talk = [other(float(at)) for at in range(5, 100, 10)]
    samples = sorted([*silent, *talk], key=lambda it: it.at)
    assert too_much([it for it in samples if it.at <= 90], "one", LIMITS) is None
    assert too_much(samples, "one", LIMITS) == f"{who} has not answered for 95 s"


def test_one_answer_ends_a_silence() -> None:
    samples = [*(Sample(at=float(at), of="Ceph") for at in range(0, 60, 10)), storage(60.0)]
    assert too_much([*samples, Sample(at=100.0, of="Ceph")], "one", LIMITS) is None


def test_the_alarm_is_raised_once_with_the_first_reason() -> None:
    monitor = SafetyMonitor("one", LIMITS)
    monitor.take(nodes(1.0))
    assert not monitor.abort.is_set()
    monitor.take(nodes(2.0, two=False))
    monitor.take(nodes(3.0, two=False))
    monitor.take(nodes(4.0, two=False, three=False))
    assert monitor.abort.is_set()
    assert monitor.why == "another machine is not ready: two"


def test_a_watch_that_breaks_raises_the_alarm_and_is_not_taken_for_calm() -> None:
    nonsense = FakeKube({"/api/v1/nodes": {"items": [{"metadata": {}}]}})
    with monitoring(reach(nonsense), "one", LIMITS) as monitor:
        assert monitor.abort.wait(10)
    broke = "the safety monitor broke as it asked the API: it has no metadata.name"
    assert monitor.why == broke


def test_who_noticed_is_told_with_the_seconds_since_the_injection() -> None:
    samples = [nodes(1.0), storage(2.0), storage(8.5, osds_up=2), nodes(12.0, one=False)]
    assert noticed(samples, "one", since=2.0, until_s=20.0) == {"ceph": 6.5, "kubernetes": 10.0}
    assert noticed(samples[:2], "one", since=0.0, until_s=20.0) == {}


def test_what_was_wrong_before_the_injection_is_not_its_effect() -> None:
    assert noticed([nodes(1.0, one=False), nodes(3.0)], "one", since=2.0, until_s=9.0) == {}


def test_ceph_is_whole_again_when_it_stays_so() -> None:
    samples = [
        storage(1.0, clean=90),
        storage(2.0),
        storage(3.0, clean=95),
        storage(7.0),
        storage(8.0),
    ]
    assert whole_again(samples, since=1.0) == 6.0
    assert whole_again(samples[:3], since=1.0) is None
    assert whole_again([nodes(1.0)], since=0.0) is None


def test_what_is_seen_after_the_fault_is_none_of_its_doing() -> None:
    samples = [nodes(3.0), nodes(12.0, one=False)]
    assert noticed(samples, "one", since=2.0, until_s=10.0) == {}


@pytest.mark.parametrize(
    ("blast_radius", "down", "beyond"),
    [(NOTHING, 1, 1), (NOTHING, 0, 0), (EVERYTHING, 1, 0), (EVERYTHING, 2, 1)],
)
def test_an_osd_that_the_fault_does_not_take_is_too_much(
    blast_radius: frozenset[BlastRadius], down: int, beyond: int
) -> None:
    samples = [storage(1.0), storage(2.0, osds_up=3 - down), storage(3.0, osds_up=3 - down)]
    told = f"more OSDs are down than this fault explains: {beyond} more" if beyond else None
    assert too_much(samples, "one", LIMITS, blast_radius) == told
    # One look may be a blink.
    assert too_much([*samples, storage(4.0), samples[-1]], "one", LIMITS, blast_radius) is None


def test_a_monitor_that_the_fault_does_not_take_may_be_out_while_they_elect() -> None:
    out = [storage(float(at), monitors_in=2) for at in range(32)]
    assert too_much(out, "one", LIMITS, frozenset({BlastRadius.MONITOR})) is None
    assert too_much(out[:31], "one", LIMITS, NOTHING) is None
    assert "than this fault explains: 1 more, for 31 s" in str(
        too_much(out, "one", LIMITS, NOTHING)
    )


def test_before_a_fault_is_injected_nothing_may_be_missing() -> None:
    monitor = SafetyMonitor("one", LIMITS)
    monitor.take(storage(1.0, osds_up=2))
    monitor.take(storage(2.0, osds_up=2))
    assert monitor.abort.is_set()
    assert not monitor.by_harness


def test_a_ledger_that_is_silent_for_too_long_raises_the_alarm() -> None:
    why: list[str | None] = [None, "no write of http was acknowledged for 46 s"]
    monitor = SafetyMonitor("one", LIMITS, lambda: why.pop(0))
    monitor.take(nodes(1.0))
    assert not monitor.abort.is_set()
    monitor.take(nodes(2.0))
    assert monitor.why == "no write of http was acknowledged for 46 s"


def test_what_keeps_us_from_going_on_is_told_apart_from_what_the_cluster_does() -> None:
    monitor = SafetyMonitor("one", LIMITS)
    monitor.give_up("we hold the Lease no more")
    monitor.take(nodes(1.0, two=False))
    monitor.take(nodes(2.0, two=False))
    assert (monitor.by_harness, monitor.why) == (True, "we hold the Lease no more")


def test_ceph_is_waited_for_until_somebody_saw_it_whole() -> None:
    monitor = SafetyMonitor("one", LIMITS, samples=[storage(1.0, clean=90)])
    late = Timer(0.2, monitor.samples.append, [storage(3.0)])
    late.start()
    assert monitor.see_whole(1.0, within_s=20.0) == 2.0
    monitor.samples.append(storage(4.0, clean=90))
    assert monitor.see_whole(1.0, within_s=0.0) is None
