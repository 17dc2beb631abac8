"""The storage that exists already, compared with what it was before the work began.

One machine that reads it makes its manifest: all see the same. The value:

``machine``   who made it, or None without a baseline: then none is made
``baseline``  {"path", "sha256", "root", "started", "sums", "more_left_out": patterns that the
              profile has no longer}, or None when none was recorded
``sums``      of the manifest of now: "entries", "files", "bytes", "errors", "unstable"
``counts``    of differences by kind: "changed", "removed", "added", "unread"
``first``     the first differences of each kind: {"path", "kind", "what"}
"""

from __future__ import annotations

import contextlib
import secrets
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from harness.backup import baseline
from harness.backup.compare import compare
from harness.backup.manifest import Making, Manifest, Tree
from harness.errors import TransportError, Unreachable
from harness.model import JSON
from harness.parallel import in_each
from harness.probes import legacy_mount
from harness.probes.probe import Timing
from harness.settings import Legacy
from harness.transport import Reach

_FIRST = 20


class LegacyManifest:
    """Makes a manifest on one machine, and compares it with the baseline as it is fetched."""

    name: ClassVar[str] = "legacy-manifest"
    sentence: ClassVar[str] = "the existing storage, compared with its baseline"
    timing: ClassVar[Timing] = Timing.AT_START
    # It reads every byte. A machine that stops answering is noticed within a minute.
    within_s: ClassVar[float] = 12 * 3600.0

    def targets(self, reach: Reach) -> Sequence[str]:
        return [reach.profile.name]

    def observe(self, reach: Reach, target: str) -> JSON:
        legacy = legacy_mount.declared(reach)
        if not legacy.baseline.exists():
            return {"machine": None, "baseline": None}
        one = making(reach, legacy, f"gate-{secrets.token_hex(4)}")
        try:
            sums = one.make()
            return _compared(one, legacy) | {"sums": dict(sums), "machine": one.tree.machine}
        finally:
            # A machine that does not answer any more sweeps it itself, when it is asked again.
            with contextlib.suppress(TransportError):
                one.drop()


def making(reach: Reach, legacy: Legacy, name: str) -> Making:
    """A manifest to be made on the first machine that reads the storage; Unreachable if none."""
    machines = [machine.name for machine in reach.profile.machines]
    found = in_each(machines, lambda it: legacy_mount.look(reach, it))
    for machine, seen in found.items():
        if isinstance(seen, Mapping) and legacy_mount.is_usable(seen, legacy):
            tree = Tree(machine=machine, root=legacy.path, left_out=legacy.may_change)
            return Making(shell=reach.shell, tree=tree, name=name)
    raise Unreachable(
        f"no machine reads {legacy.path} ({legacy.type} of {legacy.source})",
        remedy=f"findmnt {legacy.path} on each machine; mount it, or correct the profile's legacy",
    )


def _compared(one: Making, legacy: Legacy) -> dict[str, Any]:
    counts = dict.fromkeys(("changed", "removed", "added", "unread"), 0)
    first: list[JSON] = []
    with baseline.opened(legacy.baseline) as before:
        now = Manifest(one.lines(), "the manifest of now")
        told: Counter[str] = Counter()
        for difference in compare(before, now, legacy.may_change):
            told[difference.kind] += 1
            if told[difference.kind] <= _FIRST:
                what = list(difference.what)
                first.append({"path": difference.path, "kind": difference.kind, "what": what})
    return {
        "baseline": {
            "path": str(legacy.baseline),
            "sha256": baseline.digest(legacy.baseline),
            "root": before.header["root"],
            "started": before.header["started"],
            "sums": before.sums,
            "more_left_out": sorted(set(before.header["except"]) - set(legacy.may_change)),
        },
        "counts": counts | told,
        "first": first,
    }
