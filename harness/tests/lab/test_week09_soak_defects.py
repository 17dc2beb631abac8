"""Soaks on the lab that must fail, each for its own reason."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from harness.checks import CHECKS
from harness.core.model import Case, Observation, Outcome, Verdict
from harness.drill.injection import Moment
from harness.drill.schedule import Turn
from harness.drill.soak import resource_usage, soak
from harness.drill.traffic import quarters
from harness.ledger.history import HistoryReader
from harness.settings.drills import Soak
from harness.tests import clean_drills
from harness.tests.lab.breaking import Do, inside
from harness.tests.lab.drilling import context
from harness.tests.lab.kept import ledger
from harness.tests.lab.red import beside
from harness.tests.lab.world import World

LASTED = "the soak lasted as long as it should"
REAL = "every fault of the soak came and went"
LEAKED = "nothing leaked"
SLOWER = "answers did not become slower"
NO_MORE = "no more broke than was meant to"
STEADY = "the steady state came back in time"

RULES = Soak.model_validate(
    {
        "schema": 1,
        "faults": [{"fault": "stop-monitor", "weight": 1, "hold_s": [60, 60]}],
        "pause_s": [0, 0],
        "calm_within_s": 10,
        "look_every_s": 60,
        "grows_percent": 25,
        "refused_percent": 20,
        "slower_ratio": 1.5,
        "ledger": ["objects"],
        "writes_per_s": 1,
    }
)
# A hundred processes that hold ten files each, like a program that never closes files.
LEAK = """
import subprocess, sys, threading
hold = "import sys, threading; files = [open('/etc/hostname') for _ in range(10)]; "
hold += "threading.Event().wait(120)"
left = [subprocess.Popen([sys.executable, "-S", "-c", hold]) for _ in range(100)]
threading.Event().wait(120)
"""
SLOW = """
CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS
'BEGIN PERFORM pg_sleep(0.4); RETURN NEW; END';
CREATE TRIGGER wait BEFORE INSERT ON writes FOR EACH ROW EXECUTE FUNCTION wait();
"""


@pytest.fixture
def do(world: World) -> Iterator[Do]:
    with inside(world) as do:
        yield do


def judged(world: World, check: str, **changes: Any) -> Verdict:
    """A check's verdict on a soak that went well except for this."""
    value = {**clean_drills.soak(), **changes}
    look = Observation(probe="soak", target="part 1", at=0.0, took_s=1.0, value=value)
    cluster = world.lab.profile.cluster()
    return CHECKS[check](Case(cluster=cluster, targets={"soak_hours": 8}, observations=[look]))


def judged_as_a_drill(world: World, check: str, run: Any) -> Verdict:
    """A drill check's verdict on a drill with a single run."""
    value = clean_drills.seen()["drills"][clean_drills.DRILL] | {"runs": [run], "during": []}
    look = Observation(
        probe="drills", target=clean_drills.DRILL, at=0.0, took_s=1.0, value={**value, "load": None}
    )
    cluster = world.lab.profile.cluster()
    return CHECKS[check](Case(cluster=cluster, targets={}, observations=[look]))


@pytest.mark.defect(
    "the soak lasted as long as it should",
    "every fault of the soak came and went",
    "no more broke than was meant to",
    "the steady state came back in time",
)
def test_a_soak_ends_when_more_breaks_than_was_meant_to(world: World, do: Do) -> None:
    """The second stopped monitor ends the fault; because it stays stopped, the soak ends too.

    A turn of a soak is like a run of a drill: the checks of drills give the same result.

    The monitors are back within half a minute: of requests that waited longer, the metadata server
    complains, and a monitor that joins in the wrong second makes Ceph keep that complaint for good.
    """
    unit = f"ceph-mon@{world.two.name}"
    turn = Turn(
        number=1,
        pause_s=0,
        machine=world.three.name,
        fault="stop-monitor",
        hold_s=60,
        seed=1,
    )
    when = {Moment.HOLDING: lambda: world.do(world.two, "systemctl", "stop", unit)}
    try:
        value, _ = do(
            lambda reach: soak(RULES, [turn, turn], 600, context(reach, when=when, silent_s=5))
        )
    finally:
        world.do(world.two, "systemctl", "start", unit)
    changed: Any = value
    (only,) = changed["turns"]
    (fault,) = only["faults"]
    lasted, real = judged(world, LASTED, **changed), judged(world, REAL, **changed)
    assert (lasted.outcome, real.outcome) == (Outcome.FAIL, Outcome.FAIL)
    assert "the steady state did not come back" in lasted.reason
    assert "had unexpected side effects: Ceph has not answered" in real.reason
    # Far less than the fault would hold: a loaded machine may need longer than the check allows.
    assert fault["abort_s"] <= 20
    assert fault["abort_s"] <= fault["abort_gone_s"]
    no_more, steady = (
        judged_as_a_drill(world, NO_MORE, only),
        judged_as_a_drill(world, STEADY, only),
    )
    assert (no_more.outcome, steady.outcome) == (Outcome.FAIL, Outcome.FAIL)
    assert "Ceph has not answered" in no_more.reason
    assert ("at most 5 s" in no_more.reason) is (fault["abort_s"] > 5)
    assert "quorum" in steady.reason


@pytest.mark.defect("nothing leaked")
def test_processes_and_files_that_somebody_forgot_are_found(world: World, do: Do) -> None:
    first = do(resource_usage)
    assert (
        judged(world, LEAKED, footprints=prints(first, do(resource_usage))).outcome is Outcome.PASS
    )
    with beside(world, world.two, "python3", "-c", LEAK):
        world.do(world.two, "sh", "-c", "until [ $(pgrep -c python3) -gt 100 ]; do :; done")
        last = do(resource_usage)
    verdict = judged(world, LEAKED, footprints=prints(first, last))
    assert verdict.outcome is Outcome.FAIL
    assert "processes at the end" in verdict.reason
    assert "files at the end" in verdict.reason
    assert all(world.two.name in where for where in verdict.where)


def prints(*seen: Any) -> list[dict[str, Any]]:
    return [{"at_s": 60.0 * number, "seen": it} for number, it in enumerate(seen)]


@pytest.mark.defect("answers did not become slower")
def test_a_database_that_becomes_slow_is_found(world: World) -> None:
    with ledger(world, "postgres", rate_per_s=10) as kept:
        kept.more(60)
        kept.sql(SLOW)
        kept.more(30)
        kept.do(kept.books.tally)
        spans = quarters(HistoryReader(kept.books.folder / "book"))
    verdict = judged(world, SLOWER, latency_ms=spans)
    assert verdict.outcome is Outcome.FAIL
    assert "postgres: expected at most 1.5 × as long at the end" in verdict.reason
