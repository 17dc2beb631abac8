"""Objects of a Kubernetes with Rook 1.18, as its API would give them, to be broken by tests.

Made by hand, in the shapes that these give: Rook's API types (CephCluster, CephFilesystem,
CephBlockPool: pkg/apis/ceph.rook.io/v1), its examples (deploy/examples), its operator (the
ConfigMap rook-ceph-mon-endpoints, labels and environment of OSDs), the API of ceph-csi-operator
(Driver, CephConnection; workloads end in -nodeplugin and -ctrlplugin) and the sidecars of CSI
(their leases). Without the CSI operator, Rook's own csi-cephfsplugin and csi-rbdplugin stand in.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache, partial
from typing import Any, Literal, TypeAlias

from harness.settings import Profile, Rook, load_profile

Mode: TypeAlias = Literal["external", "cluster"]
Item: TypeAlias = dict[str, Any]
OPERATOR = "rook-ceph"
MACHINES = ("vmi2887101", "vmi2887102", "vmi2887103")
MONITORS = ("10.0.0.1:6789", "10.0.0.2:6789", "10.0.0.3:6789")
VERSION = "v1.18.4"
GROUP = "5f0b6a1c7d"  # the clusterID of a subvolume group
_CEPH = "ceph version 19.2.3 (c92aebb279828e9c3c1f5d24613efca272649e62) squid (stable)"
_PLURALS = {
    "Deployment": "deployments",
    "DaemonSet": "daemonsets",
    "Pod": "pods",
    "ConfigMap": "configmaps",
    "Secret": "secrets",
    "Lease": "leases",
    "StorageClass": "storageclasses",
    "CSIDriver": "csidrivers",
    "CSINode": "csinodes",
    "Driver": "drivers",
    "CephConnection": "cephconnections",
    "ClientProfile": "clientprofiles",
    "CephCluster": "cephclusters",
    "CephFilesystem": "cephfilesystems",
    "CephBlockPool": "cephblockpools",
}


def declared(mode: Mode) -> Rook:
    """What the profile of a cluster with these objects says."""
    space = space_of(mode)
    return Rook(
        version=VERSION,
        operator_namespace=OPERATOR,
        namespace=space,
        cluster=space,
        monitors=MONITORS,
        filesystem="cephfs",
        pool="cephfs-data0" if mode == "cluster" else "cephfs_data",
        device="sda2",
    )


@cache
def profile(mode: Mode) -> Profile:
    contabo = load_profile("contabo")
    stack = contabo.stack.model_copy(update={"rook": mode})
    return contabo.model_copy(update={"stack": stack, "rook": declared(mode)})


def space_of(mode: Mode) -> str:
    return "rook-ceph" if mode == "cluster" else "rook-ceph-external"


def recorded(mode: Mode, *, csi_operator: bool = True, now: float | None = None) -> list[Item]:
    """Everything that Rook made, in order, as of ``now`` in UTC seconds."""
    moment = time.time() if now is None else now
    items = [
        *_with_pods(deployment("rook-ceph-operator", f"docker.io/rook/ceph:{VERSION}", 1)),
        _ceph_cluster(mode, moment),
        _monitors(mode),
        _storage_class(mode),
        *(_secret(mode, name) for name in ("rook-csi-cephfs-provisioner", "rook-csi-cephfs-node")),
        *_csi(mode, moment, csi_operator=csi_operator),
    ]
    if mode == "cluster":
        items += [_file_system(), _block_pool()]
        for number, machine in enumerate(MACHINES):
            items += _with_pods(_osd(number, machine), machine)
    return items


def find(items: Iterable[Item], kind: str, name: str) -> Item:
    """The object of this kind and name; KeyError when there is none."""
    for item in items:
        if (item["kind"], item["metadata"]["name"]) == (kind, name):
            return item
    raise KeyError(f"{kind} {name}")


def served(items: Iterable[Item]) -> dict[str, Any]:
    """The objects by the paths at which the API gives them, and the lists that they are in."""
    answers: dict[str, Any] = {}
    listed = [("apps/v1", "Deployment"), ("apps/v1", "DaemonSet"), ("v1", "Pod")]
    for space in (OPERATOR, "rook-ceph-external"):
        for version, kind in listed:
            answers[_collection(version, kind, space)] = {"items": []}
    for kind in ("CSIDriver", "CSINode"):
        answers[_collection("storage.k8s.io/v1", kind)] = {"items": []}
    for item in items:
        version, metadata = item["apiVersion"], item["metadata"]
        collection = _collection(version, item["kind"], metadata.get("namespace"))
        answers.setdefault(collection, {"items": []})["items"].append(item)
        answers[f"{collection}/{metadata['name']}"] = item
        if version.startswith("csi.ceph.io/"):
            preferred = {"version": version.partition("/")[2]}
            answers["/apis/csi.ceph.io"] = {"preferredVersion": preferred}
    return answers


def _collection(version: str, kind: str, space: str | None = None) -> str:
    inside = f"/namespaces/{space}" if space else ""
    return f"/api{'s' if '/' in version else ''}/{version}{inside}/{_PLURALS[kind]}"


def stamp(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _object(version: str, kind: str, name: str, space: str | None = None, **parts: Any) -> Item:
    metadata = {"name": name, "generation": 1, **({"namespace": space} if space else {})}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **parts}


_ceph = partial(_object, "ceph.rook.io/v1")


# --- workloads --------------------------------------------------------------------------------


def _workload(kind: str, name: str, image: str, spec: Item, status: Item) -> Item:
    labels = {"app": name}
    template = {
        "metadata": {"labels": labels},
        "spec": {"containers": [{"name": "main", "image": image}]},
    }
    spec = {**spec, "selector": {"matchLabels": labels}, "template": template}
    status = {**status, "observedGeneration": 1}
    return _object("apps/v1", kind, name, OPERATOR, spec=spec, status=status)


def deployment(name: str, image: str, replicas: int) -> Item:
    counts = dict.fromkeys(("replicas", "availableReplicas", "updatedReplicas"), replicas)
    return _workload("Deployment", name, image, {"replicas": replicas}, counts)


def daemon_set(name: str, image: str) -> Item:
    kinds = ("desiredNumberScheduled", "numberReady", "updatedNumberScheduled")
    return _workload("DaemonSet", name, image, {}, dict.fromkeys(kinds, len(MACHINES)))


def _with_pods(workload: Item, *machines: str) -> list[Item]:
    """A workload and its pods: as many as it wants, or one on each machine."""
    wanted = workload["spec"].get("replicas", len(MACHINES))
    places = machines or MACHINES[:wanted]
    return [workload, *(_pod(workload, machine) for machine in places)]


def _pod(workload: Item, machine: str) -> Item:
    name, template = workload["metadata"]["name"], workload["spec"]["template"]
    # A deployment's pods belong to its replica set.
    owner = name if workload["kind"] == "DaemonSet" else f"{name}-5d8f7c"
    state = {"name": "main", "restartCount": 0, "state": {"running": {}}, "lastState": {}}
    status = {
        "phase": "Running",
        "conditions": [{"type": "Ready", "status": "True"}],
        "containerStatuses": [state],
    }
    pod = _object("v1", "Pod", f"{owner}-{machine[-3:]}", OPERATOR, status=status)
    pod["spec"] = {**template["spec"], "nodeName": machine}
    pod["metadata"]["labels"] = template["metadata"]["labels"]
    pod["metadata"]["ownerReferences"] = [{"name": owner}]
    return pod


def _osd(number: int, machine: str) -> Item:
    """Rook's OSD: bound to its machine, with the device in its environment."""
    made = deployment(f"rook-ceph-osd-{number}", "quay.io/ceph/ceph:v19.2.3", 1)
    versions = {"rook-version": VERSION, "ceph-version": "19.2.3-0"}
    labels = {"app": "rook-ceph-osd", "ceph-osd-id": str(number), "failure-domain": machine}
    template = made["spec"]["template"]
    made["metadata"]["labels"] = labels | versions
    made["spec"]["selector"] = {"matchLabels": labels}
    template["metadata"]["labels"] = labels
    # Two must never open one disk.
    made["spec"]["strategy"] = {"type": "Recreate"}
    template["spec"]["nodeSelector"] = {"kubernetes.io/hostname": machine}
    (container,) = template["spec"]["containers"]
    container["env"] = [
        {"name": "ROOK_NODE_NAME", "value": machine},
        {"name": "ROOK_BLOCK_PATH", "value": "/dev/sda2"},
    ]
    return made


