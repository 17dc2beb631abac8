"""Cluster profiles: an operator's declarations, validated before anything is touched.

A profile is one YAML file in ``scenarios/clusters/`` (or any path).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, model_validator

from harness.core.declared import (
    Cluster,
    OsdDisk,
    PostgresDeclared,
    RestoreDeclared,
    SwarmDeclared,
)
from harness.core.declared_platform import JourneyDeclared
from harness.core.errors import ConfigError
from harness.facts.journeys import JOURNEYS
from harness.settings.access import AccountName, Privileges, ServiceAccount
from harness.settings.databases import Pairs, Postgres, Queues, Sessions, declared_roles
from harness.settings.drills import Commands, DrillChange, KnownPods, Ledger, Power
from harness.settings.dump import Dump
from harness.settings.field_types import (
    AddressRange,
    ExposedPort,
    Name,
    ProfilePath,
    ports_of,
)
from harness.settings.files import SCENARIOS, Frozen, parse
from harness.settings.gates import TargetChange
from harness.settings.journeys import NamedJourneys
from harness.settings.loads import LoadBaseline, LoadWorkers, find_load
from harness.settings.machines import Access, Kubernetes, MachineSettings, Stack, Units
from harness.settings.parity import Parity
from harness.settings.provision import Disks, recorded_disks
from harness.settings.restore import Restore
from harness.settings.services import Ingress, Registration, Services, Swarm
from harness.settings.shift import Shift
from harness.settings.storage import Backups, Ceph, Legacy, Rook, Storage, Velero
from harness.settings.switch import Switch

_OF_BACKUPS = "W3-BACKUPS"


class Profile(Frozen):
    """A cluster, as its operator declares it."""

    # The name that reports, waivers and `--cluster` use: that of the file.
    name: Name
    # The cluster in words, for a report.
    title: str
    schema_version: Literal[1] = Field(alias="schema")
    # UID of the namespace kube-system: proves that this is the intended cluster.
    uid: str | None = None
    # A file that holds the UID instead, for a cluster that is created anew.
    uid_file: ProfilePath | None = None
    access: Access
    machines: tuple[MachineSettings, ...] = Field(min_length=1)
    kubernetes: Kubernetes
    stack: Stack
    # Why a part that is not declared is absent, in words for the report.
    absent: Mapping[str, str] = {}
    # Kernel parameters that every machine must have, by name.
    sysctls: Mapping[str, str] = {}
    units: Units = Units()
    ingress: Ingress | None = None
    storage: Storage | None = None
    rook: Rook | None = None
    # The ports that may answer from outside, on every machine: 22, 443/tcp4, 51820/udp.
    exposed_ports: tuple[ExposedPort, ...] = ()
    ceph: Ceph = Ceph()
    # The load balancer's pool: "first-last" or a network in CIDR notation.
    load_balancer_pool: tuple[AddressRange, ...] = ()
    legacy: Legacy | None = None
    backups: Backups | None = None
    velero: Velero | None = None
    swarm: Swarm | None = None
    services: Services | None = None
    # What workloads may have of their machine, beyond what every pod has.
    privileges: tuple[Privileges, ...] = ()
    # What service accounts may do in the cluster, and what they must not: by NAMESPACE/NAME.
    service_accounts: Mapping[AccountName, ServiceAccount] = {}
    parity: Parity | None = None
    # The ways of a new customer: the name of a file in scenarios/journeys, or what it would say.
    journeys: NamedJourneys | None = None
    # The loads that gates offer to the ingress: names of files in scenarios/load, or paths.
    loads: tuple[str, ...] = ()
    # How the old platform is reached, for the comparison under the same loads.
    load_baseline: LoadBaseline | None = None
    # Who offers the loads, instead of this computer.
    load_workers: LoadWorkers | None = None
    # What services register elsewhere exactly once, by a name for reports.
    registrations: Mapping[str, Registration] = {}
    postgres: Postgres | None = None
    # The pairs of servers that must hold the same; one pair needs no list.
    equality: Pairs = ()
    queues: Queues | None = None
    sessions: Sessions | None = None
    restore: Restore | None = None
    # How the two PostgreSQL of `equality:` reach each other, to switch over.
    switch: Switch | None = None
    # How a database of the source is dumped and restored at the target.
    dump: Dump | None = None
    shift: Shift | None = None
    # Who acts in the cutover's night, by owner of the gate files: a name, and how to call them.
    owners: Mapping[str, str] = {}
    # This cluster's own numbers for targets of the gate files, by requirement and target.
    targets: Mapping[str, Mapping[str, TargetChange]] = {}
    # True if drills and soaks may break anything here at all; each run must allow it too.
    allow_disruption: bool = False
    # The minutes in which the drills of one run must end; a drill that might not is not started.
    drills_within_min: float | None = Field(default=None, gt=0)
    # This cluster's changes to drills, by the drill's name.
    drills: Mapping[str, DrillChange] = {}
    power: Power | None = None
    # The machines share one clock, which a machine cannot set alone.
    shared_clock: bool = False
    # The machine whose loss the drill lose-manager rehearses.
    swarm_manager: Name | None = None
    # A folder on every machine, on the file system that a fault may fill.
    fill_folder: Annotated[str, Field(pattern="^/")] | None = None
    commands: Commands = Commands()
    pods: KnownPods = KnownPods()
    disks: Disks | None = None
    ledger: Ledger | None = None
    # Only a profile of the embedded lab has this: its size and shape. Read by harness.lab alone.
    lab: Mapping[str, object] | None = None

    @model_validator(mode="after")
    def _machines_differ(self) -> Profile:
        for what in ("name", "address"):
            seen = [str(getattr(machine, what)) for machine in self.machines]
            twice = {value for value in seen if seen.count(value) > 1}
            if twice:
                raise ValueError(f"two machines have the same {what}: {', '.join(sorted(twice))}")
        return self

    @model_validator(mode="after")
    def _parts_are_told(self) -> Profile:
        if self.stack.ingress is not None and self.ingress is None:
            raise ValueError("the stack has an ingress: say in `ingress:` where it answers")
        if self.stack.load_balancer is not None and not self.load_balancer_pool:
            raise ValueError("the stack has a load balancer: say its `load_balancer_pool:`")
        if self.stack.rook is not None and self.rook is None:
            raise ValueError("the stack has Rook: say in `rook:` what it manages")
        if self.rook is not None and self.rook.csi == "absent" and "rook-csi" not in self.absent:
            raise ValueError("Rook has no CSI drivers: say in `absent: rook-csi:` why")
        if self.stack.rook == "cluster" and self.rook is not None and self.rook.device is None:
            raise ValueError("Rook runs its own Ceph: say in `rook.device:` what holds the OSDs")
        if self.stack.source == "swarm" and self.swarm is None:
            raise ValueError("the stack's source is Swarm: say in `swarm:` what it gives")
        return self

    @model_validator(mode="after")
    def _machines_are_known(self) -> Profile:
        known = [machine.name for machine in self.machines]
        named = {
            "swarm_manager": (self.swarm_manager,) if self.swarm_manager is not None else (),
            "disks.osds": self.disks.osds if self.disks is not None else (),
            "swarm": self.swarm.machines() if self.swarm is not None else (),
            "shift": self.shift.machines() if self.shift is not None else (),
        }
        for key, names in named.items():
            if unknown := sorted(set(names) - set(known)):
                says = f"`{key}:` names {', '.join(unknown)}, which `machines:` does not have"
                raise ValueError(f"{says}: {', '.join(known)}")
        return self

    @model_validator(mode="after")
    def _journeys_have_a_way(self) -> Profile:
        if self.journeys is not None and self.ingress is None:
            raise ValueError("journeys go through the ingress: say in `ingress:` where it answers")
        return self

    def _why_absent(self, part: str) -> str:
        """Why a part is absent; the profile's own words if it gives a reason."""
        if part == "tls":
            return self.absent.get(part, "the ingress is plain HTTP: `scheme: http`")
        undeclared = f"the profile {self.name} does not declare {part}"
        if part in self._platform_parts():
            undeclared += ": declare it, or say in `absent:` why it does not apply"
        return self.absent.get(part, undeclared)

    @property
    def database_image(self) -> str:
        """The image of the ledger's database; without one, the image of the probes."""
        return self.ledger.database_image if self.ledger else self.kubernetes.probe_image

    def declared_uid(self) -> str | None:
        """The UID that this cluster must have; None when the profile declares none yet."""
        if self.uid is not None or self.uid_file is None:
            return self.uid
        return self.uid_file.read_text(encoding="utf-8").strip() if self.uid_file.exists() else None

    def offered_by(self, workers: int | None, listen: str | None) -> Self:
        """This profile, with so many workers for its loads; ConfigError for what cannot be.

        What is not given (None) stays as the profile declares it.
        """
        given = {"count": workers, "listen": listen}
        given = {key: value for key, value in given.items() if value is not None}
        if not given:
            return self
        told = {**(self.load_workers.model_dump() if self.load_workers else {}), **given}
        if "count" not in told:
            raise ConfigError(
                f"--listen {listen} without --workers: no worker is expected there",
                remedy="say with --workers how many come",
            )
        try:
            declared = LoadWorkers.model_validate(told)
        except ValidationError as error:
            words = "; ".join(it["msg"] for it in error.errors())
            raise ConfigError(f"--workers {workers} --listen {listen}: {words}") from error
        return self.model_copy(update={"load_workers": declared})

    def require_machines(self, names: Iterable[str]) -> None:
        """ConfigError for a name that is no machine of this profile."""
        known = [machine.name for machine in self.machines]
        for name in names:
            if name not in known:
                raise ConfigError(
                    f"the profile {self.name} has no machine {name}",
                    remedy=f"its machines are {', '.join(known)}",
                )

    def changes(self, requirement: str) -> Mapping[str, TargetChange]:
        """This cluster's own numbers for a requirement's targets."""
        told = self.targets.get(requirement, {})
        size = None if self.backups is None else self.backups.at_least_gib
        if requirement != _OF_BACKUPS or size is None:
            return told
        because = "the profile declares the claim's size (backups.at_least_gib)"
        return {"claim_gib": TargetChange(number=size, because=because), **told}

    def without(self, machine: str) -> Profile:
        """The profile without one machine, for code that must not contact that broken machine."""
        others = tuple(it for it in self.machines if it.name != machine)
        return self.model_copy(update={"machines": others})

    def _platform_parts(self) -> Mapping[str, bool]:
        """The parts that the platform has on every cluster, and whether each is declared.

        One that is forgotten must not make a gate green: without a reason it is NOT PROVEN.
        """
        return {
            "services": self.services is not None,
            "registrations": bool(self.registrations),
            "loads": bool(self.loads),
            "parity": self.parity is not None,
            **{f"{name}-journey": name in self._journeys for name in JOURNEYS},
            "service-accounts": bool(self.service_accounts),
            "postgres": self.postgres is not None,
            "equality": bool(self.equality),
            "database-roles": any(it.roles for it in self.equality),
            "restore": self.restore is not None,
            "switch": self.switch is not None,
            "dump": self.dump is not None,
        }

    def _parts(self) -> Mapping[str, bool]:
        """Every part that a requirement may need, and whether this cluster has it."""
        return {
            f"cni-{self.stack.cni}": True,
            "cilium": self.stack.cni == "cilium",
            "network-policy": self.stack.network_policy,
            "load-balancer": self.stack.load_balancer is not None,
            "ingress": self.stack.ingress is not None,
            "tls": self.ingress is None or self.ingress.scheme == "https",
            "rook": self.stack.rook is not None,
            "rook-cluster": self.stack.rook == "cluster",
            "rook-csi": self.stack.rook is not None
            and self.rook is not None
            and self.rook.csi == "present",
            "swarm": self.stack.source == "swarm",
            "swarm-instances": self.stack.source == "swarm"
            and self.swarm is not None
            and self.swarm.instances is not None,
            "cephfs": self.storage is not None,
            "raw-disks": self.disks is not None and self.disks.state == "raw",
            "legacy": self.legacy is not None,
            "backups": self.backups is not None,
            "velero": self.velero is not None,
            "own-clock": not self.shared_clock,
            **self._platform_parts(),
        }

    def _undeclared(self) -> frozenset[str]:
        """The parts that are neither declared nor said to be absent."""
        missing = (part for part, present in self._platform_parts().items() if not present)
        return frozenset(part for part in missing if part not in self.absent)

    def cluster(self) -> Cluster:
        """The profile in the form for checks."""
        parts = self._parts()
        return Cluster(
            name=self.name,
            machines=tuple(machine.declared() for machine in self.machines),
            kubernetes_version=self.kubernetes.version,
            parts=frozenset(part for part, present in parts.items() if present),
            absent={part: self._why_absent(part) for part, present in parts.items() if not present},
            undeclared=self._undeclared(),
            expected_taints={m.name: m.taints for m in self.machines},
            sysctls=dict(self.sysctls),
            tolerated_units=dict(self.units.tolerated),
            exposed_ports=tuple(it for port in self.exposed_ports for it in ports_of(port)),
            load_balancer_pool=self.load_balancer_pool,
            osd_disks=self._osd_disks(),
            legacy=self.legacy.declared() if self.legacy else {},
            backups=None if self.backups is None else self.backups.declared(),
            schedules=tuple(it.declared() for it in self.velero.schedules) if self.velero else (),
            ceph_warnings=dict(self.ceph.warnings),
            ceph_flags=dict(self.ceph.flags),
            source_gb=self.ceph.source_gb,
            rook=self.rook.declared(self.stack.rook) if self.rook and self.stack.rook else None,
            swarm=self._swarm(),
            swarm_registries=self.swarm.registries if self.swarm is not None else (),
            services=self.services.declared() if self.services else (),
            service_calls=self.services.calls() if self.services else {},
            service_reads=self.services.reads() if self.services else {},
            services_namespace=self.services.namespace if self.services else "",
            privileges=tuple(it.declared() for it in self.privileges),
            accounts={name: it.declared(name) for name, it in self.service_accounts.items()},
            loads={name: find_load(name).p99_ms for name in self.loads},
            journeys=self._journeys,
            parity_requests=tuple(self.parity.reads) if self.parity else (),
            parity_writes=tuple(self.parity.writes) if self.parity else (),
            parity_rules=self.parity.declared() if self.parity else (),
            registrations={name: it.entry for name, it in self.registrations.items()},
            postgres=self.postgres.declared() if self.postgres else PostgresDeclared(),
            equality_different={it.name: it.different for it in self.equality},
            dump_different=self._dump_different,
            queues_lost=self.queues.lost if self.queues else None,
            sessions_lost=self.sessions.lost if self.sessions else None,
            database_roles=declared_roles(self.equality),
            restore=self.restore.declared() if self.restore else RestoreDeclared(),
            ingress=self.ingress.declared() if self.ingress and self.stack.ingress else None,
            node_mtu=self.kubernetes.node_mtu,
            pod_mtu=self.kubernetes.pod_mtu,
            storage=None if self.storage is None else self.storage.declared(),
        )

    @property
    def _dump_different(self) -> dict[str, str]:
        """What may differ after a dump: what may differ between the pair's servers anyway, too."""
        if self.dump is None:
            return {}
        of_pair = (it.different for it in self.equality if it.name == self.dump.pair)
        return {**next(of_pair, {}), **self.dump.different}

    @property
    def _journeys(self) -> dict[str, JourneyDeclared]:
        named = self.journeys.named() if self.journeys is not None else {}
        return {name: it.declared() for name, it in named.items()}

    def _swarm(self) -> SwarmDeclared | None:
        if self.swarm is None or self.stack.source != "swarm":
            return None
        return self.swarm.declared(tuple(machine.name for machine in self.machines))

    def _osd_disks(self) -> dict[str, OsdDisk]:
        if self.disks is None:
            return {}
        disks = self.disks
        return recorded_disks(
            disks.record,
            device=disks.device,
            number=disks.number,
            osds=disks.osds,
            raw=disks.state == "raw",
        )


def load_profile(name: str) -> Profile:
    """The profile of that name in ``scenarios/clusters``, or at that path."""
    path = Path(name) if name.endswith((".yaml", ".yml")) else SCENARIOS / f"clusters/{name}.yaml"
    if not path.exists():
        known = ", ".join(sorted(p.stem for p in (SCENARIOS / "clusters").glob("*.yaml")))
        raise ConfigError(f"there is no cluster profile {path}", remedy=f"known are: {known}")
    return parse(Profile, path)
