"""Rook with CSI drivers and a Ceph of its own: recorded objects in the place of the lab's Rook.

The lab's own Rook has neither. The objects of ``rook_objects`` are of Rook's real kinds (those of
the CSI operator have open schemas), and their workloads run the lab's image on the real machines.
So the probe's questions, its permissions, and the work of controllers and kubelets are real; Rook's
effect on Ceph is not. The lab's operator is away meanwhile: it would act on these objects.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from harness.core.waiting import until
from harness.lab import kubernetes
from harness.lab import rook as lab_rook
from harness.settings import ROOT
from harness.tests.lab import objects
from harness.tests.lab.objects import Namespace
from harness.tests.lab.world import Ruling, World
from harness.tests.rook_objects import OPERATOR, VERSION, Item, declared, find, recorded

CLASS = "rook-recorded"  # the lab has classes cephfs and rook-cephfs of its own
OPERATOR_IMAGE = f"docker.io/rook/ceph:{VERSION}"
_IMAGES = (*kubernetes.CTR, "images")
_KINDS = (
    ("csi.ceph.io", "Driver"),
    ("csi.ceph.io", "CephConnection"),
    ("csi.ceph.io", "ClientProfile"),
)
_OF_THE_API = ("Pod", "CSINode")
_WORKLOADS = ("Deployment", "DaemonSet")
_OPERATOR = "rook-ceph-operator"


@dataclass(frozen=True)
class StandIn:
    """A Rook that tests may break; ``put`` makes it whole again."""

    world: World
    space: Namespace

    def gate(self, **changes: Any) -> Ruling:
        """A gate's verdict on W3-ROOK, with a profile that declares this Rook."""
        rook = declared("cluster").model_copy(update={"storage_class": CLASS, **changes})
        section = f"\nrook: {json.dumps(rook.model_dump(mode='json'))}\n"
        others = [("  rook: external\n", "  rook: cluster\n"), (section_of_profile(), section)]
        return self.world.gate("W3-ROOK", cluster=self.world.profile_with(others))

    @contextmanager
    def changing(self, kind: str, name: str) -> Iterator[Item]:
        """An object to change; the changed object is applied."""
        item = find(_adapted(), kind, name)
        yield item
        self.space.apply(item)

    def tell(self, kind: str, name: str, **status: Any) -> None:
        """Change an object's status, as its controller would."""
        self._merge(kind, name, {"status": status}, "--subresource=status")

    def list_drivers(self, machine: str, *drivers: str) -> None:
        """Set a machine's CSINode, as its kubelet would when drivers register."""
        listed = [{"name": name, "nodeID": machine, "topologyKeys": None} for name in drivers]
        self._merge("csinode", machine, {"spec": {"drivers": listed}})

    def _merge(self, kind: str, name: str, change: Item, *options: str) -> None:
        patch = f"--patch={json.dumps(change)}"
        self.space.kubectl("patch", kind, name, "--type=merge", patch, *options)

    def recreate_class(self, change: Callable[[Item], None]) -> None:
        """Create the storage class again: its volume settings cannot be changed."""
        self._delete_class()
        with self.changing("StorageClass", CLASS) as item:
            change(item)

    def _delete_class(self) -> None:
        self.space.kubectl("delete", "storageclass", CLASS, "--ignore-not-found", "--wait=false")

    def put(self) -> None:
        """Restore every object to its recorded state, as of now, and wait until workloads run."""
        items = _adapted()
        self._delete_class()
        self.space.apply(*items)
        drivers = [it["metadata"]["name"] for it in items if it["kind"] == "CSIDriver"]
        told = [it for it in items if it["apiVersion"].startswith("ceph.rook.io/")]
        with ThreadPoolExecutor() as pool:
            calls = [
                *(pool.submit(self.list_drivers, it.name, *drivers) for it in self.world.lab.nodes),
                *(
                    pool.submit(self.tell, it["kind"], it["metadata"]["name"], **it["status"])
                    for it in told
                ),
            ]
        for call in calls:
            call.result()
        self.settle()

    def settle(self) -> None:
        """Wait until every workload runs as specified."""
        until(self._is_settled, within_s=180, what="the workloads of Rook", every_s=1.0)

    def waits(self) -> set[str]:
        """Reasons why containers do not run."""
        pods = json.loads(self.space.kubectl("get", "pods", "--output=json"))["items"]
        states = [it for pod in pods for it in pod["status"].get("containerStatuses", ())]
        return {str(it["state"].get("waiting", {}).get("reason", "")) for it in states}

    def _is_settled(self) -> bool:
        listed = self.space.kubectl("get", "deployments,daemonsets", "--output=json")
        return all(_runs(item) for item in json.loads(listed)["items"])


