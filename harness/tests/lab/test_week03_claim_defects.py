"""Seeded defects of W3-PVC: claims that are not served, and data that differs from the written.

Most tests break the volumes of one workload between two phases of the probe.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace as replace_in
from pathlib import Path
from typing import Any

import pytest

from harness.checks import CHECKS
from harness.core.model import Case, Observation, Outcome, Verdict
from harness.core.waiting import until
from harness.drill.traffic import BackgroundWrites
from harness.lab import kubernetes
from harness.lab.shape import Lab
from harness.probes import claim_objects, claim_workload, claims
from harness.probes.claim_objects import LIMITED, MIB, SHARED
from harness.probes.claim_workload import Workload
from harness.tests import clean_drills
from harness.tests.lab.red import says
from harness.tests.lab.stage import Stage, copy_of_class, staged
from harness.tests.lab.world import Ruling, World

NO_TIME_S, RELEASED_S = 2.0, 12.0
BLOCK = 1 << 16
WHOLE = claim_workload.BLOCKS * BLOCK


@pytest.fixture(scope="module")
def stage(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    world = World(lab, Path(tmp_path_factory.mktemp("claims")))
    world.still_whole()
    with staged(world) as one:
        yield one
    world.whole()


def red(verdict: Verdict, *words: str) -> None:
    """Assert that the check failed, for reasons with these words."""
    assert verdict.outcome is Outcome.FAIL, verdict.reason
    missing = [word for word in words if word not in verdict.reason]
    assert not missing, f"the reason does not say {missing}: {verdict.reason}"


def test_claims_of_a_whole_lab_are_proven_but_for_an_osd_that_nobody_may_stop(world: World) -> None:
    ruling = world.gate("W3-PVC")
    says(ruling, "W3-PVC", "lose-osd", "it needs --allow-disruption", outcome="not_proven")
    are_served(ruling)


@pytest.mark.long
def test_claims_of_a_whole_lab_are_proven(world: World) -> None:
    ruling = world.gate("W3-PVC", within_s=900, disrupt=True)
    assert ruling.outcome("W3-PVC") == "pass", ruling.reason("W3-PVC")
    are_served(ruling)


def are_served(ruling: Ruling) -> None:
    measured = ruling["W3-PVC"]["measured"]
    assert measured["bind_p50_s"] <= measured["bind_p95_s"] <= measured["bind_s"] < 60
    assert measured["overshoot_percent"] <= 10
    assert measured["give_back_s"] < 120


@pytest.mark.defect("what one machine writes every other reads unchanged")
def test_blocks_that_are_not_what_was_written_are_told_apart(stage: Stage) -> None:
    first = stage.do(lambda: stage.work.data(1))
    writer = stage.work.machines[0]
    stage.beneath(SHARED, f"open('old', 'wb').write(open('data-{writer}', 'rb').read())")
    again = stage.do(lambda: stage.work.data(2))
    check = "what one machine writes every other reads unchanged"
    whole = stage.judge(check, {"data": {"first": first, "again": again}})
    assert whole.outcome is Outcome.PASS, whole.reason
    stage.beneath(
        SHARED,
        f"""
old, size = open('old', 'rb').read(), 65536
os.unlink('old')
with open('data-{writer}', 'r+b') as file:
    new = file.read()
    def put(number, data):
        file.seek(number * size)
        file.write(data)
    put(2, old[2 * size:3 * size])
    put(5, new[7 * size:8 * size])
    put(9, bytes(size))
    put(11, new[11 * size:11 * size + 999] + bytes([new[11 * size + 999] ^ 16]))
    file.truncate(64 * size + 100)
