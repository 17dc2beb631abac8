"""What faults that use something up would do, by how much, and how others see it."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from harness.core.errors import InjectFailed
from harness.faults import agent_script
from harness.faults.kinds.disk_speed import DiskLimits, Process, SlowDisk
from harness.faults.kinds.resources import ExhaustCpu, ExhaustMemory, FillDisk
from harness.tests.fake_transport import FakeKube, FakeShell, ShellAnswer
from harness.tests.fault_examples import ANSWERS, ID, ROOK, has_ended, whole_cluster
from harness.tests.fault_examples_network import FILES, OSD_IS_IN
from harness.transport import Completed, Reach
from harness.transport.objects import part

STATS = "/api/v1/nodes/one/proxy/stats/summary"


def measuring(**changes: Any) -> Reach:
    """A whole cluster whose kubelet measures something else."""
    whole = whole_cluster()
    assert isinstance(whole.kube, FakeKube)
    node = {**part(whole.kube.objects[STATS], "node"), **changes}
    told = {path: {"node": node} for path in (STATS, f"{STATS}?only_cpu_and_memory=true")}
    return replace(whole, kube=FakeKube({**whole.kube.objects, **told}, read_only=True))


def answering(**answers: ShellAnswer) -> Reach:
    changed = {("*", word): answer for word, answer in answers.items()}
    return replace(whole_cluster(), shell=FakeShell({**ANSWERS, **changed}))


def test_memory_is_filled_by_what_it_lacks_and_the_unit_may_have_no_more() -> None:
    fault = ExhaustMemory(id=ID, machine="one", percent=85).resolved(whole_cluster(), Random(1))
    assert fault.before == 25
    assert fault.mib == round(0.6 * 8e9 / 2**20)  # of 8 GB, 2 are in use
    (act,) = fault.acts(whole_cluster())
    assert f"--property=MemoryMax={fault.mib + 128}M" in act.argv
    assert "--property=RuntimeMaxSec=1800" in act.argv
    assert f"{fault.mib}m" in act.argv


@pytest.mark.parametrize(("used", "active"), [(2, False), (3, False), (6, True), (7.5, True)])
def test_what_is_past_the_middle_is_due_to_the_fault(used: float, active: bool) -> None:
    fault = ExhaustMemory(id=ID, machine="one", percent=95, before=25)
    memory = {"workingSetBytes": int(used * 1e9), "availableBytes": int((8 - used) * 1e9)}
    reach = measuring(memory=memory)
    assert (fault.active(reach), fault.healed(reach)) == (active, not active)


def test_a_load_that_ended_by_itself_says_why_unless_it_was_seen() -> None:
    ended = whole_cluster(answers=has_ended("stress-ng: error: no room for 1 worker"))
    with pytest.raises(InjectFailed, match=r"on one ended early: .*no room for 1 worker"):
        ExhaustMemory(id=ID, machine="one", percent=95, before=25).active(ended)
    assert ExhaustMemory(id=ID, machine="one", percent=25, before=0).active(ended)


def test_what_is_nearly_exhausted_as_it_is_is_refused() -> None:
    reach = measuring(cpu={"usageNanoCores": 1_700_000_000})
    fault = ExhaustCpu(id=ID, machine="one", percent=90).resolved(reach, Random(1))
    assert "85 % of the processors of one are already in use" in str(fault.refuse(reach))


def test_a_machine_without_the_tool_is_refused() -> None:
    reach = answering(test=Completed(status=1, stdout="", stderr=""))
    fault = ExhaustCpu(id=ID, machine="one", percent=90)
    assert "has no /usr/bin/stress-ng" in str(fault.refuse(reach))


def test_a_disk_is_filled_at_the_top_of_the_file_system_that_the_profile_names() -> None:
    fault = FillDisk(id=ID, machine="one", percent=80).resolved(whole_cluster(), Random(1))
    assert fault.file == "/cutover-fill-f00d"
    assert fault.add_bytes == int(0.8 * 95) - 20
    assert fault.refuse(whole_cluster()) is None


def test_a_disk_that_the_kubelet_does_not_watch_is_refused() -> None:
    reach = measuring(fs={"capacityBytes": 7, "usedBytes": 1, "availableBytes": 6})
    fault = FillDisk(id=ID, machine="one", percent=80).resolved(reach, Random(1))
    assert "on no file system that the kubelet watches" in str(fault.refuse(reach))


def test_a_disk_of_which_the_profile_says_nothing_is_refused() -> None:
    whole = whole_cluster()
    reach = replace(whole, profile=whole.profile.model_copy(update={"fill_folder": None}))
    fault = FillDisk(id=ID, machine="one", percent=80).resolved(reach, Random(1))
    assert "fill_folder" in str(fault.refuse(reach))


# --- the speed of a disk ----------------------------------------------------------------------


def test_systemd_sets_the_limits_where_it_has_the_disks() -> None:
    fault = SlowDisk(id=ID, machine="one", kib_per_s=64).resolved(whole_cluster(), Random(1))
    (act,) = fault.acts(whole_cluster())
    assert act.argv[:4] == ("systemctl", "set-property", "--runtime", "ceph-osd@0.service")
    assert "IOWriteBandwidthMax=/dev/sda 65536" in act.argv


_POD = "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1f.slice"


@pytest.mark.parametrize(
    ("group", "unit"),
    [
        # Rook's container by RKE2's containerd; its pod has more containers than this one.
        (f"0::{_POD}/cri-containerd-5d0a.scope", "cri-containerd-5d0a.scope"),
        ("0::/system.slice/docker-77be.scope", "docker-77be.scope"),
        # cephadm with Podman: the container's processes are below the unit.
        (
            "0::/system.slice/system-ceph\\x2d6f1e.slice/ceph-6f1e@osd.0.service/libpod-payload-1",
            "ceph-6f1e@osd.0.service",
        ),
        (f"1:name=systemd:{_POD}/cri-containerd-5d0a.scope", "cri-containerd-5d0a.scope"),
    ],
    ids=["rook", "cephadm with docker", "cephadm with podman", "the old layout"],
)
def test_the_limits_are_set_on_the_unit_that_holds_the_osd(group: str, unit: str) -> None:
    files = {**FILES, "/proc/41/cgroup": f"{group}\n"}
    reach = answering(cat=lambda argv, _: Completed(status=0, stdout=files[argv[1]], stderr=""))
    fault = SlowDisk(id=ID, machine="one", kib_per_s=64).resolved(reach, Random(1))
    assert fault.limits is not None
    assert fault.limits.unit == unit
    assert agent_script.LIMITED.fullmatch(unit)


@pytest.mark.parametrize(
    ("command", "is_it"),
    [
        ("/usr/bin/ceph-osd -f --cluster ceph --id 1 --setuser ceph --setgroup ceph", True),
        ("ceph-osd --foreground --id 1 --fsid 6f1e --setuser ceph", True),
        ("/usr/bin/ceph-osd -n osd.1 -f --setuser ceph", True),
        ("/usr/bin/ceph-osd -f --cluster ceph --id 11 --setuser ceph", False),
        ("/usr/bin/docker run --entrypoint /usr/bin/ceph-osd ceph:v18 -n osd.1 -f", False),
        ("/sbin/docker-init -- /usr/bin/ceph-osd -n osd.1 -f", False),
    ],
)
def test_the_process_of_an_osd_is_told_from_those_that_name_it(command: str, is_it: bool) -> None:
    asked: list[str] = []

    def pgrep(argv: Sequence[str], _: str) -> Completed:
        asked.append(argv[-1])
        return Completed(status=1, stdout="", stderr="")

    SlowDisk(id=ID, machine="one", kib_per_s=64).resolved(answering(pgrep=pgrep), Random(1))
    assert asked[0].count("0") == 1  # the OSD of machine one
    assert bool(re.search(asked[0].replace("0", "1"), command)) is is_it


def test_an_osd_without_a_process_is_refused() -> None:
    reach = answering(pgrep=Completed(status=1, stdout="", stderr=""))
    fault = SlowDisk(id=ID, machine="one", kib_per_s=64).resolved(reach, Random(1))
    assert "cannot limit what osd.0 reads and writes" in str(fault.refuse(reach))


def test_a_group_of_our_own_sets_them_in_the_old_layout() -> None:
    groups = "9:name=systemd:/system.slice/x\n4:cpu,blkio:/osds\n0::/system.slice/x\n"
    reach = answering(
        cat=Completed(status=1, stdout="", stderr=""),
        stat=Completed(status=0, stdout="fd:1a\n", stderr=""),
    )
    limits = DiskLimits.of(reach, "one", ID, Process(id="77", groups=groups), "/dev/sda")
    assert limits is not None
    assert limits.group == "/sys/fs/cgroup/blkio/osds/cutover-f00d"
    assert limits.number == "253:26"
    assert limits.setting(4096)[-3:] == (limits.group, "253:26 4096", "77")


def rooks_osd(container: str) -> Reach:
    """Rook's osd.0 in a container, on a machine whose old Ceph has an osd.0 of its own."""
    groups = {"41": OSD_IS_IN, "42": f"0::{_POD}/cri-containerd-5d0a.scope\n"}
    files = {**FILES, **{f"/proc/{pid}/cgroup": it for pid, it in groups.items()}}
    pod = {
        "metadata": {"namespace": "rook-ceph", "name": "rook-ceph-osd-0-7d", "uid": "u1"},
        "spec": {"nodeName": "one", "containers": [{"name": "osd"}]},
        "status": {
            "containerStatuses": [
                {
                    "name": "osd",
                    "containerID": container,
                    "state": {"running": {"startedAt": "2026-11-29T17:00:00Z"}},
                }
            ]
        },
    }
    path = "/api/v1/namespaces/rook-ceph/pods?labelSelector=app%3Drook-ceph-osd%2Cceph-osd-id%3D0"
    return whole_cluster(
        {path: {"items": [pod]}},
        answers={
            ("*", "pgrep"): Completed(status=0, stdout="41\n42\n", stderr=""),
            ("*", "cat"): lambda argv, _: Completed(status=0, stdout=files[argv[1]], stderr=""),
        },
        **ROOK,
    )


