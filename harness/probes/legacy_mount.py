"""The existing storage on each machine: what is mounted there, and whether it is readable.

If the profile has a folder for it (``legacy.writes``), also whether it is writable.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar, TypeVar

from typing_extensions import TypeForm

from harness.core.errors import NotProven
from harness.core.model import JSON
from harness.facts import legacy as facts
from harness.facts.ceph_names import is_same_source
from harness.facts.legacy import Written
from harness.facts.schema import Known, dump
from harness.probes.probe import Timing
from harness.probes.scripts import mount_script
from harness.settings import Legacy
from harness.transport import Reach
from harness.transport.remote_script import RemoteScript

T = TypeVar("T")

_SCRIPT = RemoteScript(mount_script)
_ANSWERS_WITHIN_S = 20.0


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
