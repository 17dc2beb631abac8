"""Probes read and never judge, never change. ``PROBES`` lists them by name."""

from __future__ import annotations

from collections.abc import Mapping

from harness.probes.access import AccessReviews
from harness.probes.backups import BackupClaims, EtcdSnapshots
from harness.probes.ceph import Ceph
from harness.probes.cilium import Cilium
from harness.probes.claims import Claims
from harness.probes.database_roles import DatabaseRoles
from harness.probes.databases import Databases
from harness.probes.disks import DiskBench, OsdDisks
from harness.probes.edge import Ingress, LoadBalancer
from harness.probes.etcd import EtcdWrites
from harness.probes.host_facts import HostFacts
from harness.probes.kubernetes import ApiEndpoints, ApiObjects, Nodes
from harness.probes.legacy import LegacyManifest, LegacyMount
from harness.probes.old_names import NamesOfOldPlatform, RoutesToOldPlatform
from harness.probes.old_platform import OldPlatform
from harness.probes.open_ports import OpenPorts
from harness.probes.parity import ParityRequests
from harness.probes.pod_network import NetworkPolicy, PodNetwork
from harness.probes.postgres import Postgres
from harness.probes.probe import Probe as Probe
from harness.probes.probe import Timing as Timing
from harness.probes.queues import QueuesAndSessions
from harness.probes.rook import Rook
from harness.probes.scheduling import Scheduling
from harness.probes.service_calls import ServiceCalls
from harness.probes.services import Registrations, Services
from harness.probes.swarm import Swarm
from harness.probes.velero import VeleroBackups
from harness.probes.workloads import AllWorkloads

_ALL: tuple[Probe, ...] = (
    AccessReviews(),
    AllWorkloads(),
    ApiEndpoints(),
    ApiObjects(),
    BackupClaims(),
    Ceph(),
    Cilium(),
    DatabaseRoles(),
    Databases(),
    DiskBench(),
    Claims(),
    EtcdSnapshots(),
    EtcdWrites(),
    HostFacts(),
    Ingress(),
    LegacyManifest(),
    LegacyMount(),
    LoadBalancer(),
    NamesOfOldPlatform(),
    NetworkPolicy(),
    Nodes(),
    OldPlatform(),
    OpenPorts(),
    OsdDisks(),
    ParityRequests(),
    PodNetwork(),
    Postgres(),
    QueuesAndSessions(),
    Registrations(),
    Rook(),
    RoutesToOldPlatform(),
    Scheduling(),
    ServiceCalls(),
    Services(),
    Swarm(),
    VeleroBackups(),
)

PROBES: Mapping[str, Probe] = {probe.name: probe for probe in _ALL}
