"""One example of every fault, and what a whole cluster answers to those who look at it.

A fault that is new in ``FAULTS`` needs its example here: the contract test says so.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from harness.faults.fault import Fault
from harness.faults.kinds.ceph import FailMds, OsdOut, StopMonitor, StopOsd
from harness.faults.kinds.kubernetes import Drain, StopContainerd, StopEtcd, StopRke2, StopStaticPod
from harness.faults.kinds.machine import HardReset, PowerOff, Reboot, SkewClock
from harness.faults.kinds.pods import (
    KillContainer,
    KillIngress,
    KillPods,
    KillPrimary,
    KillSpeaker,
    Victim,
)
from harness.faults.kinds.slow_api import SlowApi
from harness.faults.kinds.volumes import FillPrimaryVolume
from harness.settings import Profile
from harness.tests import fault_examples_network as network
from harness.tests.fake_transport import (
    FakeExternalClient,
    FakeFleet,
    FakeKube,
    FakeShell,
    ShellAnswer,
)
from harness.tests.stage import PROFILE
from harness.transport import Answer, Completed, Reach

ID = "f00d"

_VICTIM = Victim(name="web-1", uid="u1")
EXAMPLES: tuple[Fault, ...] = (
    *network.EXAMPLES,
    Drain(id=ID, machine="one"),
    FailMds(id=ID, machine="one", daemon="one", serves=("cephfs", 0)),
    FillPrimaryVolume(
        id=ID,
        machine="one",
        victims=(_VICTIM,),
        namespace="shop",
        selector="app=db",
        folder="/data/pgdata",
        claim="data-1",
        path="/var/lib/rancher",
        has_quota=True,
        size_bytes=2**31,
        add_bytes=1,
    ),
    HardReset(id=ID, machine="one", boot="b1"),
    KillContainer(
        id=ID,
        machine="one",
        namespace="shop",
        selector="app=web",
        container="main",
        pod="web-1",
        uid="u1",
        task="c1",
    ),
    KillIngress(id=ID, machine="one", victims=(_VICTIM,), namespace="shop"),
    KillPods(id=ID, machine="one", namespace="shop", selector="app=web", victims=(_VICTIM,)),
    KillPrimary(id=ID, machine="one", victims=(_VICTIM,), namespace="shop", selector="app=db"),
    KillSpeaker(id=ID, machine="one", victims=(_VICTIM,), namespace="shop"),
    OsdOut(id=ID, machine="one", osd="0"),
    PowerOff(id=ID, machine="one"),
    Reboot(id=ID, machine="one", boot="b1"),
    SkewClock(id=ID, machine="one", seconds=-300, service="chrony"),
    SlowApi(id=ID, machine="one", namespace="shop", account="default"),
    StopContainerd(id=ID, machine="one"),
    StopEtcd(id=ID, machine="one"),
    StopMonitor(id=ID, machine="one", daemon="one"),
    StopOsd(id=ID, machine="one", daemon="0"),
    StopRke2(id=ID, machine="one"),
    StopStaticPod(id=ID, machine="one", part="kube-apiserver"),
)

READY = network.READY
_POD = {
    "metadata": {"uid": "u1", "namespace": "kube-system", "name": "etcd-one"},
    "status": {**READY, "podIP": "10.42.0.9"},
}


def pod(name: str, *, of: str = "ReplicaSet", **labels: str) -> dict[str, Any]:
    """A pod of the shop that is ready, and one of several of its controller."""
    number = name.rpartition("-")[2]
    container = {"name": "main", "containerID": f"containerd://c{number}", "restartCount": 0}
    mounts = [{"name": "scratch", "mountPath": "/"}, {"name": "data", "mountPath": "/data"}]
    claim = {"name": "data", "persistentVolumeClaim": {"claimName": f"data-{number}"}}
    return {
        "metadata": {
            "name": name,
            "namespace": "shop",
            "uid": f"u{number}",
            "labels": {"app": "web", **labels},
            "ownerReferences": [{"kind": of, "name": "web", "controller": True}],
        },
        "spec": {
            "nodeName": "one" if number == "1" else "two",
            "containers": [{"name": "main", "volumeMounts": mounts}],
            "volumes": [{"name": "scratch", "emptyDir": {}}, claim],
        },
        "status": {
            "conditions": [{"type": "Ready", "status": "True"}],
            "podIP": f"10.42.0.{number}",
            "containerStatuses": [{**container, "state": {"running": {}}}],
        },
    }


def replica_set(name: str, replicas: int) -> dict[str, Any]:
    """A ReplicaSet of the shop that wants so many pods."""
    return {"metadata": {"namespace": "shop", "name": name}, "spec": {"replicas": replicas}}


PODS: Mapping[str, Any] = {"items": [pod("web-1"), pod("web-2")]}
_LEASE = {"spec": {"renewTime": "2026-11-24T12:00:00.000000Z"}}
_SPACE = "/api/v1/namespaces/shop"

OBJECTS: Mapping[str, Any] = {
    **network.OBJECTS,
    "/api/v1/nodes/one": {"metadata": {"name": "one"}, "spec": {}, "status": READY},
    "/api/v1/namespaces/kube-system/pods/etcd-one": _POD,
    "/api/v1/namespaces/kube-system/pods/kube-apiserver-one": _POD,
    "/api/v1/pods": PODS,
    "/api/v1/pods?fieldSelector=spec.nodeName%3Done": {"items": PODS["items"][:1]},
    f"{_SPACE}/pods": PODS,
    f"{_SPACE}/pods/web-1": PODS["items"][0],
    f"{_SPACE}/pods/web-2": PODS["items"][1],
    f"{_SPACE}/pods?labelSelector=app%3Dweb": PODS,
    f"{_SPACE}/pods?labelSelector=app%3Ddb": {"items": [pod("web-1", role="primary")]},
    f"{_SPACE}/serviceaccounts/default": {},
    f"{_SPACE}/persistentvolumeclaims/data-1": {"spec": {"volumeName": "pv-1"}},
    "/api/v1/persistentvolumes/pv-1": {
        "spec": {"capacity": {"storage": "2Gi"}, "csi": {"driver": "rook-ceph.cephfs.csi.ceph.com"}}
    },
    "/apis/policy/v1/poddisruptionbudgets": {"items": []},
    **{f"/apis/apps/v1/{it}": {"items": []} for it in ("statefulsets", "daemonsets")},
    "/apis/apps/v1/replicasets": {"items": [replica_set("web", 2)]},
    "/apis/policy/v1/namespaces/shop/poddisruptionbudgets": {"items": []},
    "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases": {
        "items": [{"metadata": {"name": name}, **_LEASE} for name in ("one", "two")]
    },
}
_LEVELS = "PriorityLevelName, WaitingRequests, ExecutingRequests\nexempt, 0, 1\n"
_BODIES: Mapping[str, str] = {
    "/debug/api_priority_and_fairness/dump_priority_levels": _LEVELS,
    "/readyz": "ok",
    "/readyz/etcd": "ok",
}
ASKED: Mapping[str, Answer] = {
    f"https://10.0.0.{number}:6443{path}": Answer(status=200, body=body, certificate="")
    for number in (1, 2)
    for path, body in _BODIES.items()
}

FSID = "6f1e6c7a-0000-4000-8000-1c8a5a9d0f11"
CEPH: Mapping[tuple[str, str], Any] = {
    ("fsid", "--format"): {"fsid": FSID},
    ("osd", "perf"): network.PERF,
    ("osd", "tree"): {
        "nodes": [
            {"name": "one", "type": "host", "children": [0]},
            {"name": "osd.0", "type": "osd", "id": 0, "status": "up", "reweight": 1.0},
        ]
    },
    ("quorum_status", "--format"): {
        "quorum_names": ["one", "two"],
        "monmap": {
            "fsid": "f-1",
            "mons": [
                {"name": "one", "public_addr": "10.0.0.1:6789/0"},
                {"name": "two", "public_addr": "10.0.0.2:6789/0"},
            ],
        },
    },
    ("mds", "stat"): {
        "fsmap": {
            "standbys": [{"name": "two"}],
            "filesystems": [
                {
                    "mdsmap": {
                        "fs_name": "cephfs",
                        "info": {
                            "gid_1": {
                                "name": "one",
                                "rank": 0,
                                "state": "up:active",
                                "addr": "10.0.0.1:6801/7",
                            }
                        },
                    }
                }
            ],
        }
    },
}


def _ceph(argv: Sequence[str], _: str) -> Completed:
    words = argv[3:5]  # behind --connect-timeout and its seconds
    return Completed(status=0, stdout=json.dumps(CEPH[words[0], words[1]]), stderr="")


def _systemctl(argv: Sequence[str], _: str) -> Completed:
    return Completed(status=0, stdout="containerd.service" if "show" in argv else "", stderr="")


def _getfattr(argv: Sequence[str], _: str) -> Completed:
    of_quota = "--name=ceph.quota.max_bytes" in argv
    return Completed(status=0, stdout=f"{2**31 if of_quota else 2**27}", stderr="")


ANSWERS: Mapping[tuple[str, str], ShellAnswer] = {
    **network.ANSWERS,
    ("*", "ceph"): _ceph,
    ("*", "getfattr"): _getfattr,
    ("*", "systemctl"): _systemctl,
    ("*", "systemd-detect-virt"): Completed(status=1, stdout="none", stderr=""),
}
_IN_PODS: Mapping[tuple[str, str], ShellAnswer] = {
    ("*", "printenv"): Completed(status=0, stdout="/data/pgdata\n", stderr="")
}
_DECLARED: Mapping[str, Any] = {
    "disks": {
        "device": "/dev/sda",
        "number": 2,
        "at_least_gib": 1,
        "at_most_gib": 2,
        "state": "osd",
        "osds": {"one": 0},
        "record": "/record",
        "baseline": "/baseline",
    },
    "fill_folder": "/var/lib/rancher",
    "postgres": {"namespace": "shop", "selector": "app=db"},
    "power": {"cut": ["off", "{machine}"], "restore": ["on", "{machine}"]},
    "stack": {"cni": "bridge", "network_policy": False, "load_balancer": "metallb"},
    "load_balancer_pool": ["10.0.0.200-10.0.0.219"],
    "pods": {
        "ingress": {"namespace": "shop", "selector": "app=web"},
        "speaker": {"namespace": "shop", "selector": "app=web"},
    },
}


def has_ended(*said: str) -> Mapping[tuple[str, str], ShellAnswer]:
    """What machines answer of a fault's unit that has ended by itself, and had said these lines."""
    heard = "".join(f"{it}\n" for it in said)
    return {
        ("*", "systemctl"): Completed(status=3, stdout="inactive\n", stderr=""),
        ("*", "journalctl"): Completed(status=0, stdout=heard, stderr=""),
    }


