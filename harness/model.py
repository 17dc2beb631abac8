"""The words of the harness as values: outcomes, observations, verdicts and what a cluster declares.

Standard library only, and the errors. Everything here is frozen and goes to JSON and back
unchanged, so that a verdict can be recomputed from a journal alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum, StrEnum
from typing import NamedTuple, TypeAlias

from harness.errors import ConfigError, Refused, Unhealed

JSON: TypeAlias = "bool | int | float | str | Sequence[JSON] | Mapping[str, JSON] | None"
Numbers: TypeAlias = Mapping[str, float]


class Outcome(StrEnum):
    """What is known about a requirement after looking."""

    PASS = "pass"
    FAIL = "fail"
    NOT_PROVEN = "not_proven"
    WAIVED = "waived"
    NOT_APPLICABLE = "not_applicable"


class Severity(StrEnum):
    """How much a failure of the requirement weighs in the decision."""

    BLOCKER = "blocker"
    MAJOR = "major"
    MINOR = "minor"


class Decision(StrEnum):
    """What a gate says."""

    GO = "GO"
    GO_WITH_WAIVERS = "GO-WITH-WAIVERS"
    NO_GO = "NO-GO"
    NOT_PROVEN = "NOT-PROVEN"
    REFUSED = "REFUSED"
    UNHEALED = "UNHEALED"

    @property
    def exit(self) -> Exit:
        """The exit status of a command that decided so."""
        return Exit.GO if self is Decision.GO_WITH_WAIVERS else Exit[self.name]


class Exit(IntEnum):
    """The exit statuses of every command."""

    GO = 0
    NO_GO = 1
    USAGE = 2
    NOT_PROVEN = 3
    REFUSED = 4
    UNHEALED = 5

    @classmethod
    def of(cls, error: BaseException) -> Exit:
        """That of an error; one without a status of its own proves nothing."""
        own = {ConfigError: cls.USAGE, Refused: cls.REFUSED, Unhealed: cls.UNHEALED}
        return next((it for kind, it in own.items() if isinstance(error, kind)), cls.NOT_PROVEN)


# Worst first. NOT_APPLICABLE ranks last: beside anything else it says nothing.
_WORST_FIRST = (
    Outcome.FAIL,
    Outcome.NOT_PROVEN,
    Outcome.WAIVED,
    Outcome.PASS,
    Outcome.NOT_APPLICABLE,
)


def merge(outcomes: Iterable[Outcome]) -> Outcome:
    """The worst of the outcomes; of none at all, NOT_PROVEN (silence is never success)."""
    return min(outcomes, key=_WORST_FIRST.index, default=Outcome.NOT_PROVEN)


class Observation(NamedTuple):
    """What a probe saw on one target, or why it saw nothing; a tuple, as there may be a million.

    ``at`` is UTC seconds since the epoch; ``took_s`` is how long the look took.
    Exactly one of ``value`` and ``error`` speaks: with an ``error``, ``value`` is None.
    """

    probe: str
    target: str
    at: float
    took_s: float
    value: JSON = None
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a check concluded: the outcome, why, what was measured and what was wanted.

    The keys of ``measured`` and ``target`` end in their unit (``_s``, ``_ms``, ``_percent``,
    ``_count``, ``_days`` …). ``where`` names the machines or objects at fault.
    """

    outcome: Outcome
    reason: str
    measured: Numbers = field(default_factory=dict)
    target: Numbers = field(default_factory=dict)
    where: tuple[str, ...] = ()


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
    """A port that may answer from outside, of one protocol over one version of IP."""

    number: int
    protocol: str  # "tcp" or "udp"
    version: int  # 4 or 6


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedPartition:
    """One entry of a disk's partition table, as it was recorded."""

    number: int
    start_bytes: int
    size_bytes: int
    type: str
    partuuid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OsdDisk:
    """The partition of one machine that is an OSD's, or (``raw``) will be, and its disk's record.

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
    """The StorageClass of customers' claims, as it is declared.

    ``parameters`` say where its data goes; ``access_lists`` whether POSIX ACLs must survive.
    """

    name: str
    provisioner: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    reclaim_policy: str = "Delete"
    access_lists: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupClaim:
    """The claim that holds every customer's backups; ``harness.settings.Backups`` says how.

    ``flat`` is true where the backups lie in ``active`` as files, without a folder a customer.
    """

    claim: str
    namespace: str
    access_mode: str = "ReadWriteMany"
    folders: tuple[str, ...] = ("active", "staging", "temp")
    active: str = "active"
    flat: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class RookDeclared:
    """Rook as the profile declares it; ``harness.settings.Rook`` says what each means."""

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
    driver_prefix: str | None = None
    warnings: tuple[str, ...] = ()
    device: str | None = None

    def driver(self, kind: str) -> str:
        """The full name of a CSI driver, ``cephfs`` or ``rbd``; Rook's own namespace is before it,
        unless Rook was told another prefix."""
        return f"{self.driver_prefix or self.operator_namespace}.{kind}.csi.ceph.com"


@dataclass(frozen=True, slots=True, kw_only=True)
class SwarmAnswer:
    """What a Swarm service answers on a published port; ``says`` are words that are in it.

    ``host`` is the Host header that it is asked with, ``location`` where a redirect leads to.
    """

    port: int
    path: str
    status: int
    says: str
    machines: tuple[str, ...]
    host: str = ""
    location: str = ""
    or_status: tuple[int, ...] = ()  # which are as right

    @property
    def statuses(self) -> tuple[int, ...]:
        return (self.status, *self.or_status)

    def without(self, machine: str) -> SwarmAnswer:
        """The answer as the other machines give it."""
        return replace(self, machines=tuple(name for name in self.machines if name != machine))

    def at(self, machine: str) -> str:
        """How an answer of one machine is named."""
        return f"{machine}:{self.port}{self.path}{f' as {self.host}' if self.host else ''}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SwarmService:
    """One service of the platform that is migrated.

    Without ``replicas``, a global service has a task wherever Swarm puts one.
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
    # Customers' instances: their services by a pattern, and what each one answers.
    instances: str = ""
    instance_answer: SwarmAnswer | None = None

    def without(self, machine: str) -> SwarmDeclared:
        """What is left of it without that machine: the services answer on the others."""
        return replace(
            self,
            managers=tuple(name for name in self.managers if name != machine),
            services={name: it.without(machine) for name, it in self.services.items()},
            instance_answer=self.instance_answer and self.instance_answer.without(machine),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class IngressPage:
    """What a declared site answers at a path: a status (None: any below 400), words in its body."""

    host: str
    path: str
    status: int | None = None
    says: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class IngressDeclared:
    """The ingress as the profile declares it; ``harness.settings.Ingress`` says what each means.

    ``limits`` are requests a minute that it takes from one source address, by host.
    """

    addresses: tuple[str, ...]
    scheme: str
    port: int
    pages: tuple[IngressPage, ...] = ()
    limits: Mapping[str, float] = field(default_factory=dict)

    def at(self, page: IngressPage, address: str) -> str:
        """How the answer of a page at one address is named."""
        usual = {"http": 80, "https": 443}[self.scheme]
        port = "" if self.port == usual else f":{self.port}"
        return f"{self.scheme}://{page.host}{port}{page.path} at {address}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """What a cluster profile declares, as far as checks may know it.

    ``parts`` are the declared parts of the stack ("cilium", "metallb", "network-policy",
    "rook-cluster" …): a requirement of a part that is absent is not applicable, because of
    ``absent[part]``, the profile's own words.
    """

    name: str
    machines: tuple[Machine, ...]
    kubernetes_version: str
    parts: frozenset[str] = frozenset()
    absent: Mapping[str, str] = field(default_factory=dict)
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
    source_gb: float | None = None  # what the storage that is replaced can hold
    rook: RookDeclared | None = None
    swarm: SwarmDeclared | None = None
    swarm_registries: tuple[str, ...] = ()  # which end with the Swarm
    ingress: IngressDeclared | None = None
    unjudged: tuple[str, ...] = ()  # addresses of machines that are left out (``without``)

    def without(self, name: str) -> Cluster:
        """The cluster as it must be while that machine is broken: nothing is asked of it."""
        swarm = self.swarm and self.swarm.without(name)
        return replace(
            self,
            machines=tuple(machine for machine in self.machines if machine.name != name),
            swarm=swarm,
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """All that a check may look at: what was seen, what was wanted, what was declared.

    ``observations`` holds the newest observation of each (probe, target) so far.
    """

    cluster: Cluster
    targets: Numbers
    observations: Sequence[Observation]

    def of(self, probe: str) -> Mapping[str, Observation]:
        """The observations of one probe, by target."""
        return {seen.target: seen for seen in self.observations if seen.probe == probe}