""",
    )
    wanted = [2 if number % 2 == 0 else 1 for number in range(65)]
    read = stage.do(lambda: stage.work.verify(dict.fromkeys(stage.work.machines, wanted)))
    broken = stage.judge(check, {"data": {"again": again | {"read": read}}})
    red(
        broken,
        f"{writer} → {stage.work.machines[1]}: expected 65 blocks as they were written, seen 5",
        "block 2 is stale: generation 1",
        f"block 5 is swapped: it belongs at offset {7 * 65536}",
        "block 9 is zeroed",
        f"block 11 is changed: 1 bits differ, the first at byte {11 * 65536 + 999}",
        "block 64 is lost: only 100 bytes of it are there",
    )
    assert all(where.startswith(writer) for where in broken.where)


@pytest.mark.defect("metadata survives")
def test_metadata_that_is_lost_is_found(stage: Stage) -> None:
    made = stage.do(stage.work.adorn)
    writer = stage.work.machines[0]
    stage.beneath(
        SHARED,
        f"""
os.chdir('kinds-{writer}')
os.removexattr('attribute', 'user.cutover')
os.chown('owner', 0, 0)
os.chmod('mode', 0o644)
os.utime('modified', ns=(0, 1234567890000000000))
os.unlink('two')
open('two', 'w').write('one')
os.unlink(b'names/' + b'n' * 255)
""",
    )
    seen = stage.do(stage.work.described)
    broken = stage.judge("metadata survives", {"metadata": {"made": made, "seen": seen}})
    red(
        broken,
        f"{writer} → {stage.work.machines[1]}: extended attribute: expected 0001",
        "seen ENODATA",
        "owner: expected 20001:20500, seen 0:0",
        "mode: expected 0o4751, seen 0o644",
        "modification time: expected 1234567890123456789, seen 1234567890000000000",
        "hard link: expected 2 names of one file, seen 1 names of two files",
        "names: expected",
    )
    assert all(where.startswith(writer) for where in broken.where)


@pytest.mark.defect("appenders with locks lose nothing")
def test_lines_that_are_lost_twice_or_torn_are_found(stage: Stage) -> None:
    written = stage.do(stage.work.append)
    check = "appenders with locks lose nothing"
    whole = stage.judge(
        check, {"lines": {"written": written, "read": stage.do(stage.work.read_lines)}}
    )
    assert whole.outcome is Outcome.PASS, whole.reason
    stage.beneath(
        SHARED,
        """
