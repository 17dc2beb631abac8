"""Sends the guard to a machine, and reads its answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from harness.bench.scripts import disk_reader, disk_rules, facts_script, guard_script
from harness.core.errors import TransportError
from harness.core.model import JSON
from harness.transport import Reach, own_folder
from harness.transport.remote_script import RemoteScript

GUARD = RemoteScript(disk_reader, disk_rules, facts_script, own_folder, guard_script)


def ask(
    reach: Reach,
    machine: str,
    mode: str,
    about: Mapping[str, JSON],
    *,
    within_s: float,
    hear: Callable[[str], None] | None = None,
) -> dict[str, object]:
    """The guard's answer on a machine; TransportError when it gives no answer.

    ``hear`` gets each line before the answer, as it arrives.
    """
    answer = GUARD.on(
        reach.shell, machine, mode, about, within_s=within_s, hear=hear, read=dict[str, object]
    ).value
    if "error" in answer:
        raise TransportError(f"{machine}: the guard broke: {answer['error']}")
    return answer
