"""Claims: what the probe asks for, what its script does in the pods, and that all goes again."""

# ruff: noqa: ARG002 (fakes take what the real ones take)
from __future__ import annotations

import errno
import fcntl
import json
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import ConfigError, TimedOut, Unreachable
from harness.probes import claim_kinds_script as kinds
from harness.probes import claim_objects, claim_workload
from harness.probes import claim_script as script
from harness.tests.probe_rig import MACHINES, PROFILE, observe, reach
from harness.tests.test_probe_pods import Cluster
from harness.transport import Completed
from harness.transport.fake import FakeShell

ONE, TWO, THREE = MACHINES
BLOCK = script.BLOCK
WHO = script.owner(7, ONE)
assert PROFILE.storage is not None
CLASS = PROFILE.storage.class_name
LIMITED, MIB = claim_objects.LIMITED, claim_objects.MIB


# --- blocks ---------------------------------------------------------------------------------------


def test_a_block_that_belongs_there_is_right_and_nowhere_zero_for_long() -> None:
    block = script.block(WHO, 3 * BLOCK, 2)
    assert script.verdict(block, WHO, 3 * BLOCK, 2) == ""
    assert len(block) == BLOCK
    assert bytes(32) not in block


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (b"", "lost: the file ends before it"),
        (script.block(WHO, 0, 2)[:100], "lost: only 100 bytes of it are there"),
        (bytes(BLOCK), "zeroed"),
        (script.block(WHO, 0, 1), "stale: generation 1"),
        (script.block(WHO, 0, 3), "invented: generation 3"),
        (script.block(WHO, BLOCK, 2), f"swapped: it belongs at offset {BLOCK}"),
        (script.block(script.owner(7, TWO), 0, 2), "of another writer"),
        (script.block(script.owner(8, ONE), 0, 2), "of another writer"),
    ],
)
def test_each_way_of_being_wrong_has_its_name(found: bytes, says: str) -> None:
    assert script.verdict(found, WHO, 0, 2) == says