lines = open('lines', 'rb').read().splitlines(keepends=True)
lines[0] = lines[1]
lines[5] = lines[5][:-9] + lines[6]
del lines[6]
open('lines', 'wb').write(b''.join(lines))
""",
    )
    read = stage.do(stage.work.read_lines)
    red(
        stage.judge(check, {"lines": {"written": written, "read": read}}),
        "expected every line once and whole, seen 3 lost, 1 twice and 1 torn",
    )


@pytest.mark.defect("many small files are whole")
def test_small_files_that_are_missing_or_changed_are_found(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claim_workload, "FILES", 150)
    written = stage.do(stage.work.scatter)
    check, writer = "many small files are whole", stage.work.machines[0]
    stage.beneath(
        SHARED,
        f"os.unlink('small-{writer}/00011')\nopen('small-{writer}/00042', 'ab').write(b'x')",
    )
    read = stage.do(stage.work.gather)
    broken = stage.judge(check, {"small": {"written": written, "read": read}})
    red(broken, "seen 2 that are not: 00011 is missing and 00042 holds other bytes")
    assert all(where.startswith(writer) for where in broken.where)


@pytest.mark.defect("a full claim gives EDQUOT")
def test_a_quota_that_is_missing_or_on_the_wrong_folder_is_found(stage: Stage) -> None:
    quota = "os.setxattr({!r}, 'ceph.quota.max_bytes', b'{}')"
    stage.beneath(LIMITED, quota.format(".", 0))
    check = "a full claim gives EDQUOT"
    try:
        # The folder that the claim's own would have been, had the provisioner not erred.
        stage.beneath(LIMITED, f"os.mkdir('inner')\n{quota.format('inner', 64 * MIB)}")
        red(
            stage.judge(check, {"full": stage.do(stage.work.full)}),
            f"its own folder (ceph.quota.max_bytes) to be {64 * MIB} bytes, seen ENODATA",
            "expected EDQUOT, seen no end after 80 MiB of 64",
        )
    finally:
        stage.beneath(LIMITED, "os.rmdir('inner')\nos.unlink('one')\nos.unlink('two')")
        stage.beneath(LIMITED, quota.format(".", 64 * MIB))
    whole = stage.judge(check, {"full": stage.do(stage.work.full)})
    assert whole.outcome is Outcome.PASS, whole.reason


@pytest.mark.defect("claims are bound in time", "a claim grows while it is in use")
def test_a_provisioner_that_stands_still_or_gives_one_machine_only_is_found(stage: Stage) -> None:
    world = stage.world
    try:
        provisioners(world, 0)
        bound = stage.bind(NO_TIME_S, "waiting", "lonely")
        patch = world.kubectl("get", "pvc", "lonely", f"-n{stage.work.space}", "--output=json")
        world.kubectl("apply", "-f", str(lonely_volume(world, json.loads(patch))))
        bound |= stage.bind(0, "lonely")
        red(
            stage.judge("claims are bound in time", {"bound": bound}, NO_TIME_S),
            f"claim waiting: expected it bound within {NO_TIME_S:g} s",
            "claim lonely: expected a volume that is ReadWriteMany, seen one that is ReadWriteOnce",
        )
        grown = stage.do(lambda: stage.work.grown(within_s=NO_TIME_S))
        red(
            stage.judge("a claim grows while it is in use", {"grown": grown}, NO_TIME_S),
            f"expected it to have grown within {NO_TIME_S:g} s, seen that it has not",
        )
    finally:
        forget = ("--ignore-not-found", "--wait=false")
        world.kubectl("delete", "pvc", "lonely", f"-n{stage.work.space}", *forget)
        world.kubectl("delete", "pv", "lonely", *forget)
        provisioners(world, 2)
    assert "after_s" in stage.bind(120, "waiting")["waiting"]


def provisioners(world: World, replicas: int) -> None:
    world.scale("cephfs", "provisioner", replicas, label="app=provisioner")


def lonely_volume(world: World, claim: dict[str, Any]) -> Path:
    """The volume of a provisioner that knows one machine only."""
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": "lonely"},
        "spec": {
            "capacity": {"storage": "16Mi"},
            "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": "cephfs",
            "hostPath": {"path": "/mnt/cephfs/volumes/lonely"},
            "claimRef": {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "namespace": claim["metadata"]["namespace"],
                "name": "lonely",
                "uid": claim["metadata"]["uid"],
            },
        },
    }
    path = world.scratch / "lonely.json"
    path.write_text(json.dumps(volume))
    return path


@pytest.mark.defect("the storage class is as declared")
def test_a_class_that_is_not_the_declared_one_is_found(stage: Stage) -> None:
    world, check = stage.world, "the storage class is as declared"
    before = copy_of_class(world, "cephfs")
    changes = {"reclaimPolicy": "Retain", "allowVolumeExpansion": False}
    try:
        replace(world, before | changes | {"parameters": {"pool": "cephfs_metadata"}})
        red(
            stage.judge(check, {"class": look(stage)}),
            "StorageClass cephfs: expected reclaimPolicy Delete, seen Retain",
            "expected allowVolumeExpansion true, seen false",
            "expected pool none, seen cephfs_metadata",
        )
        delete(world)
        red(stage.judge(check, {"class": look(stage)}), "expected it, seen no such class")
    finally:
        replace(world, before)
    assert stage.judge(check, {"class": look(stage)}).outcome is Outcome.PASS


def look(stage: Stage) -> dict[str, Any]:
    reach = stage.work.reach
    return {"value": stage.do(lambda: claim_objects.storage_class(reach.kube, "cephfs"))}


def delete(world: World) -> None:
    """The provisioner holds the class (by a finalizer) until it has released it."""
    named = ("storageclass", "cephfs", "--ignore-not-found")
    world.kubectl("delete", *named, "--wait=false")
    until(
        lambda: not world.kubectl("get", *named),
        within_s=120,
        what="the provisioner lets its class go",
    )


def replace(world: World, storage_class: dict[str, Any]) -> None:
    delete(world)
    kubernetes.insist(
        world.lab, "create", "-f", "-", stdin=json.dumps(storage_class), log=world.log
    )


@pytest.mark.defect("what machines wrote to claims meanwhile is unchanged")
def test_a_block_that_an_osd_lost_while_it_restarted_is_found(stage: Stage) -> None:
    """The probe's phases around a drill; then the last block that a machine wrote is removed."""
    world, work = stage.world, stage.work
    stage.beneath(SHARED, "for it in os.listdir(): it.startswith('data-') and os.remove(it)")
    churn = BackgroundWrites(work)
    stage.do(churn.begin)
    world.do(world.two, "systemctl", "restart", "ceph-osd@1")
    until(
        lambda: all(it["value"]["bytes"] == WHOLE for it in stage.do(work.churned).values()),
        within_s=180,
        what="every block was written once",
    )
    told = stage.do(churn.tally)
    whole = survived(world, told)
    assert whole.outcome is Outcome.PASS, whole.reason
    first = work.machines[0]
    stage.beneath(SHARED, f"os.truncate('data-{first}', {WHOLE - BLOCK})")
    written = {machine: it["value"]["generations"] for machine, it in told["written"].items()}
    read = stage.do(lambda: work.verify(written))
    red(survived(world, {**told, "read": read}), f"{first} → ", "block 64 is")


