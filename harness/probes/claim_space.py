"""After a claim is deleted: is its volume removed, and does Ceph have the space again?"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import TypeVar

from harness.core.errors import HarnessError, TimedOut, TransportError
from harness.core.waiting import until
from harness.facts.claims import GivenBack, Left
from harness.probes import volumes
from harness.probes.claim_objects import LIMITED, storage
from harness.probes.claim_workload import Workload
from harness.transport import Reach
from harness.transport.ceph import ask_ceph
from harness.transport.objects import listed, must, must_count

T = TypeVar("T")

# The share of the data that Ceph's count must show, up and down: other clients write too.
_UP, _DOWN = 0.9, 0.5
_COUNTED_WITHIN_S = 40.0
_GIVEN_BACK_WITHIN_S = 130.0


def stored(reach: Reach) -> int:
    """Bytes in the claims' pool, copies not counted, by Ceph's count."""
    pool = storage(reach).data_pool
    for item in listed(ask_ceph(reach, "df", read=object), "pools"):
        if must(item, "name") == pool:
            return must_count(item, "stats", "stored")
    raise TransportError(f"Ceph has no pool {pool}", remedy="`storage.data_pool` names the pool")


def _awaited(look: Callable[[], T], well: Callable[[T], bool], within_s: float) -> T:
    """The first good value, or the last value seen in time."""
    seen: list[T] = []

    def looked() -> bool:
        seen[:] = [look()]
        return well(seen[0])

    with contextlib.suppress(TimedOut):
        until(looked, within_s=within_s, what="what was asked of Ceph and the API")
    return seen[0]


def deleted(
    work: Workload, before: int, filled: int, *, within_s: float = _GIVEN_BACK_WITHIN_S
) -> GivenBack | Left:
    """Delete the claim that was filled; the pool held ``before`` bytes without its ``filled``.

    If the class keeps volumes (Retain), the volume must stay; then its policy is set to Delete.
    """
    reach = work.reach
    full = before + _UP * filled
    counted = _awaited(lambda: stored(reach), lambda now: now >= full, _COUNTED_WITHIN_S)
    known = {"filled": filled, "before": before, "full": counted}
    kept = None
    work.remove_pods()
    began = time.monotonic()
    reach.kube.delete(f"/api/v1/namespaces/{work.space}/persistentvolumeclaims/{LIMITED}")
    if storage(reach).reclaim_policy == "Retain":
        kept = _released(work, within_s)
        began = time.monotonic()
        try:
            volumes.give_back(reach.kube, work.space)
        except HarnessError as error:
            left = f"{kept} ({error})"
            return Left(**known, kept=kept, left=left, waited_s=0.0)
    there = _awaited(lambda: _volume(work), lambda it: it is None, within_s)
    if there is not None:
        return Left(**known, kept=kept, left=there, waited_s=within_s)
    gone_after_s = round(time.monotonic() - began, 1)
    left_s = within_s - (time.monotonic() - began)
    after = _awaited(lambda: stored(reach), lambda now: now <= counted - _DOWN * filled, left_s)
    return GivenBack(
        **known,
        kept=kept,
        gone_after_s=gone_after_s,
        after=after,
        given_back_after_s=round(time.monotonic() - began, 1),
    )


def _volume(work: Workload) -> str | None:
    return volumes.of_claim(work.reach.kube, work.space, LIMITED)


def _released(work: Workload, within_s: float) -> str | None:
    """The volume's state; None when it is gone."""
    return _awaited(
        lambda: _volume(work), lambda it: it is None or it.startswith("Released"), within_s
    )
