"""Rook, its Ceph and its CSI drivers, as the Kubernetes API shows them.

Names of workloads and pods are "namespace/name", times are UTC seconds. A value that may be None is
None if there is no such object.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from harness.facts.schema import Fact, Known, OrUnknown, Part

T = TypeVar("T")


@dataclass(frozen=True)
class Understood(Known[T]):
    """The objects that were read; ``odd`` has those that could not be understood, and why."""

    odd: Mapping[str, str] | None = None


ROOK = Fact("rook", dict[str, OrUnknown[Understood[object]]])


# --- workloads ---


@dataclass(frozen=True, slots=True)
class Deployment:
    """``rook_version`` is the label that Rook gives to what it deploys."""

    wanted: int
    available: int
    updated: int
    image: str
    rook_version: str | None


DEPLOYMENTS = Part("deployments", dict[str, Deployment])


@dataclass(frozen=True, slots=True)
class DaemonSet:
    wanted: int
    ready: int
    updated: int


DAEMON_SETS = Part("daemon sets", dict[str, DaemonSet])


@dataclass(frozen=True, slots=True)
class Container:
    """``waits`` and ``ended`` are reasons; ``failed``: it ended with an error and runs no more.

    ``ended`` and ``ended_at`` are of that end, or else of the end before the last restart.
    """

    restarts: int
    waits: str | None
    failed: bool
    ended: str | None
    ended_at: float | None


@dataclass(frozen=True, slots=True)
class PodOfOsd:
    """An OSD's number, and the device that Rook tells its containers to use."""

    id: str | None
    device: str | None


@dataclass(frozen=True, slots=True)
class Pod:
    """``of`` is its workload. ``over``: it will not run again, and ``ended`` says why."""

    name: str
    of: str | None
    machine: str | None
    ready: bool
    over: bool
    ended: str | None
    containers: Mapping[str, Container]
    osd: PodOfOsd | None

    def failed_before(self, moment: float) -> bool:
        """True if it is over, and what failed in it ended before then (UTC seconds).

        Rook's crash pruner is a CronJob whose pods never restart. Kubernetes keeps a failed one
        for days, also after a later pod has done the work.
        """
        ends = [it.ended_at for it in self.containers.values() if it.failed]
        return self.over and bool(ends) and all(at is not None and at < moment for at in ends)


PODS = Part("pods", tuple[Pod, ...])


# --- what Rook says of Ceph ---


@dataclass(frozen=True, slots=True)
class CephCluster:
    """``raised`` are the warnings and errors of Ceph that Rook saw, by code."""

    external: bool
    phase: str | None
    message: str
    conditions: Mapping[str, str]
    health: str | None
    raised: Mapping[str, str]
    checked_at: float | None
    ceph_versions: tuple[str, ...]


CLUSTER = Part("cluster", CephCluster | None)


@dataclass(frozen=True, slots=True)
class Pool:
    """``apart``: the type of bucket that holds at most one of the pool's copies."""

    copies: int | None
    apart: str


@dataclass(frozen=True, slots=True)
class FileSystem:
    """The CephFilesystem, and its pools by what they are for."""

    phase: str | None
    pools: Mapping[str, Pool]


FILE_SYSTEM = Part("file system", FileSystem | None)


@dataclass(frozen=True, slots=True)
class BlockPool:
    """A CephBlockPool."""

    phase: str | None
    copies: int | None
    apart: str


POOLS = Part("pools", dict[str, BlockPool])


# --- monitors, wherever they are told ---


@dataclass(frozen=True, slots=True)
class Connection:
    """A CephConnection; ``monitors`` is None if drivers need it and it is missing."""

    name: str
    monitors: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class DriversEntry:
    id: str
    monitors: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DriversFile:
    """The entries of this cluster in the file that the CSI drivers read."""

    where: str
    entries: tuple[DriversEntry, ...]


@dataclass(frozen=True, slots=True)
class Monitors:
    """Rook's own list, its copy for the drivers, and the monitors that the drivers get."""

    operator: tuple[str, ...]
    csi: tuple[str, ...] | None
    connection: Connection | None
    drivers: DriversFile | None


MONITORS = Part("monitors", Monitors | None)


# --- CSI ---


@dataclass(frozen=True, slots=True)
class StorageClass:
    """``parameters`` by Ceph-CSI's names; ``secrets`` says whether each named secret exists."""

    provisioner: str
    parameters: Mapping[str, str | None]
    expands: bool
    reclaims: str
    secrets: Mapping[str, bool]


STORAGE_CLASS = Part("storage class", StorageClass | None)
DRIVER_NAMES = Part("driver names", dict[str, str])  # kind → the full name of its driver


@dataclass(frozen=True, slots=True)
class Lease:
    """``holder`` is empty when there is none."""

    holder: str
    renewed_at: float | None
    lasts_s: int | None


@dataclass(frozen=True, slots=True)
class Drivers:
    """CSIDrivers, Drivers of the CSI operator, each machine's CSINode, the controllers' leases."""

    registered: tuple[str, ...]
    objects: tuple[str, ...]
    machines: Mapping[str, tuple[str, ...]]
    leaders: Mapping[str, Lease | None]  # by driver


DRIVERS = Part("drivers", Drivers)
