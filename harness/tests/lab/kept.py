"""A ledger on the lab, whose target a test may damage.

The ledger's threads run inside the lab's network; the test itself stays outside, like the lab's
other tests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from harness.checks import CHECKS
from harness.core.model import Case, Observation, Outcome, Verdict
from harness.core.waiting import until
from harness.ledger.recorder import Recorder, recorded
from harness.ledger.result import LedgerResult, observed
from harness.ledger.targets import DURABLE, SERVE, LedgerTargets, namespace
from harness.tests import clean_drills, clean_shift
from harness.tests.lab.world import World
from harness.transport.reach import _setns, connect
from harness.transport.ssh import Tunnels

T = TypeVar("T")

LOST, INVENTED, ON_TIME, BANK = (
    "no acknowledged write is lost",
    "no write is there twice or was never made",
    "writing went on again in time",
    "the bank's total never changed",
)
_TARGETS = {"lost_count": 0.0, "duplicated_count": 0.0, "invented_count": 0.0}
# The checks of another ledger (drill, soak, move) that give the same result if the rest went well.
_ALSO: Mapping[str, tuple[str, ...]] = {
    LOST: (
        "the drill lost no acknowledged write",
        "the soak lost no acknowledged write",
        "the move loses no acknowledged write",
    ),
    INVENTED: (
        "the drill left no write twice or from nowhere",
        "the soak left no write twice or from nowhere",
    ),
    ON_TIME: ("writing went on in time",),
    BANK: (
        "the bank kept its total through the drill",
        "the bank kept its total through the soak",
    ),
}


@dataclass
class Kept:
    """One active ledger on the lab, and ways to damage its targets."""

    world: World
    targets: LedgerTargets
    books: Recorder
    thread: ThreadPoolExecutor
    tallies: Mapping[str, LedgerResult] = field(default_factory=dict)

    def do(self, call: Callable[[], T], within_s: float = 400) -> T:
        """The result of a call that runs in the ledger's thread."""
        return self.thread.submit(call).result(timeout=within_s)

    def kubectl(self, *argv: str) -> str:
        return self.world.kubectl(f"--namespace={self.targets.space}", *argv)

    def kill(self, *pods: str) -> None:
        """Kill pods, by name or by label (``-l cutover/pod=http``), without a grace period."""
        self.kubectl("delete", "pod", "--grace-period=0", "--force", *pods)

    def sql(self, statement: str) -> str:
        """Run a statement in the database, as its owner."""
        login = "-h 127.0.0.1 -U ledger -d postgres"
        script = f'PGPASSWORD="$(cat /secret/password)" psql {login} -c "$1"'
        return self.kubectl("exec", "database-0", "--", "sh", "-c", script, "sql", statement)

    def more(self, number: int = 10, within_s: float = 150, *, of: Sequence[str] = ()) -> None:
        """Wait until this many more writes of each kind are acknowledged."""
        before = dict(self.books.acknowledged)
        kinds = of or list(before)
        until(
            lambda: all(self.books.acknowledged[it] >= before[it] + number for it in kinds),
            within_s=within_s,
            what=f"{number} more writes of {', '.join(kinds)}",
        )

    def judge(self, check: str, outage_s: float = 120.0) -> Verdict:
        """A check's verdict on this ledger; the first call ends the ledger."""
        if not self.tallies:
            self.tallies = self.do(self.books.tally)
        observations = [
            Observation(probe="ledger", target=target, at=0.0, took_s=1.0, value=value)
            for target, value in observed(self.tallies).items()
        ]
        targets = _TARGETS | {"outage_s": outage_s}
        well = clean_drills.seen()
        well["drills"][clean_drills.DRILL]["targets"] = {k: ["≤", n] for k, n in targets.items()}
        cluster = self.world.lab.profile.cluster()
        (moved,) = clean_shift.seen()["shift"].values()
        well["shift"] = {cluster.name: moved | {"ledger": observed(self.tallies)}}
        observations += [
            Observation(probe=probe, target=target, at=0.0, took_s=1.0, value=value)
            for probe, seen in well.items()
            for target, value in seen.items()
        ]
        case = Case(cluster=cluster, targets=targets, observations=observations)
        return CHECKS[check](case)

    def red(self, check: str, *words: str, **limits: Any) -> None:
        """Assert that the check fails, for a reason with these words; in a drill and a soak too."""
        for name in (check, *_ALSO.get(check, ())):
            verdict = self.judge(name, **limits)
            assert verdict.outcome is Outcome.FAIL, f"{name}: {verdict.reason}\n{self.tallies}"
            missing = [word for word in words if word not in verdict.reason]
            assert not missing, f"the reason does not say {missing}: {verdict.reason}"


@contextmanager
def ledger(
    world: World,
    *kinds: str,
    settings: Mapping[str, str] = DURABLE,
    serve: str = SERVE,
    rate_per_s: float = 5.0,
) -> Iterator[Kept]:
    """A ledger of these kinds, with acknowledged writes of each."""
    into = world.lab.profile.access.network_namespace
    assert into is not None
    with ThreadPoolExecutor(1) as thread:
        thread.submit(_setns, into).result()
        opened = ExitStack()

        def begin() -> Kept:
            reach = opened.enter_context(connect(world.lab.profile))
            space = opened.enter_context(namespace(reach.kube, "tests of the lab"))
            machines = reach.profile.cluster().machines
            tunnels = opened.enter_context(closing(Tunnels(reach.profile.access.ssh, machines)))
            targets = LedgerTargets(reach, space, hide=len, settings=settings, serve=serve)
            targets.deploy(kinds)
            setup = targets.writer_setup(tunnels, run="lab", seed=7)
            books = recorded(setup, kinds, folder=world.scratch / "ledger", rate_per_s=rate_per_s)
            return Kept(world, targets, opened.enter_context(books), thread)

        try:
            yield thread.submit(begin).result()
        finally:
            thread.submit(opened.close).result()
