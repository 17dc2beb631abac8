"""The storage that exists already, on each machine: what is mounted there, and whether it reads.

The value: {"mount": {"type", "source"} or None, "read": {"value": {"names", "read": a file of it
that was read, or None}} or {"error"}, or None when nothing is mounted}.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from harness.endpoints import is_same_source
from harness.errors import NotProven, TransportError, Unreachable
from harness.model import JSON
from harness.settings import Legacy
from harness.transport import Reach

_SCRIPT = Path(__file__).with_name("mount_script.py").read_text(encoding="utf-8")
_PYTHON = ("python3", "-I", "-S", "-")
_ANSWERS_WITHIN_S = 20.0


class LegacyMount:
    """Asks each machine what is mounted, and a child there to read some of it."""

    name: ClassVar[str] = "legacy-mount"
    within_s: ClassVar[float] = 60.0

    def targets(self, reach: Reach) -> Sequence[str]:
        return [machine.name for machine in reach.profile.machines]

    def observe(self, reach: Reach, target: str) -> JSON:
        return look(reach, target)


def look(reach: Reach, machine: str) -> Mapping[str, Any]:
    """What a machine says of its mount; raises TransportError."""
    argv = (*_PYTHON, declared(reach).path, str(_ANSWERS_WITHIN_S))
    done = reach.shell.run(machine, argv, stdin=_SCRIPT, within_s=_ANSWERS_WITHIN_S + 25)
    if done.status != 0:
        raise Unreachable(f"{machine}: python3 ended with {done.status}: {done.stderr[-300:]}")
    try:
        found: Mapping[str, Any] = json.loads(done.stdout)
    except ValueError as error:
        raise TransportError(f"{machine}: garbled: {done.stdout[-200:]!r}") from error
    return found


def declared(reach: Reach) -> Legacy:
    """The profile's word on it; NotProven when it has none."""
    if reach.profile.legacy is None:
        raise NotProven("the profile declares no existing storage (legacy)")
    return reach.profile.legacy


def is_usable(found: Mapping[str, Any], legacy: Legacy) -> bool:
    """Whether what is declared is mounted there, and answers."""
    mount = found["mount"]
    if mount is None or mount["type"] != legacy.type:
        return False
    return is_same_source(mount["source"], legacy.source) and "value" in found["read"]
