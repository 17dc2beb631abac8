"""Machines that write to a claim while something breaks, and read each other's blocks afterwards.

What came of it, as ``checks.claim_survival`` judges it:

``written``   machine → answer: the generation of each of its blocks, the slowest write, and whether
              it wrote until it was ``told`` to stop
``read``      "A → B" → answer: B read A's blocks
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from harness.errors import NotProven, TimedOut
from harness.probes import claim_objects, pods
from harness.probes.claim_objects import LIMITED, SHARED, SIZES
from harness.probes.claim_workload import Workload
from harness.transport import Reach
from harness.waiting import until

# Where a drill's runs keep what came of it.
CLAIMS = "claims"

_BOUND_WITHIN_S = 60.0
_BEGUN_WITHIN_S = 40.0
# No drill that wants this lasts longer; whoever stops by itself was not told to.
_LONGEST_S = 900.0
# Enough to be in the middle of a write at any time, and no load.
_PER_S = 5.0


class BackgroundWrites:
    """Every machine writes its own blocks anew and anew, from ``begin`` to ``tally``."""

    def __init__(self, work: Workload) -> None:
        self._work = work
        self._thread = ThreadPoolExecutor(1)
        self._running: Future[dict[str, Any]] | None = None

    def begin(self, within_s: float = _BEGUN_WITHIN_S) -> None:
        """Begin to write; NotProven when not every machine has written in time."""
        work = self._work
        running = self._running = self._thread.submit(work.churn, _LONGEST_S, per_s=_PER_S)
        seen: dict[str, Any] = {}

        def written_everywhere() -> bool:
            seen.update(running.result() if running.done() else work.churned())
            return running.done() or all(it.get("value", {}).get("bytes") for it in seen.values())

        try:
            until(written_everywhere, within_s=within_s, what="every machine writes to its claim")
        except TimedOut as late:
            raise NotProven(f"not every machine writes to its claim: {_mute(seen)}") from late
        if running.done():
            raise NotProven(f"writing to claims ended before anything broke: {_mute(seen)}")

    def tally(self) -> dict[str, Any]:
        """End all writing, and let every machine read what each other one wrote."""
        if self._running is None:
            raise NotProven("nobody writes to claims")
        self._work.stop_churning()
        written = self._running.result()
        blocks = {
            machine: [it for it in answer["value"]["generations"] if it]
            for machine, answer in written.items()
            if "value" in answer
        }
        return {"written": written, "read": self._work.verify(blocks)}

    def close(self) -> None:
        """Who still writes ends when its pod goes."""
        self._thread.shutdown(wait=False, cancel_futures=True)


def _mute(seen: Mapping[str, Any]) -> str:
    said = {
        machine: it.get("error") or it.get("refused") or it["value"]
        for machine, it in seen.items()
        if not it.get("value", {}).get("bytes")
    }
    return "; ".join(f"{machine}: {why}" for machine, why in said.items()) or "nothing was said"


@contextmanager
def writing_in_background(reach: Reach, seed: int) -> Iterator[BackgroundWrites]:
    """Claims of the declared class, to which every machine has begun to write; they go again.

    Raises NotProven when that cannot be had, or TransportError.
    """
    sizes = {name: SIZES[name] for name in (SHARED, LIMITED)}
    with pods.namespace(reach.kube, claims=True) as space:
        work = Workload(reach, space, seed=seed)
        work.deploy(claim_objects.bind(reach, space, sizes=sizes, within_s=_BOUND_WITHIN_S))
        churn = BackgroundWrites(work)
        try:
            churn.begin()
            yield churn
        finally:
            churn.close()