@settings(max_examples=5)
@given(st.integers(0, BLOCK * 8 - 1))
def test_every_single_bit_counts(bit: int) -> None:
    found = bytearray(script.block(WHO, BLOCK, 1))
    found[bit // 8] ^= 1 << bit % 8
    says = script.verdict(bytes(found), WHO, BLOCK, 1)
    assert says == f"changed: 1 bits differ, the first at byte {BLOCK + bit // 8}"


def test_what_is_written_is_read_and_what_follows_its_end_is_told(tmp_path: Path) -> None:
    path = str(tmp_path / "data")
    script.write(path, 7, ONE, {"0": 1, "1": 1, "2": 1})
    script.write(path, 7, ONE, {"1": 2})
    assert script.verify(path, 7, ONE, [1, 2, 1]) == {"right": 3, "wrong": 0, "first": []}
    assert script.verify(path, 7, ONE, [1, 1, 1])["first"] == ["block 1 is invented: generation 2"]
    assert script.verify(path, 7, ONE, [1, 2])["first"] == ["it goes on after its end"]


def test_blocks_that_are_written_again_and_again_are_known_afterwards(tmp_path: Path) -> None:
    path = str(tmp_path / "data")
    done = script.churn(path, 7, ONE, 4, 0.05)
    assert done["writes"] == max(done["generations"])
    written = [generation for generation in done["generations"] if generation]
    assert script.verify(path, 7, ONE, written)["right"] == len(written) > 0


# --- files, lines and quotas ----------------------------------------------------------------------


def test_small_files_that_are_missing_changed_or_nobodys_are_told(tmp_path: Path) -> None:
    folder = tmp_path / "small"
    script.scatter(str(folder), 7, ONE, 20)
    assert script.gather(str(folder), 7, ONE, 20) == {"right": 20, "wrong": 0, "first": []}
    assert min(path.stat().st_size for path in folder.iterdir()) >= 1
    (folder / "00020").touch()
    assert script.gather(str(folder), 7, ONE, 20)["first"] == ["00020 was written by nobody"]
    (folder / "00003").unlink()
    (folder / "00004").write_bytes(b"")
    found = script.gather(str(folder), 7, ONE, 20)["first"]
    assert found == ["00003 is missing", "00004 holds other bytes"]


@settings(max_examples=20)
@given(st.data())
def test_lines_are_lost_torn_or_twice_and_never_pass(data: st.DataObject) -> None:
    lines = [script.line(7, writer, number) for writer in MACHINES for number in range(3)]
    place = data.draw(st.integers(0, len(lines) - 1))
    how = data.draw(st.sampled_from(["lost", "twice", "torn"]))
    changed = {"lost": b"", "twice": lines[place] * 2, "torn": lines[place][:-20] + b"\n"}[how]
    there = b"".join([*lines[:place], changed, *lines[place + 1 :]])
    with NamedTemporaryFile() as file:
        file.write(there)
        file.flush()
        found = script.read_lines(file.name, 7, list(MACHINES), 3)
    assert found[how] == 1
    assert found["right"] == len(lines) - 1


def test_appended_lines_are_there_once_and_the_lock_is_held_for_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, locks = str(tmp_path / "lines"), []
    monkeypatch.setattr(fcntl, "lockf", lambda _, how: locks.append(how))
    for machine in (ONE, TWO):
        script.append(path, 7, machine, 5)
    assert script.read_lines(path, 7, [ONE, TWO], 5)["right"] == 10
    assert locks == [fcntl.LOCK_EX, fcntl.LOCK_UN] * 10


def test_what_the_file_system_refuses_is_told_from_what_went_wrong(tmp_path: Path) -> None:
    missing = {"path": str(tmp_path / "no"), "seed": 7, "writer": ONE, "generations": [1]}
    assert script.item(script.verify, missing)["refused"].startswith("ENOENT (No such file")
    assert "TypeError" in script.item(script.verify, {})["error"]

    def slow() -> None:
        raise TimeoutError("not done within 40 s")

    assert script.item(slow, {}) == {"error": "not done within 40 s"}


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


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Little is written, nobody waits, and a folder holds one MiB."""

    def at_once(look: Any, **_: Any) -> Any:
        if not (seen := look()):
            raise TimedOut("not yet")
        return seen

    for module in ("pods", "claim_objects", "claim_workload", "claim_space"):
        monkeypatch.setattr(f"harness.probes.{module}.until", at_once)
    monkeypatch.setattr(claim_workload, "FILES", 9)
    monkeypatch.setattr(claim_workload, "LINES", 3)
    monkeypatch.setattr(claim_workload, "BLOCKS", 3)
    monkeypatch.setitem(claim_objects.SIZES, LIMITED, 2 * MIB)
    monkeypatch.setattr(kinds, "HOLE", 1 << 16)
    monkeypatch.setattr(script, "STEP", 1 << 18)


@pytest.fixture
def volumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Volumes:
    """A cluster whose claim that is filled holds as much as was asked for last."""
    cluster, put, getxattr = Volumes(tmp_path), script.put, os.getxattr
    limited = tmp_path / LIMITED

    def limit() -> int:
        (claim,) = [it for it in cluster.claims() if it["metadata"]["name"] == limited.name]
        return claim_objects.quantity(claim["spec"]["resources"]["requests"]["storage"])

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


def test_the_pods_write_as_users_of_their_own_and_keep_to_the_restricted_standard(
    volumes: Volumes,
) -> None:
    looked(volumes)
    made = [it["spec"] for it in volumes.manifests if it["kind"] == "Pod"]
    assert len({spec["securityContext"]["runAsUser"] for spec in made}) == len(MACHINES)
    for spec in made:
        assert spec["securityContext"]["runAsNonRoot"]
        assert all(set(it) == {"name", "persistentVolumeClaim"} for it in spec["volumes"])


@pytest.mark.parametrize("said", ["", "not JSON", "{}", "[]", "[1, 2, 3]"])
def test_a_garbled_answer_is_an_error(
    volumes: Volumes, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    monkeypatch.setattr(
        Volumes, "exec", lambda *_, **__: Completed(status=0, stdout=said, stderr="")
    )
    seen = looked(volumes)
    assert "garbled" in seen["data"]["first"]["read"][f"{ONE} → {TWO}"]["error"]


@pytest.mark.parametrize(
    ("text", "size"), [("64Mi", 64 << 20), ("1Gi", 1 << 30), ("67108864", 64 << 20), ("8Ki", 8192)]
)
def test_sizes_are_read_as_the_api_writes_them(text: str, size: int) -> None:
    assert claim_objects.quantity(text) == size


def test_a_profile_without_storage_is_told_what_to_declare() -> None:
    without = PROFILE.model_copy(update={"storage": None})
    assert "cephfs" in without.cluster().absent
    with pytest.raises(ConfigError, match="declares no StorageClass"):
        observe("claims", reach(like=without), "contabo")


def space(cluster: Volumes) -> str:
    return str(cluster.manifests[0]["metadata"]["name"])
