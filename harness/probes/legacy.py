"""The existing storage: what each machine has mounted, and whether the files are unchanged.

Each machine tells whether its mount is readable; if the profile has a folder for it
(``legacy.writes``), also whether it is writable. One machine that reads the storage makes the
manifest that is compared with the baseline, because all machines see the same files.
"""

from __future__ import annotations

import contextlib
import secrets
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, TypeVar

from pydantic import Field
from typing_extensions import TypeForm

from harness.backup import manifest
from harness.backup.compare import compare
from harness.backup.manifest import Making, Tree, TreeManifest
from harness.core.errors import HarnessError, NotProven, TransportError, Unreachable, in_a_line
from harness.core.model import JSON
from harness.core.parallel import in_each
from harness.facts import legacy as facts
from harness.facts.ceph_names import is_same_source
from harness.facts.legacy import (
    Baseline,
    Comparison,
    Counts,
    Difference,
    Kind,
    NoBaseline,
    Sums,
    Written,
)
from harness.facts.schema import Known, dump, read
from harness.probes.probe import Timing
from harness.probes.scripts import mount_script
from harness.settings import Legacy
from harness.transport import Reach
from harness.transport.remote_script import RemoteScript

T = TypeVar("T")

_SCRIPT = RemoteScript(mount_script)
_ANSWERS_WITHIN_S = 20.0
_FIRST = 20


class LegacyMount:
    """Reads what each machine has mounted; a child process there reads some of it."""

    name: ClassVar[str] = facts.LEGACY_MOUNT.name
    sentence: ClassVar[str] = "the existing storage, read on every machine"
    timing: ClassVar[Timing] = Timing.AT_START
    within_s: ClassVar[float] = 2 * (_ANSWERS_WITHIN_S + 25)

    def targets(self, reach: Reach) -> Sequence[str]:
        return [machine.name for machine in reach.profile.machines]

    def observe(self, reach: Reach, target: str) -> JSON:
        found, legacy = look(reach, target), declared(reach)
        takes_writes = found.mount is not None and not found.mount.read_only
        if legacy.writes and is_usable(found, legacy) and takes_writes:
            said = _asked(reach, target, Written, legacy.writes, secrets.token_hex(8))
            wrote = replace(said, folder=f"{legacy.path}/{legacy.writes}")
            found = replace(found, write=wrote)
        return dump(found)


def look(reach: Reach, machine: str) -> facts.LegacyMount:
    """What a machine reports about its mount, without a write; raises TransportError."""
    return _asked(reach, machine, facts.LegacyMount)


def _asked(reach: Reach, machine: str, kind: TypeForm[T], *words: str) -> T:
    asked: tuple[JSON, ...] = (declared(reach).path, _ANSWERS_WITHIN_S, *words)
    within_s = _ANSWERS_WITHIN_S + 25
    return _SCRIPT.on(reach.shell, machine, *asked, within_s=within_s, read=kind).value


def declared(reach: Reach) -> Legacy:
    """The declared storage; NotProven without one."""
    if reach.profile.legacy is None:
        raise NotProven("the profile declares no existing storage (legacy)")
    return reach.profile.legacy


def is_usable(found: facts.LegacyMount, legacy: Legacy) -> bool:
    """True if the declared storage is mounted there and answers."""
    mount = found.mount
    return (
        mount is not None
        and (mount.type, mount.root) == (legacy.type, legacy.root)
        and is_same_source(legacy.type, mount.source, legacy.source)
        and isinstance(found.read, Known)
    )


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
        legacy = declared(reach)
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
    found = in_each(machines, lambda it: look(reach, it))
    for machine, seen in found.items():
        if isinstance(seen, facts.LegacyMount) and is_usable(seen, legacy):
            tree = Tree(machine=machine, root=legacy.path, left_out=legacy.may_change)
            return Making(shell=reach.shell, tree=tree, name=name)
    errors = {it: error for it, error in found.items() if isinstance(error, HarnessError)}
    why = [f"{machine}: {in_a_line(error)}" for machine, error in errors.items()]
    remedy = f"findmnt {legacy.path} on each machine; mount it, or correct the profile's legacy"
    if len(errors) == len(machines):
        remedy = errors[machines[0]].remedy
    raise Unreachable(
        "; ".join([f"no machine reads {legacy.path} ({legacy.type} of {legacy.source})", *why]),
        remedy=remedy,
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
