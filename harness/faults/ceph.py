"""Ceph as faults and the safety monitor ask it: its answers, and where its daemons run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from typing_extensions import TypeForm

from harness.core.errors import ConfigError
from harness.facts.ceph import Quorum
from harness.facts.ceph_names import machine_of_each
from harness.faults.commands import peer, server_beside
from harness.faults.model import Argv
from harness.faults.pods import pods_path
from harness.settings import Rook
from harness.transport import Reach
from harness.transport.ceph import ask_ceph
from harness.transport.objects import listed, must, text, texts

_OVER = ("Failed", "Succeeded")


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
class QuorumStatus:
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


T = TypeVar("T")
_CEPH_S = 25.0


def ask(reach: Reach, machine: str, *words: str, read: TypeForm[T]) -> T:
    """The answer of ``ceph WORDS --format json``, asked on another machine than ``machine``."""
    on = [peer(reach, machine).name]
    return ask_ceph(reach, *words, read=read, on=on, within_s=_CEPH_S)


# The command finds the pod when it runs: another pod may have replaced it before the undo. A pod on
# a lost machine is Running and ready until Kubernetes notices: the first that answers is taken.
_IN_TOOLBOX = (
    'for pod in $("$@" --namespace "$SPACE" get pods --selector "$LABEL" '
    "--field-selector status.phase=Running --output name); do "
    'timeout 8 "$@" --namespace "$SPACE" exec "$pod" -- true >&2 && break; done; '
    '"$@" --namespace "$SPACE" exec "$pod" -- '
)


def command(reach: Reach, machine: str, *words: str) -> tuple[str, Argv]:
    """Where ``ceph WORDS`` runs without the API of ``machine``, and the command.

    If the profile asks Ceph through the machines, it runs on ``machine`` itself.
    """
    asked = ("ceph", "--connect-timeout", "8", *words)
    declared = reach.profile.ceph
    if declared.through == "machines":
        return machine, asked
    script = _IN_TOOLBOX + " ".join(asked)
    set_to = (f"SPACE={declared.toolbox_namespace}", f"LABEL={declared.toolbox_label}")
    inside = ("env", *set_to, "sh", "-c", script, "toolbox", *reach.profile.commands.kubectl)
    return server_beside(reach, machine).name, inside


def in_rook(reach: Reach) -> bool:
    """True if Rook runs Ceph's daemons as pods."""
    return reach.profile.stack.rook == "cluster"


def rook_daemons(reach: Reach, kind: str) -> Sequence[tuple[str, str]]:
    """Each daemon of a kind that Rook runs, and its machine."""
    there = reach.kube.get(pods_path(rook_of(reach).namespace, f"app=rook-ceph-{kind}"))
    return [
        (must(pod, "metadata", "labels", "ceph_daemon_id"), text(pod, "spec", "nodeName") or "")
        for pod in listed(there, "items")
        # A pod that a shutdown of its machine has ended stays in the list. A canary only shows
        # where Kubernetes would place a monitor: the operator deletes it again.
        if text(pod, "status", "phase") not in _OVER
        and "mon_canary" not in texts(pod, "metadata", "labels")
    ]


def monitors_at(reach: Reach, quorum: Quorum) -> Mapping[str, str]:
    """Monitor → its machine, for monitors whose machine is known.

    Rook names monitors by letters and knows their machines. Other monitors mostly have a machine's
    name, also a short one; else the monitor's address identifies the machine.
    """
    if in_rook(reach):
        return dict(rook_daemons(reach, "mon"))
    machines = reach.profile.cluster().machines
    found = machine_of_each(quorum.monitors, (it.name for it in machines))
    for name in quorum.monitors:
        there = [it.name for it in machines if it.address in quorum.at.get(name, ())]
        if name not in found and len(there) == 1:
            found[name] = there[0]
    return found


def rook_of(reach: Reach) -> Rook:
    if reach.profile.rook is None:
        raise ConfigError(f"the profile {reach.profile.name} has no `rook:` section")
    return reach.profile.rook