def test_under_rook_the_osd_is_the_one_in_the_container_of_its_pod() -> None:
    reach = rooks_osd("containerd://5d0a")
    fault = SlowDisk(id=ID, machine="one", kib_per_s=64).resolved(reach, Random(1))
    assert fault.limits == DiskLimits(device="/dev/sda", unit="cri-containerd-5d0a.scope")


def test_an_old_cephs_osd_is_not_slowed_in_the_place_of_rooks() -> None:
    reach = rooks_osd("containerd://77be")
    fault = SlowDisk(id=ID, machine="one", kib_per_s=64).resolved(reach, Random(1))
    assert "cannot limit what osd.0 reads and writes" in str(fault.refuse(reach))


def test_a_machine_that_can_limit_nothing_is_refused() -> None:
    files = {"/proc/41/cgroup": OSD_IS_IN, **dict.fromkeys(FILES, "cpu memory pids\n")}
    reach = answering(cat=lambda argv, _: Completed(status=0, stdout=files[argv[1]], stderr=""))
    fault = SlowDisk(id=ID, machine="one", kib_per_s=64).resolved(reach, Random(1))
    assert "cannot limit what osd.0 reads and writes" in str(fault.refuse(reach))


def test_a_machine_without_an_osd_has_no_disk_to_slow() -> None:
    fault = SlowDisk(id=ID, machine="two", kib_per_s=64).resolved(whole_cluster(), Random(1))
    assert "the profile names no OSD of two" in str(fault.refuse(whole_cluster()))


