"""Probes read and never judge, never change. ``PROBES`` lists them by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Protocol

from harness.model import JSON
from harness.probes.api_endpoints import ApiEndpoints
from harness.probes.api_objects import ApiObjects
from harness.probes.backup_claims import BackupClaims
from harness.probes.ceph import Ceph
from harness.probes.cilium import Cilium
from harness.probes.claims import Claims
from harness.probes.disk_bench import DiskBench
from harness.probes.etcd_snapshots import EtcdSnapshots
from harness.probes.etcd_writes import EtcdWrites
from harness.probes.host_facts import HostFacts
from harness.probes.ingress import Ingress
from harness.probes.legacy_manifest import LegacyManifest
from harness.probes.legacy_mount import LegacyMount
from harness.probes.load_balancer import LoadBalancer
from harness.probes.network_policy import NetworkPolicy
from harness.probes.nodes import Nodes
from harness.probes.open_ports import OpenPorts
from harness.probes.osd_disks import OsdDisks
from harness.probes.pod_network import PodNetwork
from harness.probes.rook import Rook
from harness.probes.scheduling import Scheduling
from harness.probes.swarm import Swarm
from harness.transport import Reach


class Probe(Protocol):
    """One way of looking at a cluster.

    ``observe`` returns what it saw on one target, or raises a HarnessError when it could not
    look; the engine records either. Targets are looked at side by side. A feature asks for the
    probe by its ``sentence``, a Given.
    """

    name: ClassVar[str]
    sentence: ClassVar[str]
    within_s: ClassVar[float]  # the deadline of one look, all retries included

    def targets(self, reach: Reach) -> Sequence[str]: ...

    def observe(self, reach: Reach, target: str) -> JSON: ...


_ALL: tuple[Probe, ...] = (
    ApiEndpoints(),
    ApiObjects(),
    BackupClaims(),
    Ceph(),
    Cilium(),
    DiskBench(),
    Claims(),
    EtcdSnapshots(),
    EtcdWrites(),
    HostFacts(),
    Ingress(),
    LegacyManifest(),
    LegacyMount(),
    LoadBalancer(),
    NetworkPolicy(),
    Nodes(),
    OpenPorts(),
    OsdDisks(),
    PodNetwork(),
    Rook(),
    Scheduling(),
    Swarm(),
)

PROBES: Mapping[str, Probe] = {probe.name: probe for probe in _ALL}
