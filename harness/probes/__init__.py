"""Probes read and never judge, never change. ``PROBES`` lists them by name."""

from __future__ import annotations

from collections.abc import Mapping

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
from harness.probes.postgres import Postgres
from harness.probes.probe import Probe as Probe
from harness.probes.probe import Timing as Timing
from harness.probes.rook import Rook
from harness.probes.scheduling import Scheduling
from harness.probes.services import Registrations, Services
from harness.probes.swarm import Swarm

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
    Postgres(),
    Registrations(),
    Rook(),
    Scheduling(),
    Services(),
    Swarm(),
)

PROBES: Mapping[str, Probe] = {probe.name: probe for probe in _ALL}
