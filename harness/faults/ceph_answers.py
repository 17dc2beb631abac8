"""The answers of Ceph's commands, as far as faults and the safety monitor read them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TreeNode:
    """An OSD, a host or another bucket of ``ceph osd tree``; an OSD has a status and a weight."""

    name: str
    type: str
    children: tuple[int, ...] = ()
    status: str = ""
    reweight: float = 0.0


@dataclass(frozen=True, slots=True)
class OsdTree:
    nodes: tuple[TreeNode, ...]


@dataclass(frozen=True, slots=True)
class MdsInfo:
    """A metadata server with a rank; ``addr`` is its address, port and nonce."""

    name: str
    rank: int
    state: str
    addr: str


@dataclass(frozen=True, slots=True)
class MdsMap:
    fs_name: str
    info: Mapping[str, MdsInfo]


@dataclass(frozen=True, slots=True)
class FileSystem:
    mdsmap: MdsMap


@dataclass(frozen=True, slots=True)
class Standby:
    name: str


@dataclass(frozen=True, slots=True)
class FsMap:
    filesystems: tuple[FileSystem, ...]
    standbys: tuple[Standby, ...]


@dataclass(frozen=True, slots=True)
class MdsStat:
    """``ceph mds stat``."""

    fsmap: FsMap


@dataclass(frozen=True, slots=True)
class StateCount:
    state_name: str
    count: int


@dataclass(frozen=True, slots=True)
class PgMap:
    """The placement groups; ``pgs_by_state`` is missing if there are none."""

    num_pgs: int
    pgs_by_state: tuple[StateCount, ...] = ()


@dataclass(frozen=True, slots=True)
class OsdMap:
    num_osds: int
    num_up_osds: int
    num_in_osds: int


@dataclass(frozen=True, slots=True)
class MonMap:
    num_mons: int


@dataclass(frozen=True, slots=True)
class Status:
    """``ceph status``."""

    quorum_names: tuple[str, ...]
    pgmap: PgMap
    osdmap: OsdMap
    monmap: MonMap


@dataclass(frozen=True, slots=True)
class Quorum:
    """``ceph quorum_status``."""

    quorum_names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Fsid:
    fsid: str


@dataclass(frozen=True, slots=True)
class PerfStats:
    commit_latency_ms: float


@dataclass(frozen=True, slots=True)
class OsdPerfInfo:
    id: int
    perf_stats: PerfStats


@dataclass(frozen=True, slots=True)
class PerfInfos:
    osd_perf_infos: tuple[OsdPerfInfo, ...]


@dataclass(frozen=True, slots=True)
class OsdPerf:
    """``ceph osd perf``; some releases have no ``osdstats`` around it."""

    osdstats: PerfInfos | None = None
    osd_perf_infos: tuple[OsdPerfInfo, ...] = ()

    @property
    def infos(self) -> tuple[OsdPerfInfo, ...]:
        return self.osd_perf_infos if self.osdstats is None else self.osdstats.osd_perf_infos
