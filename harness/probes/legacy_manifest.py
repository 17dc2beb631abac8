"""The existing storage, compared with its state before the work began.

One machine that reads it makes the manifest, because all machines see the same files.
"""

from __future__ import annotations

import contextlib
import secrets
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import Field

from harness.backup import manifest
from harness.backup.compare import compare
from harness.backup.manifest import Making, Tree, TreeManifest
from harness.core.errors import TransportError, Unreachable
from harness.core.model import JSON
from harness.core.parallel import in_each
from harness.facts import legacy as facts
from harness.facts.legacy import (
    Baseline,
    Comparison,
    Counts,
    Difference,
    Kind,
    LegacyMount,
    NoBaseline,
    Sums,
)
from harness.facts.schema import dump, read
from harness.probes import legacy_mount
from harness.probes.probe import Timing
from harness.settings import Legacy
from harness.transport import Reach

_FIRST = 20


@dataclass(frozen=True, slots=True)
class _Header:
    """What a manifest says first of itself; ``started`` is in UTC seconds."""

    root: str
    started: float
    left_out: Annotated[tuple[str, ...], Field(validation_alias="except")]


class LegacyManifest:
    """Makes a manifest on one machine, and compares it with the baseline as it is fetched."""

    name: ClassVar[str] = facts.LEGACY_MANIFEST.name
    sentence: ClassVar[str] = "the existing storage, compared with its baseline"
    timing: ClassVar[Timing] = Timing.AT_START
    # It reads every byte. A machine that stops answering is noticed within a minute.
    within_s: ClassVar[float] = 12 * 3600.0

    def targets(self, reach: Reach) -> Sequence[str]:
        return [reach.profile.name]

    def observe(self, reach: Reach, target: str) -> JSON:
        legacy = legacy_mount.declared(reach)
        if not legacy.baseline.exists():
            return dump(NoBaseline())
        one = making(reach, legacy, f"gate-{secrets.token_hex(4)}")
        try:
            sums = read(Sums, one.make())
            return dump(_compared(one, legacy, sums))
        finally:
            # If a machine stops answering, its own script sweeps the folder in the next run.
            with contextlib.suppress(TransportError):
                one.drop()


def making(reach: Reach, legacy: Legacy, name: str) -> Making:
    """A manifest to be made on the first machine that reads the storage; Unreachable if none."""
    machines = [machine.name for machine in reach.profile.machines]
    found = in_each(machines, lambda it: legacy_mount.look(reach, it))
    for machine, seen in found.items():
        if isinstance(seen, LegacyMount) and legacy_mount.is_usable(seen, legacy):
            tree = Tree(machine=machine, root=legacy.path, left_out=legacy.may_change)
            return Making(shell=reach.shell, tree=tree, name=name)
    raise Unreachable(
        f"no machine reads {legacy.path} ({legacy.type} of {legacy.source})",
        remedy=f"findmnt {legacy.path} on each machine; mount it, or correct the profile's legacy",
    )


def _compared(one: Making, legacy: Legacy, sums: Sums) -> Comparison:
    told: Counter[Kind] = Counter()
    first: list[Difference] = []
    with manifest.opened_baseline(legacy.baseline) as before:
        now = TreeManifest(one.lines(), "the manifest of now")
        for difference in compare(before, now, legacy.may_change):
            told[difference.kind] += 1
            if told[difference.kind] <= _FIRST:
                path, kind, what = difference.path, difference.kind, difference.what
                first.append(Difference(path=path, kind=kind, what=what))
    header = read(_Header, before.header)
    return Comparison(
        baseline=Baseline(
            path=str(legacy.baseline),
            sha256=manifest.digest(legacy.baseline),
            root=header.root,
            started=header.started,
            sums=read(Sums, before.sums),
            more_left_out=tuple(sorted(set(header.left_out) - set(legacy.may_change))),
        ),
        counts=Counts(
            changed=told["changed"],
            removed=told["removed"],
            added=told["added"],
            unread=told["unread"],
        ),
        first=tuple(first),
        sums=sums,
        machine=one.tree.machine,
    )
