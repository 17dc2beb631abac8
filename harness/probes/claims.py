"""Claims of the declared StorageClass: created, written and read by every machine, and deleted.

Each phase is a method of ``Workload``: a drill injects a fault during one, or between two. After
the deletion the volume must be gone, and Ceph must have the space again.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Callable, Sequence
from typing import ClassVar, TypeVar

from harness.core.errors import ConfigError, HarnessError, TimedOut, TransportError
from harness.core.model import JSON
from harness.core.waiting import until
from harness.facts import claims as facts
from harness.facts.claims import Deletion, Exchange, Full, GivenBack, Grown, Growth, Left, Metadata
from harness.facts.schema import Item, Known, Unknown, attempt, dump
from harness.probes import claim_objects, owned, pods
from harness.probes.claim_objects import LIMITED, storage
from harness.probes.claim_workload import Workload
from harness.probes.probe import Timing
from harness.transport import Reach
from harness.transport.ceph import ask_ceph
from harness.transport.objects import listed, must, must_count

T = TypeVar("T")

# The share of the data that Ceph's count must show, up and down: other clients write too.
_UP, _DOWN = 0.9, 0.5
_COUNTED_WITHIN_S = 40.0
_GIVEN_BACK_WITHIN_S = 130.0
_BOUND_WITHIN_S = 75.0


class Claims:
    """Makes claims in a namespace of its own, mounts two on every machine, and removes all."""

    name: ClassVar[str] = facts.CLAIMS.name
    sentence: ClassVar[str] = "claims that every machine writes and reads"
    timing: ClassVar[Timing] = Timing.ALONE
    within_s: ClassVar[float] = 400.0

    def targets(self, reach: Reach) -> Sequence[str]:
        return [reach.profile.name]

    def observe(self, reach: Reach, target: str) -> JSON:
        if reach.profile.storage is None:
            raise ConfigError(
                "the profile declares no StorageClass", remedy="say in `storage:` which is it"
            )
        with pods.namespace(reach.kube, claims=True) as space:
            return dump(look(reach, space))


def look(reach: Reach, space: str) -> facts.Claims:
    """Run all phases, one after the other; each result says what its phase could not do."""
    declared = claim_objects.storage(reach)
    work = Workload(reach, space, seed=secrets.randbits(48))
    storage_class = attempt(lambda: claim_objects.storage_class(reach.kube, declared.class_name))
    bound = claim_objects.bind(reach, space, within_s=_BOUND_WITHIN_S)
    work.deploy(bound)
    before = attempt(lambda: stored(reach))
    # First, so that Ceph has counted what was written when the claim is deleted.
    full = work.full()
    grown = work.grown()
    return facts.Claims(
        seed=work.seed,
        storage_class=storage_class,
        bound=bound,
        full=full,
        grown=grown,
        data={"first": work.data(1), "again": work.data(2)},
        metadata=Metadata(made=work.adorn(), seen=work.described()),
        small=Exchange(work.scatter(), work.gather()),
        lines=Exchange(work.append(), work.read_lines()),
        deleted=_deleted(work, before, full, grown),
    )


def _deleted(work: Workload, before: Item[int], full: Full, grown: Growth) -> Deletion:
    if isinstance(before, Unknown):
        return Unknown(f"Ceph's count before the claim was filled: {before.error}")
    # A grown claim was filled again, by the machine that had filled it first.
    again = grown.filled if isinstance(grown, Grown) else None
    answers = (again if isinstance(again, Known) else full.first, full.second)
    filled = sum(it.value.bytes for it in answers if isinstance(it, Known))
    if not filled:
        return Unknown("nothing was written that a deletion could give back")
    try:
        return deleted(work, before.value, filled)
    except HarnessError as error:
        return Unknown(str(error))


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
            owned.give_back_volumes(reach.kube, work.space)
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
    return owned.volume_of_claim(work.reach.kube, work.space, LIMITED)


def _released(work: Workload, within_s: float) -> str | None:
    """The volume's state; None when it is gone."""
    return _awaited(
        lambda: _volume(work), lambda it: it is None or it.startswith("Released"), within_s
    )
