"""The volume of PostgreSQL's primary is filled: which one may be, how, and what frees it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest

from harness.core.errors import NotProven
from harness.faults.kinds.volumes import FillPrimaryVolume
from harness.faults.model import Argv
from harness.tests.fake_transport import ShellAnswer
from harness.tests.fault_examples import ID, pod, whole_cluster
from harness.transport import Completed, Reach

GIB, MIB = 2**30, 2**20
CSI = "/var/lib/kubelet/pods/u1/volumes/kubernetes.io~csi/pv-1/mount"
VOLUME = "/api/v1/persistentvolumes/pv-1"
HOST_PATH = {"capacity": {"storage": "2Gi"}, "hostPath": {"path": "/srv/postgres"}}
NO_ATTRIBUTE = Completed(status=1, stdout="", stderr="ceph.quota.max_bytes: No such attribute")
FAULT = FillPrimaryVolume(id=ID, machine="two")


def said(text: str) -> Completed:
    return Completed(status=0, stdout=text, stderr="")


def file_system(*, size: int, free: int, top: str) -> Mapping[tuple[str, str], ShellAnswer]:
    """What a machine answers of a volume that is no CephFS."""
    return {
        ("*", "df"): said(f"1B-blocks Avail\n{size} {free}\n"),
        ("*", "stat"): said(f"{top}\n"),
        ("*", "getfattr"): NO_ATTRIBUTE,
    }


def resolved(reach: Reach, **fault: Any) -> FillPrimaryVolume:
    return FAULT.model_copy(update=fault).resolved(reach, Random(1))


def command(fault: FillPrimaryVolume, reach: Reach) -> Argv:
    (act,) = fault.acts(reach)
    assert act.place == "one"
    return act.argv[4:]


def test_a_claim_on_cephfs_is_filled_to_its_quota_with_a_sparse_file() -> None:
    reach = whole_cluster()
    fault = resolved(reach)
    assert fault.refuse(reach) is None
    assert fault.target == "claim data-1 of web-1 in shop"
    lasting = 2 * GIB - 128 * MIB - 16 * MIB
    written = f"{32 * MIB}"
    expected = (f"{CSI}/cutover-fill-f00d", written, "truncate", "--size", f"{lasting}")
    assert command(fault, reach)[:5] == expected


def test_a_file_system_of_its_own_is_filled_without_writing_to_all_of_it() -> None:
    reach = whole_cluster(answers=file_system(size=2 * GIB - MIB, free=GIB, top=CSI))
    fault = resolved(reach)
    assert fault.refuse(reach) is None
    assert command(fault, reach)[2:5] == ("fallocate", "--length", f"{GIB - 16 * MIB}")


@pytest.mark.parametrize(
    ("size", "top", "volume"),
    [
        # A CephFS of all claims, mounted by CSI from a folder without a quota.
        (90 * GIB, CSI, None),
        # The machine's own disk, as a folder of it, and mounted by a driver that binds folders.
        (100 * GIB, "/", HOST_PATH),
        (2 * GIB, "/", HOST_PATH),
        (100 * GIB, CSI, None),
    ],
)
def test_a_volume_without_a_limit_of_its_own_is_refused_with_the_sums(
    size: int, top: str, volume: Mapping[str, Any] | None
) -> None:
    objects = {} if volume is None else {VOLUME: {"spec": volume}}
    reach = whole_cluster(objects, answers=file_system(size=size, free=GIB, top=top))
    why = str(resolved(reach).refuse(reach))
    assert "data-1 has no quota and no file system of its own" in why
    assert f"{size / 1e9:.1f} GB for a claim of 2.1 GB" in why


def test_a_folder_that_is_on_no_claim_is_refused() -> None:
    reach = whole_cluster()
    why = str(resolved(reach, folder="/tmp/wal").refuse(reach))
    assert "/tmp/wal of web-1 is on no claim" in why


def test_a_volume_of_another_kind_is_refused() -> None:
    nfs = {"capacity": {"storage": "2Gi"}, "nfs": {"server": "10.0.0.9", "path": "/"}}
    reach = whole_cluster({VOLUME: {"spec": nfs}})
    assert "neither CSI's nor a folder of one" in str(resolved(reach).refuse(reach))


def test_a_volume_that_is_full_already_is_refused() -> None:
    reach = whole_cluster(answers=file_system(size=2 * GIB, free=MIB, top=CSI))
    assert "less than 16 MiB free already" in str(resolved(reach).refuse(reach))


def test_a_pod_without_pgdata_is_not_proven_and_says_what_to_declare() -> None:
    fails = Completed(status=1, stdout="", stderr="")
    with pytest.raises(NotProven, match="web-1 has no PGDATA"):
        resolved(whole_cluster(in_pods={("*", "printenv"): fails}))


def used(bytes_now: int) -> Reach:
    """The cluster once CephFS counts so many bytes of the claim's quota."""

    def getfattr(argv: Sequence[str], _: str) -> Completed:
        return said(f"{2 * GIB if '--name=ceph.quota.max_bytes' in argv else bytes_now}")

    return whole_cluster(answers={("*", "getfattr"): getfattr})


