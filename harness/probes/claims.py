"""Claims of the declared StorageClass: created, written and read by every machine, and deleted.

Each phase is a method of ``Workload``: a drill injects a fault during one, or between two.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import ClassVar

from harness.core.errors import ConfigError, HarnessError
from harness.core.model import JSON
from harness.facts import claims as facts
from harness.facts.claims import Deletion, Exchange, Full, Grown, Growth, Metadata
from harness.facts.schema import Item, Known, Unknown, attempt, dump
from harness.probes import claim_objects, pods
from harness.probes.claim_space import deleted, stored
from harness.probes.claim_workload import Workload
from harness.probes.probe import Timing
from harness.transport import Reach

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
