"""One etcd member stops, and with it the API server that uses it."""

from __future__ import annotations

from typing import ClassVar, Literal

from harness.faults.kinds.stop_static_pod import StopStaticPod
from harness.faults.model import BlastRadius


class StopEtcd(StopStaticPod):
    """Remove the static pod of etcd from one machine."""

    name: ClassVar[str] = "stop-etcd"
    blast_radius: ClassVar[frozenset[BlastRadius]] = frozenset({BlastRadius.ETCD})

    part: Literal["etcd"] = "etcd"  # type: ignore[assignment]
