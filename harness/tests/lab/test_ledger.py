"""A ledger on the lab: acknowledged writes are still there after the targets were killed."""

from __future__ import annotations

from harness.core.model import Outcome
from harness.ledger.result import FAULT
from harness.tests.lab.kept import BANK, INVENTED, LOST, ON_TIME, ledger
from harness.tests.lab.world import World


def test_nothing_is_lost_when_pods_are_killed(world: World) -> None:
    with ledger(world, "postgres", "bank", "cephfs", "http", "objects") as kept:
        kept.more()
        kept.books.mark(FAULT)
        kept.kill("database-0")
        kept.kill("--selector=cutover/pod=http")
        kept.kill("--selector=cutover/pod=files")
        kept.more()
        for check in (LOST, INVENTED, ON_TIME, BANK):
            verdict = kept.judge(check)
            assert verdict.outcome is Outcome.PASS, f"{verdict.reason}\n{kept.tallies}"
    tallies = kept.tallies
    assert all(tally.ok > 20 for tally in tallies.values())
    assert all(tallies[it].gap_s > 1.0 for it in ("postgres", "http")), "nobody noticed the kill"