# What a profile declares of a Rook that runs Ceph.
ROOK: Mapping[str, Any] = {
    "ceph": {"through": "toolbox"},
    "stack": {"cni": "bridge", "network_policy": False, "rook": "cluster"},
    "rook": {
        "version": "v1.18.4",
        "namespace": "rook-ceph",
        "cluster": "rook-ceph",
        "monitors": ["10.0.0.1:6789"],
        "filesystem": "cephfs",
        "pool": "cephfs-data0",
        "device": "sda2",
    },
}


def whole_cluster(
    objects: Mapping[str, Any] = {},
    *,
    answers: Mapping[tuple[str, str], ShellAnswer] = {},
    in_pods: Mapping[tuple[str, str], ShellAnswer] = {},
    **declared: Any,
) -> Reach:
    """A cluster that is well, of two machines, as a fault's observers see it.

    Objects, answers of machines and of pods, and what is declared take the place of what it has.
    """
    answered = {**json.loads(json.dumps(OBJECTS)), **objects}
    return Reach(
        profile=Profile.model_validate({**PROFILE, **_DECLARED, **declared}),
        shell=FakeShell({**ANSWERS, **answers}),
        kube=FakeKube(answered, asked=ASKED, in_pods={**_IN_PODS, **in_pods}, read_only=True),
        fleet=FakeFleet(("one", "two")),
        outside=FakeExternalClient(),
    )
