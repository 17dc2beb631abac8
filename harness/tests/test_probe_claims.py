"""Claims: what the probe asks for and sees, and that all goes again."""

from __future__ import annotations

import errno
import json
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from harness.core.errors import ConfigError, TimedOut, Unreachable
from harness.probes import claim_objects, claim_workload, owned
from harness.probes.scripts import claim_kinds_script as kinds
from harness.probes.scripts import claim_script as script
from harness.tests.fake_transport import FakeKube, FakeShell
from harness.tests.probe_rig import MACHINES, PROFILE, observe, reach
from harness.tests.test_probe_pods import Cluster
from harness.transport import Completed
from harness.transport.objects import must, quantity

ONE, TWO, THREE = MACHINES
assert PROFILE.storage is not None
CLASS = PROFILE.storage.class_name
LIMITED, MIB = claim_objects.LIMITED, claim_objects.MIB


# --- the probe ------------------------------------------------------------------------------------


class Volumes(Cluster):
    """Binds every claim at once, and runs the pods' script here, in folders for claims."""

    def __init__(self, root: Path, unbound: Sequence[str] = (), sick: Sequence[str] = ()) -> None:
        super().__init__({}, sick)
        self.root, self.unbound = root, unbound
        self.one_by_one = threading.Lock()  # locks on files do not part threads of one process
        for name in (claim_objects.SHARED, LIMITED):
            (root / name).mkdir()
        self.classes: list[Any] = [
            {
                "metadata": {"name": CLASS},
                "provisioner": "rook-ceph.cephfs.csi.ceph.com",
                "reclaimPolicy": "Delete",
                "allowVolumeExpansion": True,
                "parameters": {"pool": "cephfs_data", "csi.storage.k8s.io/x-secret-name": "x"},
            }
        ]

    def get(self, path: str, *, within_s: float = 10.0) -> Any:
        kind = path.partition("?")[0].rpartition("/")[2]
        if kind == "storageclasses":
            return {"items": self.classes}
        if kind in ("persistentvolumes", "persistentvolumeclaims"):
            return {"items": [self._item(it) for it in self.claims()]}
        if "/persistentvolumeclaims/" in path:
            return self._item(self.claims()[-1])
        return super().get(path, within_s=within_s)

    def claims(self) -> list[Any]:
        """Every claim that is not deleted, as it was asked for last, in that order."""
        asked = {
            it["metadata"]["name"]: it
            for it in self.manifests
            if it["kind"] == "PersistentVolumeClaim"
        }
        gone = [str(path).rpartition("/")[2] for path in self.deleted()]
        return [it for name, it in asked.items() if name not in gone]

    def apply(self, manifest: Any, *, within_s: float = 10.0) -> None:
        self.manifests[:] = [it for it in self.manifests if it["metadata"] != manifest["metadata"]]
        super().apply(manifest, within_s=within_s)

    def _item(self, claim: Any) -> Any:
        """Both the claim and its volume."""
        meta, size = claim["metadata"], claim["spec"]["resources"]["requests"]["storage"]
        bound = meta["name"] not in self.unbound
        return {
            "metadata": meta,
            "spec": {
                "volumeName": f"pv-{meta['name']}",
                "accessModes": ["ReadWriteMany"],
                "claimRef": meta if bound else None,
            },
            "status": {
                "phase": "Bound" if bound else "Pending",
                "capacity": {"storage": size},
            },
        }

    def exec(
        self,
        namespace: str,
        pod: str,
        argv: Sequence[str],
        *,
        stdin: str = "",
        within_s: float = 30,
    ) -> Completed:
        role, arguments = argv[-3], json.loads(argv[-1])
        assert "python3" in argv[0]
        assert "def main" in stdin
        for argument in arguments:
            for key in ("path", "folder"):
                if key in argument:
                    argument[key] = f"{self.root}{argument[key]}"
            if "group" in argument:
                argument["group"] = os.getgid()
        with self.one_by_one:
            answers = [script.item(script.ROLES[role], argument) for argument in arguments]
        return Completed(status=0, stdout=json.dumps(answers), stderr="")

    def df(self, *_: Any) -> Completed:
        there = LIMITED in [it["metadata"]["name"] for it in self.claims()]
        folder = self.root / LIMITED
        stored = sum(path.stat().st_size for path in folder.iterdir()) if there else 0
        pools = [{"name": "cephfs_data", "stats": {"stored": 1000 + stored}}]
        return Completed(status=0, stdout=json.dumps({"pools": pools}), stderr="")


