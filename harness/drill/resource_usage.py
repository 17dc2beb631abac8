"""Counts resources that may leak while a platform runs for hours. Read only."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from harness.core.errors import HarnessError
from harness.core.parallel import in_each
from harness.probes.scripts import footprint_script
from harness.transport import Reach
from harness.transport.objects import count, listed, part, text
from harness.transport.remote_script import RemoteScript

_SCRIPT = RemoteScript(footprint_script)
# Kinds of objects that programs create temporarily and may fail to delete.
_KINDS: Mapping[str, str] = {
    "pods": "/api/v1/pods",
    "claims": "/api/v1/persistentvolumeclaims",
    "volumes": "/api/v1/persistentvolumes",
    "services": "/api/v1/services",
    "secrets": "/api/v1/secrets",
    "configmaps": "/api/v1/configmaps",
    "namespaces": "/api/v1/namespaces",
    "jobs": "/apis/batch/v1/jobs",
}
_OURS = quote("app.kubernetes.io/managed-by!=cutover", safe="")


def resource_usage(reach: Reach) -> dict[str, dict[str, int] | str]:
    """The counts by kind, for each machine and for the ``API``; or why they are not known."""
    machines = [machine.name for machine in reach.profile.machines]
    found = in_each(machines, lambda name: _of_machine(reach, name))
    seen: dict[str, dict[str, int] | str] = {
        name: str(it).partition("\n")[0] if isinstance(it, HarnessError) else it
        for name, it in found.items()
    }
    try:
        seen["API"] = {kind: _count(reach, path) for kind, path in _KINDS.items()}
    except HarnessError as error:
        seen["API"] = str(error).partition("\n")[0]
    return seen


def _of_machine(reach: Reach, machine: str) -> dict[str, int]:
    return _SCRIPT.on(reach.shell, machine, within_s=20.0, read=dict[str, int]).value


def _count(reach: Reach, path: str) -> int:
    """The number of objects beside the harness's own; the API counts those that it did not list."""
    first = reach.kube.get(f"{path}?limit=1&labelSelector={_OURS}")
    rest = part(first, "metadata").get("remainingItemCount")
    if rest is None and text(first, "metadata", "continue"):
        return len(listed(reach.kube.get(f"{path}?labelSelector={_OURS}"), "items"))
    return len(listed(first, "items")) + count(first, "metadata", "remainingItemCount")