# --- Ceph -------------------------------------------------------------------------------------


def _ceph_cluster(mode: Mode, now: float) -> Item:
    done = {"external": "Connected", "cluster": "Ready"}[mode]
    says = {"external": "Cluster connected successfully", "cluster": "Cluster created successfully"}
    spec: Item = {"dataDirHostPath": "/var/lib/rook", "external": {"enable": mode == "external"}}
    if mode == "cluster":
        storage = {"useAllNodes": True, "useAllDevices": False, "deviceFilter": "^sda2$"}
        spec |= {"mon": {"count": 3, "allowMultiplePerNode": False}, "storage": storage}
    status = {
        "phase": done,
        "state": "Connected" if mode == "external" else "Created",
        "message": says[mode],
        "conditions": [
            {"type": done, "status": "True", "reason": f"Cluster{done}", "message": says[mode]}
        ],
        "ceph": {
            "health": "HEALTH_OK",
            "lastChecked": stamp(now - 40),
            "versions": {"mon": {_CEPH: 3}, "osd": {_CEPH: 3}, "overall": {_CEPH: 8}},
        },
        "version": {"image": "quay.io/ceph/ceph:v19.2.3", "version": "19.2.3-0"},
    }
    return _ceph("CephCluster", space_of(mode), space_of(mode), spec=spec, status=status)