# --- what is left without an undo -------------------------------------------------------------


QUEUES = (
    "qdisc noqueue 0: dev lo root refcnt 2\nqdisc tbf c0de: dev eth0 root refcnt 2 rate 1Mbit\n"
)


def test_a_queue_is_a_stray_unless_an_undo_removes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*argv: str) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(argv, 0, QUEUES if argv[0] == "tc" else "")

    monkeypatch.setattr(agent_script, "run", run)
    monkeypatch.setattr("shutil.which", lambda _: "/usr/sbin/it")
    undo = ["sh", "-c", 'tc qdisc del dev "$1" root handle c0de:', "undo"]
    removing = ["tc", "qdisc", "del", "dev", "eth0", "root", "handle", "c0de:"]
    for device, leftovers in (("eth0", []), ("eth1", [removing])):
        armed: list[agent_script.Armed] = [{"id": "f00d", "commands": [[*undo, device]]}]
        assert agent_script.stray_queues(armed) == leftovers


def test_a_file_that_fills_a_disk_is_a_stray_unless_its_undo_is_armed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"/dev/sda1 {tmp_path} ext4 rw 0 0\n/dev/rbd0 {tmp_path}/far ext4 rw 0 0\n")
    monkeypatch.setattr(agent_script, "MOUNTS", mounts)
    (tmp_path / "far").mkdir()
    for file in ("cutover-fill-f00d", "cutover-fill-dead", "far/cutover-fill-beef"):
        (tmp_path / file).touch()
    assert agent_script.stray_files({"f00d"}) == [
        ["rm", "--force", str(tmp_path / "cutover-fill-dead")]
    ]
