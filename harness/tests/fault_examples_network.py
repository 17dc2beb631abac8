"""Examples of the faults of the network and of pressure, and what their observers are told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.faults.fault import Fault
from harness.faults.kinds.disk_speed import DiskLimits, SlowDisk
from harness.faults.kinds.network import (
    BreakDns,
    CutFromPeer,
    CutOff,
    CutOneWay,
    CutPort,
    LosePackets,
)
from harness.faults.kinds.packets import ControlPath
from harness.faults.kinds.resources import ExhaustCpu, ExhaustMemory, FillDisk
from harness.faults.kinds.traffic_control import DelayPackets, LimitBandwidth
from harness.tests.fake_transport import ShellAnswer
from harness.transport import Completed

ID = "f00d"

LINE = ControlPath(address="10.0.0.9", own="10.0.0.1", port=22, beyond="10.0.0.254")
UPLINK: Mapping[str, Any] = {"id": ID, "machine": "one", "uplinks": ("eth0",)}
OWN: Mapping[str, Any] = {**UPLINK, "line": LINE}

LIMITS = DiskLimits(unit="ceph-osd@0.service", device="/dev/sda")

EXAMPLES: tuple[Fault, ...] = (
    BreakDns(id=ID, machine="one", servers=("10.42.0.9",), others=("10.42.1.9",)),
    CutFromPeer(**OWN, peer="two", others=("10.0.0.2", "10.42.1.0/24", "fd00::/64")),
    CutOff(**OWN),
    CutOneWay(**OWN, direction="out"),
    CutPort(**OWN, port=6443),
    DelayPackets(**UPLINK, ms=50, jitter_ms=10),
    ExhaustCpu(id=ID, machine="one", percent=90, before=20),
    ExhaustMemory(id=ID, machine="one", percent=90, before=25, mib=5000),
    FillDisk(id=ID, machine="one", percent=90, before=25, file="/cutover-fill-f00d", add_bytes=1),
    LimitBandwidth(**UPLINK, kbit=1000),
    LosePackets(**OWN, percent=10),
    SlowDisk(id=ID, machine="one", kib_per_s=256, osd=0, limits=LIMITS),
)

READY = {
    "conditions": [{"type": "Ready", "status": "True"}],
    "nodeInfo": {"bootID": "b1"},
    "capacity": {"cpu": "2"},
    "addresses": [{"type": "InternalIP", "address": "10.0.0.2"}],
}


def coredns(machine: str, address: str) -> dict[str, Any]:
    """A pod of CoreDNS that is ready."""
    return {
        "metadata": {"uid": "u1", "namespace": "kube-system", "name": f"coredns-{machine}"},
        "spec": {"nodeName": machine},
        "status": {**READY, "podIP": address},
    }


NAME_SERVERS = "/api/v1/namespaces/kube-system/pods?labelSelector=k8s-app%3Dkube-dns"
_STATS = "/api/v1/nodes/one/proxy/stats/summary"
_MEASURED = {
    "cpu": {"usageNanoCores": 500_000_000},
    "memory": {"workingSetBytes": 2 * 10**9, "availableBytes": 6 * 10**9},
    "fs": {"capacityBytes": 100, "usedBytes": 20, "availableBytes": 75},
}

OBJECTS: Mapping[str, Any] = {
    "/api/v1/nodes/one": {"metadata": {"name": "one"}, "spec": {}, "status": READY},
    "/api/v1/nodes/two": {"spec": {"podCIDRs": ["10.42.1.0/24"]}, "status": READY},
    NAME_SERVERS: {"items": [coredns("one", "10.42.0.9"), coredns("two", "10.42.1.9")]},
    _STATS: {"node": _MEASURED},
    f"{_STATS}?only_cpu_and_memory=true": {"node": _MEASURED},
}
_PING = """40 packets transmitted, 40 received, 0% packet loss, time 2040ms
rtt min/avg/max/mdev = 0.021/0.043/0.081/0.010 ms
"""
PERF = {"osd_perf_infos": [{"id": it, "perf_stats": {"commit_latency_ms": 3.5}} for it in (0, 1)]}


def _said(text: str, status: int = 0) -> Completed:
    return Completed(status=status, stdout=text, stderr="")


# Files of machines: the controllers that systemd has, and where an OSD's process is.
OSD_IS_IN = "0::/system.slice/system-ceph\\x2dosd.slice/ceph-osd@0.service\n"
FILES = {"/sys/fs/cgroup/cgroup.controllers": "cpuset cpu io memory pids\n"}


def _cat(argv: Sequence[str], _: str) -> Completed:
    return _said({**FILES, "/proc/41/cgroup": OSD_IS_IN}[argv[1]])


def _python(argv: Sequence[str], _: str) -> Completed:
    return _said('{"missing": []}' if "needs" in argv else '"open"\n')


ANSWERS: Mapping[tuple[str, str], ShellAnswer] = {
    ("*", "ping"): _said(_PING),
    ("*", "printenv"): _said("10.0.0.9 60672 10.0.0.1 22\n"),
    ("*", "ip"): _said('[{"dst": "10.0.0.2", "gateway": "10.0.0.254", "dev": "eth0"}]'),
    ("*", "nft"): _said(""),
    ("*", "tc"): _said("qdisc fq_codel 0: root refcnt 2 limit 10240p\n"),
    ("*", "test"): _said(""),
    ("*", "modprobe"): _said(""),
    ("*", "cat"): _cat,
    ("*", "pgrep"): _said("41\n"),
    ("*", "stat"): _said("/\n"),
    ("*", "df"): _said("  1B-blocks Used Avail\n 100 20 75\n"),
    ("*", "python3"): _python,
}