def _monitors(mode: Mode) -> Item:
    space = space_of(mode)
    endpoints = [f'"{monitor}"' for monitor in MONITORS]
    data = {
        "data": ",".join(f"{name}={at}" for name, at in zip("abc", MONITORS, strict=True)),
        "csi-cluster-config-json": f'[{{"clusterID":"{space}","monitors":[{",".join(endpoints)}],'
        '"namespace":""}]',
        "mapping": '{"node":{}}',
        "maxMonId": "2",
    }
    return _object("v1", "ConfigMap", "rook-ceph-mon-endpoints", space, data=data)


def _file_system() -> Item:
    safe = {"size": 3, "requireSafeReplicaSize": True}
    spec = {
        "metadataPool": {"replicated": dict(safe)},
        "dataPools": [{"name": "data0", "failureDomain": "host", "replicated": dict(safe)}],
        "preserveFilesystemOnDelete": True,
        "metadataServer": {"activeCount": 1, "activeStandby": True},
    }
    return _ceph("CephFilesystem", "cephfs", "rook-ceph", spec=spec, status={"phase": "Ready"})


def _block_pool() -> Item:
    spec = {
        "failureDomain": "host",
        "replicated": {"size": 3, "requireSafeReplicaSize": True},
    }
    status = {"phase": "Ready", "info": {"failureDomain": "host", "type": "Replicated"}}
    return _ceph("CephBlockPool", "replicapool", "rook-ceph", spec=spec, status=status)


# --- CSI --------------------------------------------------------------------------------------


def _storage_class(mode: Mode) -> Item:
    space = space_of(mode)
    parameters = {"clusterID": space, "fsName": "cephfs", "pool": declared(mode).pool}
    for use, secret in (
        ("provisioner", "rook-csi-cephfs-provisioner"),
        ("controller-expand", "rook-csi-cephfs-provisioner"),
        ("node-stage", "rook-csi-cephfs-node"),
    ):
        parameters[f"csi.storage.k8s.io/{use}-secret-name"] = secret
        parameters[f"csi.storage.k8s.io/{use}-secret-namespace"] = space
    return _object(
        "storage.k8s.io/v1",
        "StorageClass",
        "cephfs",
        provisioner=f"{OPERATOR}.cephfs.csi.ceph.com",
        parameters=parameters,
        reclaimPolicy="Delete",
        allowVolumeExpansion=True,
    )


