"""A cluster as its profile declares it, in the form for checks.

Imports only the standard library, and the platform's part of it. Every value is frozen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from harness.core.declared_platform import (
    JourneyDeclared,
    ParityRule,
    ReadDeclared,
    ScheduleDeclared,
    ServiceDeclared,
)

# The port of a scheme, if none is given.
PORT_OF: Mapping[str, int] = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """One machine as the inventory declares it."""

    name: str
    address: str
    roles: tuple[str, ...]  # "server" (control plane and etcd) and/or "worker"

    @property
    def is_server(self) -> bool:
        return "server" in self.roles


class Port(NamedTuple):
    """A port that may answer from outside, of one protocol over one IP version."""

    number: int
    protocol: str  # "tcp" or "udp"
    version: int  # 4 or 6


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedPartition:
    """One recorded entry of a disk's partition table."""

    number: int
    start_bytes: int
    size_bytes: int
    type: str
    partuuid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OsdDisk:
    """A machine's partition for its OSD, in use or (``raw``) planned, and its disk's record.

    Without ``partitions`` nothing was recorded.
    """

    path: str
    number: int
    osd: int
    raw: bool
    machine_id: str = ""
    serial: str = ""
    disk_bytes: int = 0
    partitions: tuple[RecordedPartition, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageClass:
    """The declared StorageClass of customers' claims.

    ``parameters`` say where its data goes; ``access_lists`` says whether POSIX ACLs must survive.
    """

    name: str
    provisioner: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    reclaim_policy: str = "Delete"
    access_lists: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupClaim:
    """The claim that holds every customer's backups; see ``harness.settings.Backups``.

    ``flat`` is true if ``active`` holds the backups as files, without a folder per customer.
    """

    claim: str
    namespace: str
    access_mode: str = "ReadWriteMany"
    folders: tuple[str, ...] = ("active", "staging", "temp")
    active: str = "active"
    flat: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class RookDeclared:
    """The declared Rook; ``harness.settings.Rook`` explains each field."""

    mode: str  # "external" or "cluster"
    version: str
    operator_namespace: str
    namespace: str
    cluster: str
    monitors: tuple[str, ...]
    drivers: tuple[str, ...]
    storage_class: str
    reclaim_policy: str
    filesystem: str
    pool: str
    cluster_id: str = ""
    csi: str = "present"  # or "absent"
    driver_prefix: str | None = None
    device: str | None = None

    def driver(self, kind: str) -> str:
        """The full name of a CSI driver, ``cephfs`` or ``rbd``.

        Its prefix is Rook's namespace, unless Rook has another prefix configured.
        """
        return f"{self.driver_prefix or self.operator_namespace}.{kind}.csi.ceph.com"


@dataclass(frozen=True, slots=True, kw_only=True)
class SwarmAnswer:
    """The expected answer of a Swarm service on a published port; ``says`` are words in it.

    ``host`` is the request's Host header, ``location`` the target of a redirect.
    """

    port: int
    path: str
    status: int
    says: str
    machines: tuple[str, ...]
    host: str = ""
    location: str = ""
    or_status: tuple[int, ...] = ()  # other accepted statuses

    @property
    def statuses(self) -> tuple[int, ...]:
        return (self.status, *self.or_status)

    def without(self, machine: str) -> SwarmAnswer:
        """The answer as the other machines give it."""
        return replace(self, machines=tuple(name for name in self.machines if name != machine))

    def at(self, machine: str) -> str:
        """The name of one machine's answer."""
        return f"{machine}:{self.port}{self.path}{f' as {self.host}' if self.host else ''}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SwarmService:
    """One service of the platform that is migrated.

    Without ``replicas``, a global service has a task on every machine that Swarm chooses.
    """

    replicas: int | None
    mode: str = "replicated"
    answers: tuple[SwarmAnswer, ...] = ()

    def without(self, machine: str) -> SwarmService:
        """The service as it answers on the other machines."""
        return replace(self, answers=tuple(it.without(machine) for it in self.answers))


@dataclass(frozen=True, slots=True, kw_only=True)
class SwarmDeclared:
    """The platform that is migrated: a Swarm of all machines, its managers and its services."""

    managers: tuple[str, ...]
    services: Mapping[str, SwarmService]
    # Customers' instances: a pattern for their services, and the answers of each.
    instances: str = ""
    instance_answer: SwarmAnswer | None = None

    def without(self, machine: str) -> SwarmDeclared:
        """The Swarm without that machine: the services answer on the others."""
        return replace(
            self,
            managers=tuple(name for name in self.managers if name != machine),
            services={name: it.without(machine) for name, it in self.services.items()},
            instance_answer=self.instance_answer and self.instance_answer.without(machine),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class IngressPage:
    """A site's expected answer at a path: status (None: any below 400), words in the body."""

    host: str
    path: str
    status: int | None = None
    says: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class IngressDeclared:
    """The declared ingress; ``harness.settings.Ingress`` explains each field.

    ``limits`` are the requests per minute that it accepts from one source address, by host.
    """

    addresses: tuple[str, ...]
    scheme: str
    port: int
    pages: tuple[IngressPage, ...] = ()
    limits: Mapping[str, float] = field(default_factory=dict)

    def at(self, page: IngressPage, address: str) -> str:
        """The name of a page's answer at one address."""
        port = "" if self.port == PORT_OF[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{page.host}{port}{page.path} at {address}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreDeclared:
    """What a restored backup may differ in: rows at most (None: any), by table; and objects."""

    mutations: Mapping[str, int | None] = field(default_factory=dict)
    different: Mapping[str, str] = field(default_factory=dict)  # object → why it differs


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivilegesDeclared:
    """What workloads of a namespace may have of their machine: ``harness.settings.Privileges``."""

    namespace: str
    workloads: str = "*"
    host_paths: tuple[str, ...] = ()
    may: tuple[str, ...] = ()
    everything: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ActDeclared:
    """An act in the cluster, as ``kubectl auth can-i`` takes it: ``create pods/exec in NAMESPACE``.

    Without a namespace it is the act in every namespace.
    """

    verb: str
    resource: str
    subresource: str = ""
    group: str = ""
    namespace: str = ""

    def __str__(self) -> str:
        below = f"/{self.subresource}" if self.subresource else ""
        group = f".{self.group}" if self.group else ""
        where = f"in {self.namespace}" if self.namespace else "everywhere"
        return f"{self.verb} {self.resource}{group}{below} {where}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountDeclared:
    """A service account: what it needs to do, and what it must not be able to do."""

    may: tuple[ActDeclared, ...] = ()
    must_not: tuple[ActDeclared, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresDeclared:
    """The platform's PostgreSQL; ``harness.settings.Postgres`` explains each field.

    ``operator`` is empty without one; ``databases`` answer at ``name``.
    """

    operator: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)
    limits: Mapping[str, str] = field(default_factory=dict)
    name: str = ""
    databases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleDeclared:
    """A database role: what it must be able to do, and what it must not, in words."""

    may: tuple[str, ...] = ()
    must_not: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """A cluster profile's declarations, as far as checks may know them.

    ``parts`` are the declared parts of the stack ("cilium", "metallb", "network-policy",
    "rook-cluster" …). A requirement of an absent part is not applicable; ``absent[part]`` is the
    reason, in the profile's own words. A requirement of a part in ``undeclared`` is NOT PROVEN: the
    profile neither declares it nor says why it is absent.
    """

    name: str
    machines: tuple[Machine, ...]
    kubernetes_version: str
    parts: frozenset[str] = frozenset()
    absent: Mapping[str, str] = field(default_factory=dict)
    undeclared: frozenset[str] = frozenset()
    expected_taints: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    sysctls: Mapping[str, str] = field(default_factory=dict)
    tolerated_units: Mapping[str, str] = field(default_factory=dict)  # unit → why it may fail
    node_mtu: int = 1500
    pod_mtu: int = 1500
    exposed_ports: tuple[Port, ...] = ()
    load_balancer_pool: tuple[str, ...] = ()  # "first-last" or CIDR
    osd_disks: Mapping[str, OsdDisk] = field(default_factory=dict)  # by machine
    storage: StorageClass | None = None
    legacy: Mapping[str, str] = field(default_factory=dict)  # "path", "type", "source"
    backups: BackupClaim | None = None
    ceph_warnings: Mapping[str, str] = field(default_factory=dict)  # code → why it may be there
    ceph_flags: Mapping[str, str] = field(default_factory=dict)  # flag → why it may be set
    source_gb: float | None = None  # capacity of the storage that is replaced
    rook: RookDeclared | None = None
    swarm: SwarmDeclared | None = None
    swarm_registries: tuple[str, ...] = ()  # which end with the Swarm
    ingress: IngressDeclared | None = None
    services: tuple[ServiceDeclared, ...] = ()
    services_namespace: str = ""
    # A caller → NAME:PORT under the Swarm of what it calls; a service → a read of its database.
    service_calls: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    service_reads: Mapping[str, ReadDeclared] = field(default_factory=dict)
    privileges: tuple[PrivilegesDeclared, ...] = ()
    accounts: Mapping[str, AccountDeclared] = field(default_factory=dict)  # by NAMESPACE/NAME
    loads: Mapping[str, float | None] = field(default_factory=dict)  # name → its p99_ms
    parity_requests: tuple[str, ...] = ()
    parity_writes: tuple[str, ...] = ()
    parity_rules: tuple[ParityRule, ...] = ()
    journeys: Mapping[str, JourneyDeclared] = field(default_factory=dict)  # by name
    registrations: Mapping[str, str] = field(default_factory=dict)  # name → its one entry
    postgres: PostgresDeclared = field(default_factory=PostgresDeclared)
    # The name of a pair of servers → object → why it differs there.
    equality_different: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    # The name of a pair of servers → a role of its target.
    database_roles: Mapping[str, Mapping[str, RoleDeclared]] = field(default_factory=dict)
    dump_different: Mapping[str, str] = field(default_factory=dict)  # pattern → why
    queues_lost: Mapping[str, str] | None = None  # pattern → why; None: no queues are declared
    sessions_lost: Mapping[str, str] | None = None
    restore: RestoreDeclared = RestoreDeclared()
    schedules: tuple[ScheduleDeclared, ...] = ()  # of Velero's backups
    unjudged: tuple[str, ...] = ()  # addresses of excluded machines (``without``)

    def without(self, name: str) -> Cluster:
        """The cluster's expected state while that machine is broken; checks ask nothing of it."""
        return replace(
            self,
            machines=tuple(machine for machine in self.machines if machine.name != name),
            swarm=self.swarm and self.swarm.without(name),
            unjudged=(*self.unjudged, self.machine(name).address),
        )

    def machine(self, name: str) -> Machine:
        """The machine of that name; KeyError when the inventory has none."""
        for machine in self.machines:
            if machine.name == name:
                return machine
        raise KeyError(name)

    @property
    def servers(self) -> tuple[Machine, ...]:
        return tuple(machine for machine in self.machines if machine.is_server)
