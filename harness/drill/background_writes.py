"""Machines write to a claim during a fault, and read each other's blocks afterwards.

``checks.drills`` judges the result.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial

from harness.core.errors import NotProven, TimedOut
from harness.core.model import JSON
from harness.core.parallel import begin
from harness.core.waiting import until
from harness.facts.claims import Answer, Churned, Exchange, Size, WriteRefused
from harness.facts.schema import Known, dump
from harness.probes import claim_objects, pods
from harness.probes.claim_objects import LIMITED, SHARED, SIZES
from harness.probes.claim_workload import Workload
from harness.transport import Reach

# The key of the result in a drill's runs.
CLAIMS = "claims"

_BOUND_WITHIN_S = 60.0
_BEGUN_WITHIN_S = 40.0
# No drill with claims lasts longer; a machine that stops earlier stops without a request.
_LONGEST_S = 900.0
# Enough that a fault meets a write at any time, and not a load.
_PER_S = 5.0


class BackgroundWrites:
    """Every machine rewrites its own blocks again and again, from ``begin`` to ``tally``."""

    def __init__(self, work: Workload) -> None:
        self._work = work
        self._running: Future[dict[str, Answer[Churned]]] | None = None

    def begin(self, within_s: float = _BEGUN_WITHIN_S) -> None:
        """Begin to write; NotProven unless every machine has written in time."""
        work = self._work
        running = self._running = begin(partial(work.churn, _LONGEST_S, per_s=_PER_S))
        seen: dict[str, Answer[Size]] = {}

        def written_everywhere() -> bool:
            if not running.done():
                seen.update(work.churned())
            return running.done() or not _mute(seen)

        try:
            until(written_everywhere, within_s=within_s, what="every machine writes to its claim")
        except TimedOut as late:
            raise NotProven(
                f"not every machine writes to its claim: {_told(_mute(seen))}"
            ) from late
        if running.done():
            said = {machine: _why(it) for machine, it in running.result().items()}
            raise NotProven(f"writing to claims ended before the fault: {_told(said)}")

    def tally(self) -> JSON:
        """End all writing, and let every machine read the blocks of all others.

        Returns ``facts.claims.MEANWHILE`` as JSON.
        """
        if self._running is None:
            raise NotProven("no machine writes to claims")
        self._work.stop_churning()
        written = self._running.result()
        blocks = {
            machine: [it for it in answer.value.generations if it]
            for machine, answer in written.items()
            if isinstance(answer, Known)
        }
        return dump(Exchange(written, self._work.verify(blocks)))


def _mute(seen: Mapping[str, Answer[Size]]) -> dict[str, str]:
    """The machines that have not written yet, and why."""
    return {
        machine: _why(it)
        for machine, it in seen.items()
        if not (isinstance(it, Known) and it.value.bytes)
    }


def _why(answer: Answer[Size] | Answer[Churned]) -> str:
    if isinstance(answer, Known):
        return str(answer.value)
    return answer.refused if isinstance(answer, WriteRefused) else answer.error


def _told(why: Mapping[str, str]) -> str:
    return "; ".join(f"{machine}: {it}" for machine, it in why.items()) or "no answer"


@contextmanager
def writing_in_background(reach: Reach, seed: int) -> Iterator[BackgroundWrites]:
    """Claims of the declared class, to which every machine writes; removed afterwards.

    Raises NotProven or TransportError when the claims or the writes cannot begin.
    """
    sizes = {name: SIZES[name] for name in (SHARED, LIMITED)}
    with pods.namespace(reach.kube, claims=True) as space:
        work = Workload(reach, space, seed=seed)
        work.deploy(claim_objects.bind(reach, space, sizes=sizes, within_s=_BOUND_WITHIN_S))
        churn = BackgroundWrites(work)
        churn.begin()
        yield churn  # a machine that still writes ends when its pod is removed