@pytest.mark.parametrize(
    ("bytes_now", "active", "healed"),
    [
        (128 * MIB, False, True),
        (2 * GIB - 2 * MIB, False, False),
        (2 * GIB, True, False),
        (2 * GIB + MIB, True, False),
    ],
)
def test_it_is_seen_when_no_room_is_left_and_gone_when_there_is_room(
    bytes_now: int, active: bool, healed: bool
) -> None:
    fault, now = resolved(whole_cluster()), used(bytes_now)
    assert (fault.active(now), fault.healed(now)) == (active, healed)


def test_room_alone_is_not_enough_while_a_pod_of_postgresql_is_not_ready() -> None:
    fault = resolved(whole_cluster())
    late = {**pod("web-1", role="primary"), "status": {"phase": "Running"}}
    path = "/api/v1/namespaces/shop/pods?labelSelector=app%3Ddb"
    assert not fault.healed(whole_cluster({path: {"items": [late]}}))


def test_a_pod_that_has_moved_to_another_machine_is_no_evidence() -> None:
    fault = resolved(whole_cluster())
    moved = pod("web-1")
    moved["spec"]["nodeName"] = "two"
    reach = whole_cluster({"/api/v1/namespaces/shop/pods/web-1": moved})
    with pytest.raises(NotProven, match="is on two, expected one"):
        fault.active(reach)


# --- the commands themselves -------------------------------------------------------------------


def run(argv: Argv, programs: Path) -> subprocess.CompletedProcess[str]:
    path = f"{programs}:{os.environ['PATH']}"
    return subprocess.run(
        argv, capture_output=True, text=True, check=False, timeout=60, env={"PATH": path}
    )


def test_the_undo_finds_the_volume_in_the_folder_of_a_later_pod_and_fails_without_it(
    tmp_path: Path,
) -> None:
    """The operator may have made the pod anew; without it, the machine tries again."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "mountpoint").write_text('#!/bin/sh\ntest -e "$2/.mounted"\n')
    (programs / "mountpoint").chmod(0o755)
    fault = resolved(whole_cluster()).model_copy(
        update={"path": f"{tmp_path}/a pod/{{pod}}/mount", "is_mounted": True}
    )
    _, (argv,) = fault.undo(whole_cluster())
    volume = tmp_path / "a pod" / "u2" / "mount"
    volume.mkdir(parents=True)
    file = volume / "cutover-fill-f00d"
    file.touch()
    lost = run(argv, programs)
    assert (lost.returncode, file.exists()) == (1, True)
    assert "the volume with cutover-fill-f00d is not mounted here" in lost.stdout
    (volume / ".mounted").touch()
    for _ in range(2):
        assert run(argv, programs).returncode == 0
        assert not file.exists()


def test_a_file_fills_what_was_reserved_and_the_rest_until_the_disk_refuses(tmp_path: Path) -> None:
    """Here nothing is refused: what is written ends by itself."""
    fault = resolved(whole_cluster()).model_copy(
        update={"path": f"{tmp_path}", "add_bytes": 3 * MIB}
    )
    (act,) = fault.acts(whole_cluster())
    assert run(act.argv, tmp_path).returncode == 0
    file = tmp_path / "cutover-fill-f00d"
    assert file.stat().st_size == 35 * MIB
    assert file.stat().st_mode & 0o077 == 0


def test_a_database_that_grew_since_its_room_was_measured_leaves_less_to_reserve(
    tmp_path: Path,
) -> None:
    """Two files of its log, and the beginning of a third: here a limit of the process refuses."""
    fault = resolved(whole_cluster()).model_copy(
        update={"path": f"{tmp_path}", "add_bytes": 200 * MIB}
    )
    (act,) = fault.acts(whole_cluster())
    room = 200 * MIB - 40 * MIB
    limited = ("prlimit", f"--fsize={room}", *act.argv)
    done = run(limited, tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "cutover-fill-f00d").stat().st_size == room


def test_a_file_that_cannot_be_reserved_is_said(tmp_path: Path) -> None:
    fault = resolved(whole_cluster()).model_copy(update={"path": f"{tmp_path}/gone"})
    (act,) = fault.acts(whole_cluster())
    assert run(act.argv, tmp_path).returncode == 1