def _secret(mode: Mode, name: str) -> Item:
    held = {"userID": "Y3Np", "userKey": "cGxhbnRlZC1jYW5hcnk="}
    return _object("v1", "Secret", name, space_of(mode), type="kubernetes.io/rook", data=held)


def _csi(mode: Mode, now: float, *, csi_operator: bool) -> list[Item]:
    kinds = ("cephfs", "rbd")
    full = {kind: f"{OPERATOR}.{kind}.csi.ceph.com" for kind in kinds}
    items = [_csi_driver(name) for name in full.values()]
    items += [_csi_node(machine, list(full.values())) for machine in MACHINES]
    items += [_lease(name, now) for name in full.values()]
    image = "quay.io/cephcsi/cephcsi:v3.15.0"
    for kind, name in full.items():
        own = (f"csi-{kind}plugin", f"csi-{kind}plugin-provisioner")
        plugin, controller = (f"{name}-nodeplugin", f"{name}-ctrlplugin") if csi_operator else own
        items += _with_pods(daemon_set(plugin, image))
        items += _with_pods(deployment(controller, image, 2))
    if csi_operator:
        manager = "quay.io/cephcsi/ceph-csi-operator:v0.4.1"
        items += _with_pods(deployment("ceph-csi-controller-manager", manager, 1))
        items += [
            _object("csi.ceph.io/v1", "Driver", name, OPERATOR, spec={}) for name in full.values()
        ]
        items += _connections(mode)
    else:
        entries = [_entry(mode, space_of(mode)), _entry(mode, GROUP, subvolumeGroup="csi")]
        data = {"csi-cluster-config-json": json.dumps(entries)}
        items.append(_object("v1", "ConfigMap", "rook-ceph-csi-config", OPERATOR, data=data))
    return items


def _connections(mode: Mode) -> list[Item]:
    """Of the CSI operator: named after the cluster's namespace, in its own, as Rook 1.18 does it;
    and the drivers' file that it makes of them."""
    connection, names = space_of(mode), (space_of(mode), GROUP)
    entries = [{"clusterID": name, "monitors": list(MONITORS)} for name in names]
    return [
        _csi_object("CephConnection", connection, spec={"monitors": list(MONITORS)}),
        *(
            _csi_object("ClientProfile", name, spec={"cephConnectionRef": {"name": connection}})
            for name in names
        ),
        _object(
            "v1",
            "ConfigMap",
            "ceph-csi-config",
            OPERATOR,
            data={"config.json": json.dumps(entries)},
        ),
    ]


def _csi_object(kind: str, name: str, **parts: Any) -> Item:
    return _object("csi.ceph.io/v1", kind, name, OPERATOR, **parts)


def _entry(mode: Mode, cluster_id: str, **of_cephfs: str) -> Item:
    """An entry of the drivers' file, as Rook itself writes it."""
    where = {"clusterID": cluster_id, "namespace": space_of(mode)}
    return {**where, "monitors": list(MONITORS), "cephFS": of_cephfs}


def _csi_driver(name: str) -> Item:
    spec = {"attachRequired": True, "podInfoOnMount": False, "fsGroupPolicy": "File"}
    return _object("storage.k8s.io/v1", "CSIDriver", name, spec=spec)


def _csi_node(machine: str, drivers: Sequence[str]) -> Item:
    listed: list[Mapping[str, Any]] = [{"name": name, "nodeID": machine} for name in drivers]
    return _object("storage.k8s.io/v1", "CSINode", machine, spec={"drivers": listed})


def _lease(driver: str, now: float) -> Item:
    renewed = stamp(now - 20).replace("Z", ".000000Z")
    spec = {
        "holderIdentity": f"{driver}-ctrlplugin-5d8f7c-101",
        "leaseDurationSeconds": 137,
        "renewTime": renewed,
    }
    return _object("coordination.k8s.io/v1", "Lease", driver.replace(".", "-"), OPERATOR, spec=spec)
