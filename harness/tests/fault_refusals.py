"""One example of every fault that refuses for a reason of its own, and that reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.tests.fault_examples import READY, pod
from harness.tests.fault_examples_network import NAME_SERVERS
from harness.transport import Completed

_FAILS = Completed(status=1, stdout="", stderr="not supported")
_ONE_POD = {"items": [pod("web-1")]}
_IN_SHOP = "/api/v1/namespaces/shop/pods"


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """A fault's example with this changed, in a whole cluster with that changed; and the reason."""

    why: str
    fault: Mapping[str, Any] = field(default_factory=dict)
    cluster: Mapping[str, Any] = field(default_factory=dict)


def _answers(**answers: Completed) -> Mapping[str, Any]:
    return {"answers": {("*", name): answer for name, answer in answers.items()}}


_NO_TABLES = Refusal(cluster=_answers(nft=_FAILS), why="nftables of one rejects the rules")
_WORKER = [
    {"name": "one", "address": "10.0.0.1", "roles": ["worker"]},
    {"name": "two", "address": "10.0.0.2"},
]
_NO_SERVER = Refusal(cluster={"machines": _WORKER}, why="one is no server")
_NOT_ACTIVE = _answers(systemctl=Completed(status=3, stdout="inactive", stderr=""))
_DOCKER = Completed(status=0, stdout="docker\n", stderr="")
_STACK = {"cni": "bridge", "network_policy": False}

REFUSALS: Mapping[str, Refusal] = {
    "break-dns": Refusal(
        fault={"servers": ()},
        cluster={"objects": {NAME_SERVERS: {"items": []}}},
        why="no ready CoreDNS pod runs on one",
    ),
    "cut-from-peer": Refusal(fault={"peer": "one"}, why="one cannot be cut off from itself"),
    "cut-off": _NO_TABLES,
    "cut-one-way": _NO_TABLES,
    "cut-port": Refusal(fault={"port": 22}, why="our own SSH goes through port 22"),
    "delay-packets": Refusal(
        cluster=_answers(modprobe=_FAILS, grep=_FAILS), why="the kernel of one has no sch_netem"
    ),
    "drain": Refusal(
        cluster={"objects": {"/api/v1/pods": _ONE_POD}}, why="ReplicaSet shop/web: 1 − 1 = 0"
    ),
    "exhaust-cpu": Refusal(fault={"before": 85.0}, why="85 % of the processors of one are already"),
    "exhaust-memory": Refusal(fault={"before": 85.0}, why="85 % of the memory of one are already"),
    "fail-mds": Refusal(fault={"daemon": ""}, why="no metadata server serves a CephFS"),
    "fill-disk": Refusal(cluster={"fill_folder": None}, why="the profile has no `fill_folder:`"),
    "fill-primary-volume": Refusal(
        fault={"has_quota": False}, why="data-1 has no quota and no file system of its own"
    ),
    "hard-reset": Refusal(
        cluster={"answers": {("*", "systemd-detect-virt"): _DOCKER}},
        why="one is a container (docker)",
    ),
    "kill-container": Refusal(
        cluster={"objects": {_IN_SHOP: _ONE_POD}}, why="ReplicaSet shop/web: 1 − 1 = 0"
    ),
    "kill-ingress": Refusal(cluster={"pods": {}}, why="does not declare the pods of the ingress"),
    "kill-pods": Refusal(
        cluster={"objects": {_IN_SHOP: _ONE_POD}}, why="ReplicaSet shop/web: 1 − 1 = 0"
    ),
    "kill-primary": Refusal(cluster={"postgres": None}, why="the platform's PostgreSQL: set"),
    "kill-speaker": Refusal(cluster={"stack": _STACK}, why="small has no load balancer"),
    "limit-bandwidth": Refusal(
        cluster=_answers(tc=Completed(status=0, stdout="qdisc htb 1: root", stderr="")),
        why="has a queue of its own (htb 1:)",
    ),
    "lose-packets": _NO_TABLES,
    "osd-out": Refusal(fault={"osd": ""}, why="one has no osd of Ceph"),
    "power-off": Refusal(cluster={"power": None}, why="the profile has no power commands"),
    "skew-clock": Refusal(fault={"seconds": 10}, why="could not be observed"),
    "slow-api": Refusal(fault={"account": "nobody"}, why="no service account shop/nobody"),
    "slow-disk": Refusal(fault={"osd": None}, why="the profile names no OSD of one"),
    "stop-containerd": Refusal(
        cluster=_answers(systemctl=Completed(status=0, stdout="", stderr="")),
        why="runs containerd inside itself",
    ),
    "stop-etcd": _NO_SERVER,
    "stop-monitor": Refusal(cluster=_NOT_ACTIVE, why="the unit ceph-mon@one is not active"),
    "stop-osd": Refusal(cluster=_NOT_ACTIVE, why="the unit ceph-osd@0 is not active"),
    "stop-static-pod": _NO_SERVER,
}
# Nothing but the budget keeps these from being injected, as it keeps all others.
ONLY_BY_BUDGET = frozenset({"reboot", "stop-rke2"})

_LATE = {"conditions": [{"type": "Ready", "status": "False"}]}
# Beside the machine that is hit, another one is not ready.
ANOTHER_IS_LATE: Mapping[str, Any] = {
    "/api/v1/nodes": {
        "items": [
            {"metadata": {"name": "one"}, "status": READY},
            {"metadata": {"name": "two"}, "status": _LATE},
        ]
    }
}