def section_of_profile() -> str:
    """What the lab's own profile says of its Rook."""
    text = (ROOT / "scenarios/clusters/lab.yaml").read_text(encoding="utf-8")
    found = re.search(r"\nrook:\n(  .*\n)+", text)
    assert found is not None
    return found[0]


def _runs(item: Item) -> bool:
    status, wanted = item.get("status", {}), item["spec"].get("replicas")
    if status.get("observedGeneration", 0) < item["metadata"]["generation"]:
        return False
    counts = ["availableReplicas", "updatedReplicas", "replicas"]
    if wanted is None:
        counts = ["numberAvailable", "updatedNumberScheduled"]
        wanted = status.get("desiredNumberScheduled", 0)
    return all(status.get(count, 0) == wanted for count in counts)


@contextmanager
def stand_in(world: World) -> Iterator[StandIn]:
    """Recorded Rook on the lab's cluster; afterwards only the lab's own is there again."""
    kinds = [_definition(group, kind) for group, kind in _KINDS]
    rook = StandIn(world, Namespace(world, OPERATOR))
    try:
        world.scale(OPERATOR, _OPERATOR, 0, label=f"app={_OPERATOR}")
        rook.space.kubectl("delete", "deployment", _OPERATOR)  # a selector cannot be changed
        for node in world.lab.nodes:
            source = f"docker.io/{objects.IMAGE}"
            world.do(node, *_IMAGES, "tag", "--force", source, OPERATOR_IMAGE)
        rook.space.apply(*kinds)
        for kind in kinds:
            name = f"crd/{kind['metadata']['name']}"
            rook.space.kubectl("wait", "--for=condition=Established", "--timeout=10s", name)
        yield rook
    finally:
        try:
            _remove(rook, [f"crd/{kind['metadata']['name']}" for kind in kinds])
        finally:
            kubernetes.insist(world.lab, "apply", f"--filename={lab_rook.OPERATOR}", log=world.log)


def _remove(rook: StandIn, kinds: Sequence[str]) -> None:
    for node in rook.world.lab.nodes:
        rook.list_drivers(node.name)
        rook.world.do(node, *_IMAGES, "rm", OPERATOR_IMAGE, check=False)
    names = [f"{it['kind'].lower()}/{it['metadata']['name']}" for it in _adapted()]
    away = ("delete", "--ignore-not-found", "--wait=false")
    # Without the CSI operator's kinds their objects cannot be named.
    rook.space.kubectl(*away, *names, check=False)
    rook.space.kubectl(*away, *kinds)


def _definition(group: str, kind: str) -> Item:
    """A kind with an open schema and a status of its own, like Rook's kinds."""
    plural = f"{kind.lower()}s"
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "schema": {
            "openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
        },
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural, "singular": kind.lower()},
            "versions": [version],
        },
    }


def _adapted() -> list[Item]:
    """The recorded objects that no controller creates, adapted to run in the lab."""
    items = recorded("cluster", now=time.time())
    for item in items:
        if item["kind"] == "StorageClass":
            item["metadata"]["name"] = CLASS
        if item["kind"] in _WORKLOADS:
            _run_in_lab(item)
    return [item for item in items if item["kind"] not in _OF_THE_API]


def _run_in_lab(workload: Item) -> None:
    del workload["status"]
    spec = workload["spec"]["template"]["spec"]
    spec["terminationGracePeriodSeconds"] = 0
    (container,) = spec["containers"]
    container["command"] = ["catatonit", "-P"]
    if container["image"] != OPERATOR_IMAGE:
        container["image"] = objects.IMAGE
