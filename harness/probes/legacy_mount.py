"""The storage that exists already, on each machine: what is mounted there, and whether it reads.

Where the profile has a folder for it (``legacy.writes``), also whether it takes a write.

The value: {"mount": {"type", "source", "root", "read_only"} or None, "read": {"value": {"names",
"read": a file of it that was read, or None}} or {"error"}, or None when nothing is mounted,
"write": {"folder", and "value": true, "error", or why it was not tried in "unasked"}, or None when
nothing is declared, or what is mounted is not what is declared or takes no write by its options}.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from harness.errors import NotProven
from harness.facts.mount_source import is_same
from harness.model import JSON
from harness.probes.probe import Timing
from harness.probes.scripts import mount_script
from harness.settings import Legacy
from harness.transport import Reach
from harness.transport.remote_script import RemoteScript

_SCRIPT = RemoteScript(mount_script)
_ANSWERS_WITHIN_S = 20.0


class LegacyMount:
    """Asks each machine what is mounted, and a child there to read some of it."""

    name: ClassVar[str] = "legacy-mount"
    sentence: ClassVar[str] = "the existing storage, read on every machine"
    timing: ClassVar[Timing] = Timing.AT_START
    within_s: ClassVar[float] = 2 * (_ANSWERS_WITHIN_S + 25)

    def targets(self, reach: Reach) -> Sequence[str]:
        return [machine.name for machine in reach.profile.machines]

    def observe(self, reach: Reach, target: str) -> JSON:
        found, legacy = look(reach, target), declared(reach)
        wrote: Mapping[str, Any] | None = None
        if legacy.writes and is_usable(found, legacy) and not found["mount"]["read_only"]:
            said = _asked(reach, target, legacy.writes, secrets.token_hex(8))
            wrote = {"folder": f"{legacy.path}/{legacy.writes}", **said}
        return {**found, "write": wrote}


def look(reach: Reach, machine: str) -> Mapping[str, Any]:
    """What a machine says of its mount, and nothing is written; raises TransportError."""
    return _asked(reach, machine)


def _asked(reach: Reach, machine: str, *words: str) -> Mapping[str, Any]:
    asked: tuple[JSON, ...] = (declared(reach).path, _ANSWERS_WITHIN_S, *words)
    found: Mapping[str, Any] = _SCRIPT.on(
        reach.shell, machine, *asked, within_s=_ANSWERS_WITHIN_S + 25
    ).value
    return found


def declared(reach: Reach) -> Legacy:
    """The profile's word on it; NotProven when it has none."""
    if reach.profile.legacy is None:
        raise NotProven("the profile declares no existing storage (legacy)")
    return reach.profile.legacy


def is_usable(found: Mapping[str, Any], legacy: Legacy) -> bool:
    """Whether what is declared is mounted there, and answers."""
    mount = found["mount"]
    return (
        mount is not None
        and (mount["type"], mount["root"]) == (legacy.type, legacy.root)
        and is_same(legacy.type, mount["source"], legacy.source)
        and "value" in found["read"]
    )
