"""The only ways out of the harness: SSH to machines, the Kubernetes API, and fakes of both.

Every call has a deadline of its own and is abandoned at it. The exit status of a remote command
is data; an exception means that the command could not be asked at all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from harness.settings import Profile


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """What a remote command left behind. ``took_s`` is wall time on our side."""

    status: int
    stdout: str
    stderr: str
    took_s: float = 0.0


class Shell(Protocol):
    """Commands on machines."""

    def run(
        self, machine: str, argv: Sequence[str], *, stdin: str = "", within_s: float = 30.0
    ) -> Completed:
        """Run one command on a machine and wait for it; raises only TransportError."""
        ...

    def close(self) -> None: ...


class Kube(Protocol):
    """The Kubernetes API, as plain JSON objects."""

    def get(self, path: str, *, within_s: float = 10.0) -> Any:
        """The object or list at an API path such as ``/api/v1/nodes``; raises TransportError."""
        ...

    def apply(self, manifest: Mapping[str, Any], *, within_s: float = 10.0) -> None:
        """Create the object, or bring it to this state (server-side apply)."""
        ...

    def delete(self, path: str, *, within_s: float = 10.0) -> None:
        """Delete the object at an API path; one that is not there is deleted already."""
        ...

    def exec(
        self,
        namespace: str,
        pod: str,
        argv: Sequence[str],
        *,
        stdin: str = "",
        within_s: float = 30.0,
    ) -> Completed:
        """Run one command in a pod's first container."""
        ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """Everything that a probe may use: the profile and the ways to its cluster."""

    profile: Profile
    shell: Shell
    kube: Kube