class Keeping(Volumes):
    """Keeps a volume whose claim is gone until its policy is Delete, and longer when ``stuck``."""

    stuck = False

    def get(self, path: str, *, within_s: float = 10.0) -> Any:
        if path == "/api/v1/persistentvolumes":
            return {"items": self._volumes()}
        return super().get(path, within_s=within_s)

    def _volumes(self) -> list[Any]:
        there = [it["metadata"]["name"] for it in self.claims()]
        patched = self.policies()
        asked = [it for it in self.manifests if it["kind"] == "PersistentVolumeClaim"]
        volumes = []
        for claim in asked:
            if claim["metadata"]["name"] in self.unbound:
                continue
            name, bound = f"pv-{claim['metadata']['name']}", claim["metadata"]["name"] in there
            policy = patched.get(name, "Retain")
            if not bound and policy == "Delete" and not self.stuck:
                continue
            spec = {
                "accessModes": ["ReadWriteMany"],
                "claimRef": claim["metadata"],
                "persistentVolumeReclaimPolicy": policy,
            }
            status = {"phase": "Bound" if bound else "Released"}
            volumes.append({"metadata": {"name": name}, "spec": spec, "status": status})
        # One of a customer's, and one that says nothing of itself.
        others = {"namespace": "odoo", "name": "odoo-data-1"}
        kept = {"claimRef": others, "persistentVolumeReclaimPolicy": "Retain"}
        theirs: Any = {"metadata": {"name": "theirs"}, "spec": kept, "status": None}
        return [*volumes, theirs, {"metadata": {"name": "odd"}, "spec": None}]

    def policies(self) -> dict[str, str]:
        return {
            it["metadata"]["name"]: it["spec"]["persistentVolumeReclaimPolicy"]
            for it in self.manifests
            if it["kind"] == "PersistentVolume"
        }

    def df(self, *_: Any) -> Completed:
        freed = not any(it["metadata"]["name"] == f"pv-{LIMITED}" for it in self._volumes())
        folder = self.root / LIMITED
        stored = 0 if freed else sum(path.stat().st_size for path in folder.iterdir())
        pools = [{"name": "cephfs_data", "stats": {"stored": 1000 + stored}}]
        return Completed(status=0, stdout=json.dumps({"pools": pools}), stderr="")


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Little is written, nobody waits, and a folder holds one MiB."""

    def at_once(look: Any, **_: Any) -> Any:
        if not (seen := look()):
            raise TimedOut("not yet")
        return seen

    for module in ("pods", "claim_objects", "claim_workload", "claims"):
        monkeypatch.setattr(f"harness.probes.{module}.until", at_once)
    monkeypatch.setattr(claim_workload, "FILES", 9)
    monkeypatch.setattr(claim_workload, "LINES", 3)
    monkeypatch.setattr(claim_workload, "BLOCKS", 3)
    monkeypatch.setitem(claim_objects.SIZES, LIMITED, 2 * MIB)
    monkeypatch.setattr(kinds, "HOLE", 1 << 16)
    monkeypatch.setattr(script, "STEP", 1 << 18)


@pytest.fixture
def volumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Keeping:
    """A cluster whose claim that is filled holds as much as was asked for last."""
    cluster, put, getxattr = Keeping(tmp_path), script.put, os.getxattr
    limited = tmp_path / LIMITED

    def limit() -> int:
        (claim,) = [it for it in cluster.claims() if it["metadata"]["name"] == limited.name]
        return quantity(claim["spec"]["resources"]["requests"]["storage"])

    def put_up_to(descriptor: int, data: bytes, offset: int) -> None:
        stored = sum(path.stat().st_size for path in limited.iterdir())
        if Path(f"/proc/self/fd/{descriptor}").resolve().parent == limited and stored >= limit():
            raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))
        put(descriptor, data, offset)

    def asked_by_name(path: Any, name: str) -> bytes:
        return str(limit()).encode() if name == script.QUOTA else getxattr(path, name)

    monkeypatch.setattr(script, "put", put_up_to)
    monkeypatch.setattr(os, "getxattr", asked_by_name)
    return cluster


def looked(cluster: Volumes, shell: FakeShell | None = None) -> Any:
    asked = shell or FakeShell({("*", "ceph"): lambda *_: cluster.df()})
    return observe("claims", reach(asked, cluster), "contabo")


def test_twenty_claims_are_asked_for_and_everything_is_seen_and_removed(volumes: Volumes) -> None:
    seen = looked(volumes)
    assert seen["class"]["value"]["parameters"] == {"pool": "cephfs_data"}
    assert len(seen["bound"]) == 20
    assert all(claim["modes"] == ["ReadWriteMany"] for claim in seen["bound"].values())
    right = {"right": 3, "wrong": 0, "first": []}
    pairs = {f"{one} → {two}" for one in MACHINES for two in MACHINES if one != two}
    for phase in seen["data"].values():
        assert phase["read"] == {pair: {"value": right} for pair in pairs}
    assert seen["small"]["read"][f"{ONE} → {TWO}"] == {"value": right}
    assert seen["lines"]["read"][THREE]["value"]["right"] == 9
    assert volumes.deleted()[-1] == f"/api/v1/namespaces/{space(volumes)}"


def test_a_machine_sees_of_another_what_was_made(volumes: Volumes) -> None:
    metadata = looked(volumes)["metadata"]
    wanted = metadata["made"][ONE]["value"]["wanted"]
    found = metadata["seen"][f"{ONE} → {TWO}"]["value"]
    if metadata["made"][ONE]["value"]["list_refused"]:  # the file system under the tests decides
        del wanted["access list"], found["access list"]
    assert found == wanted
    assert len(found) >= 9


def test_a_claim_is_filled_grown_filled_again_and_gives_its_space_back(volumes: Volumes) -> None:
    seen = looked(volumes)
    full, grown, deleted = seen["full"], seen["grown"], seen["deleted"]
    assert full["first"]["value"] | {"took_s": 0} == {
        "quota": 2 * MIB,
        "bytes": 2 * MIB,
        "ended": "EDQUOT",
        "took_s": 0,
    }
    assert full["second"]["value"]["bytes"] == 0
    assert grown["filled"]["value"]["bytes"] == grown["size"] == 3 * MIB
    assert (deleted["filled"], deleted["before"]) == (3 * MIB, 1000)
    assert (deleted["full"], deleted["after"]) == (1000 + 3 * MIB, 1000)
    pods_gone = [path for path in volumes.deleted() if "/pods/" in path]
    assert len(pods_gone) == len(MACHINES)


def test_claims_that_are_not_bound_say_so_and_nothing_is_written(volumes: Volumes) -> None:
    volumes.unbound = volumes.sick = [LIMITED, "spare-02"]
    seen = looked(volumes)
    assert seen["bound"]["spare-02"]["said"] == "no route"
    assert "after_s" in seen["bound"]["spare-01"]
    for answer in (*seen["data"]["first"]["written"].values(), seen["full"]["first"]):
        assert answer == {"error": "the claim limited was not bound, so nothing was written"}
    assert "nothing was written" in seen["deleted"]["error"]
    assert not [it for it in volumes.manifests if it["kind"] == "Pod"]
    assert volumes.deleted()[-1] == f"/api/v1/namespaces/{space(volumes)}"


def test_a_pod_that_never_stands_costs_its_own_answers_alone(volumes: Volumes) -> None:
    volumes.sick = ["claims-vmi2887103"]
    read = looked(volumes)["data"]["first"]["read"]
    assert "no route" in read[f"{ONE} → {THREE}"]["error"]
    assert "value" in read[f"{ONE} → {TWO}"]


def test_a_ceph_that_cannot_be_asked_leaves_the_rest_alone(volumes: Volumes) -> None:
    seen = looked(volumes, FakeShell({("*", "ceph"): Unreachable("no route")}))
    assert "no route" in seen["deleted"]["error"]
    assert "value" in seen["full"]["first"]


def test_a_volume_that_stays_is_told_and_a_class_that_is_missing_is_none(
    volumes: Volumes, monkeypatch: pytest.MonkeyPatch
) -> None:
    volumes.classes = []
    monkeypatch.setattr(Volumes, "deleted", lambda _: [])
    seen = looked(volumes)
    assert seen["class"] == {"value": None}
    assert seen["deleted"]["left"].startswith("Bound")


@pytest.mark.parametrize("stuck", [False, True])
def test_volumes_that_a_declared_class_keeps_are_seen_to_stay_and_then_removed(
    volumes: Keeping, stuck: bool
) -> None:
    volumes.stuck = stuck
    assert PROFILE.storage is not None
    assert PROFILE.storage.reclaim_policy == "Retain"
    found = looked(volumes)["deleted"]
    assert found["kept"] == "Released, reclaim policy Retain"
    if stuck:
        assert found["left"] == "Released, reclaim policy Delete"
    else:
        assert found["after"] == 1000
    # All twenty, and no volume of another claim.
    assert volumes.policies() == {f"pv-{name}": "Delete" for name in claim_objects.SIZES}
    assert volumes.deleted()[-1] == f"/api/v1/namespaces/{space(volumes)}"


def test_volumes_that_killed_looks_have_left_are_swept_and_no_others() -> None:
    def kept(name: str, space: str, phase: str = "Released", policy: str = "Retain") -> Any:
        spec = {"claimRef": {"namespace": space}, "persistentVolumeReclaimPolicy": policy}
        return {"metadata": {"name": name}, "spec": spec, "status": {"phase": phase}}

    listed = [
        kept("left", "cutover-probe-0a1b2c3d"),
        kept("of-a-ledger", "cutover-ledger-0a1b2c3d"),
        kept("of-one-that-looks-now", "cutover-probe-99999999"),
        kept("bound", "cutover-probe-0a1b2c3d", phase="Bound"),
        kept("goes-by-itself", "cutover-probe-0a1b2c3d", policy="Delete"),
        kept("customer", "odoo"),
        kept("looks-like-ours", "my-cutover-probe-0a1b2c3d"),
    ]
    cluster = FakeKube({"/api/v1/persistentvolumes": {"items": listed}})
    owned.sweep_volumes(cluster, ["cutover-probe-99999999"])
    patched = [
        must(manifest, "metadata", "name") for verb, manifest in cluster.calls if verb == "APPLY"
    ]
    assert patched == ["left", "of-a-ledger"]


def test_a_namespace_that_a_killed_look_has_left_goes_with_its_volumes(
    volumes: Keeping, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owned, "LASTS_S", 0.0)
    monkeypatch.setattr(owned, "_GONE_WITHIN_S", 0.0)
    name = "cutover-probe-0a1b2c3d"
    volumes.spaces = [{"metadata": {"name": name}}]
    meta = {"namespace": name, "name": "spare-01"}
    volumes.manifests.append({"kind": "PersistentVolumeClaim", "metadata": meta})
    owned.sweep(volumes)
    assert volumes.policies() == {"pv-spare-01": "Delete"}
    assert volumes.deleted() == [f"/api/v1/namespaces/{name}"]


def test_the_pods_write_as_users_of_their_own_and_keep_to_the_restricted_standard(
    volumes: Volumes,
) -> None:
    looked(volumes)
    made = [it["spec"] for it in volumes.manifests if it["kind"] == "Pod"]
    assert len({spec["securityContext"]["runAsUser"] for spec in made}) == len(MACHINES)
    for spec in made:
        assert spec["securityContext"]["runAsNonRoot"]
        assert all(set(it) == {"name", "persistentVolumeClaim"} for it in spec["volumes"])


@pytest.mark.parametrize("said", ["", "not JSON", "{}", "[]", "[1, 2]", "[1, 2, 3]"])
def test_a_garbled_answer_is_an_error(
    volumes: Volumes, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    monkeypatch.setattr(
        Volumes, "exec", lambda *_, **__: Completed(status=0, stdout=said, stderr="")
    )
    seen = looked(volumes)
    assert "garbled" in seen["data"]["first"]["read"][f"{ONE} → {TWO}"]["error"]


def test_a_profile_without_storage_is_told_what_to_declare() -> None:
    without = PROFILE.model_copy(update={"storage": None})
    assert "cephfs" in without.cluster().absent
    with pytest.raises(ConfigError, match="declares no StorageClass"):
        observe("claims", reach(like=without), "contabo")


def space(cluster: Volumes) -> str:
    return str(cluster.manifests[0]["metadata"]["name"])