def survived(world: World, told: Mapping[str, Any]) -> Verdict:
    drill = clean_drills.seen()["drills"][clean_drills.DRILL]
    value = drill | {"drill": "lose-osd", "runs": [{**drill["runs"][0], "claims": told}]}
    look = Observation(probe="drills", target="lose-osd", at=0.0, took_s=1.0, value=value)
    case = Case(cluster=world.lab.profile.cluster(), targets={}, observations=[look])
    return CHECKS["what machines wrote to claims meanwhile is unchanged"](case)


@pytest.mark.defect("a deleted claim gives its space back")
def test_a_volume_that_is_kept_after_its_claim_is_found(stage: Stage) -> None:
    """Runs last, because it removes the workload's pods."""
    world, folder = stage.world, stage.folder(LIMITED)
    name = stage.volume(LIMITED)["metadata"]["name"]
    keep = '{"spec": {"persistentVolumeReclaimPolicy": "Retain"}}'
    world.kubectl("patch", "pv", name, f"--patch={keep}")
    try:
        # Nothing was written that Ceph would have to count first.
        gone = stage.do(lambda: claims.deleted(stage.work, 0, 0, within_s=RELEASED_S))
        red(
            stage.judge("a deleted claim gives its space back", {"deleted": gone}, RELEASED_S),
            f"expected its volume to be gone within {RELEASED_S:g} s, seen it Released",
            "reclaim policy Retain",
        )
        kept_as_declared(stage)
        assert not world.kubectl("get", "pv", name, "--ignore-not-found")
        assert Path(folder).name not in world.do(world.one, "ls", str(Path(folder).parent))
    finally:
        world.kubectl("delete", "pv", name, "--ignore-not-found", "--wait=false")
        world.do(world.one, "rm", "-rf", folder)


def kept_as_declared(stage: Stage) -> None:
    """The same volume, with a class that is declared to keep it: it passes, and is removed."""
    reach, cluster = stage.work.reach, stage.world.lab.profile.cluster()
    declared = claim_objects.storage(reach).model_copy(update={"reclaim_policy": "Retain"})
    profile = reach.profile.model_copy(update={"storage": declared})
    work = Workload(replace_in(reach, profile=profile), stage.work.space, seed=7)
    gone = stage.do(lambda: claims.deleted(work, 0, 0, within_s=60))
    look = Observation(
        probe="claims", target=cluster.name, at=0.0, took_s=1.0, value={"deleted": gone}
    )
    case = Case(
        cluster=replace_in(cluster, storage=declared.declared()),
        targets={"give_back_s": 60.0},
        observations=[look],
    )
    verdict = CHECKS["a deleted claim gives its space back"](case)
    assert verdict.outcome is Outcome.PASS, verdict.reason
    assert gone["kept"] == "Released, reclaim policy Retain"
    assert "gives 0 MiB back once its policy is Delete" in verdict.reason
