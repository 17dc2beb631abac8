"""Ceph is asked where the profile says, and by everybody who asks it: machines, or the toolbox."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from harness.core.errors import TimedOut, TransportError, Unreachable
from harness.probes.claims import stored
from harness.settings.storage import Ceph
from harness.tests.fake_transport import FakeKube, FakeShell, ShellAnswer
from harness.tests.probe_rig import MACHINES, PROFILE, observe, reach
from harness.transport import Completed, Reach
from harness.transport.ceph import ask_ceph

ONE, TWO, THREE = MACHINES
PODS = "/api/v1/namespaces/rook-ceph/pods?labelSelector=app%3Drook-ceph-tools"
READY = {"podIP": "10.42.0.9", "conditions": [{"type": "Ready", "status": "True"}]}
IN_ROOK = PROFILE.model_copy(
    update={
        "ceph": Ceph(through="toolbox"),
        "disks": PROFILE.disks.model_copy(update={"state": "osd"}) if PROFILE.disks else None,
    }
)
SAID: dict[str, Any] = {
    "dump": {"fsid": "f-1", "osds": [{"osd": n, "uuid": f"u{n}"} for n in range(3)]},
    "metadata": [
        {"id": n, "hostname": name, "bluestore_bdev_partition_path": "/dev/sda2"}
        for n, name in enumerate(MACHINES)
    ],
    "bench": {"bytes_written": 12288000, "elapsed_sec": 1.5, "iops": 2000.0},
    "df": {"pools": [{"name": "cephfs_data", "stats": {"stored": 4096}}]},
}


def said(document: Any) -> Completed:
    return Completed(status=0, stdout=json.dumps(document), stderr="")


def ceph(argv: Sequence[str], _: str) -> Completed:
    told = [SAID[word] for word in argv if word in SAID]
    return said(told[0]) if told else Completed(status=0, stdout="", stderr="")


def in_rook(shell: FakeShell | None = None, answer: ShellAnswer = ceph) -> tuple[Reach, FakeKube]:
    """Machines that have no ``ceph``, and a toolbox that does."""
    missing = Completed(status=127, stdout="", stderr="ceph: command not found")
    pod = {"metadata": {"name": "tools-1"}, "status": READY}
    kube = FakeKube({PODS: {"items": [pod]}}, in_pods={("tools-1", "ceph"): answer})
    machines = shell or FakeShell({("*", "ceph"): missing})
    return reach(machines, kube, like=IN_ROOK), kube


def test_an_osd_of_rook_is_measured_through_the_toolbox() -> None:
    ways, kube = in_rook()
    seen = observe("disk-bench", ways, TWO)
    assert (seen["iops"], seen["ended"]) == (2000.0, True)
    asked = [what[2][3:5] for _, what in kube.calls if isinstance(what, tuple)]
    assert ("tell", "osd.1") in asked


def test_whose_a_disk_is_in_rook_is_asked_in_the_toolbox() -> None:
    looked = said({"partition": {}})
    ways, _ = in_rook(FakeShell({("*", "python3"): looked}))
    told = observe("osd-disks", ways, THREE)["ceph"]["value"]
    assert told["osds"]["2"]["machine"] == THREE


def test_what_claims_take_in_rook_is_asked_in_the_toolbox() -> None:
    assert stored(in_rook()[0]) == 4096


def test_the_bench_of_an_osd_in_rook_that_does_not_end_is_late_and_not_lost() -> None:
    def slow(argv: Sequence[str], stdin: str) -> Completed:
        if "bench" in argv:
            raise TimedOut("no answer within 150 s")
        return ceph(argv, stdin)

    seen = observe("disk-bench", in_rook(answer=slow)[0], TWO)
    assert not seen["ended"]


def test_through_the_machines_one_that_answers_is_enough() -> None:
    shell = FakeShell({(ONE, "ceph"): Unreachable("no route"), (TWO, "ceph"): ceph})
    assert ask_ceph(reach(shell), "df", read=object) == SAID["df"]
    assert [machine for machine, _ in shell.calls] == [ONE, TWO]


def test_the_machine_that_is_named_is_the_only_one_that_is_asked() -> None:
    shell = FakeShell({(ONE, "ceph"): ceph, (TWO, "ceph"): Unreachable("no route")})
    with pytest.raises(Unreachable, match="no route"):
        ask_ceph(reach(shell), "df", on=[TWO], read=object)


@pytest.mark.parametrize(
    ("done", "words"),
    [
        (Completed(status=1, stdout="", stderr="permission denied"), "df ended with 1: permission"),
        (Completed(status=0, stdout="{not JSON", stderr=""), "garbled"),
    ],
)
def test_an_answer_that_is_none_says_what_came_instead(done: Completed, words: str) -> None:
    with pytest.raises(TransportError, match=words):
        ask_ceph(reach(FakeShell({("*", "ceph"): done})), "df", read=object)


def test_a_word_before_the_document_is_passed_over_and_silence_is_nothing() -> None:
    wordy = Completed(status=0, stdout='osd.1: {"iops": 3}', stderr="")
    assert ask_ceph(reach(FakeShell({("*", "ceph"): wordy})), "tell", "osd.1", read=object) == {
        "iops": 3
    }
    silent = Completed(status=0, stdout="\n", stderr="")
    assert ask_ceph(reach(FakeShell({("*", "ceph"): silent})), "tell", "osd.1", read=object) is None


def two_toolboxes(on_one: ShellAnswer, on_two: ShellAnswer) -> tuple[Reach, FakeKube]:
    pods = [
        {"metadata": {"name": name}, "spec": {"nodeName": machine}, "status": READY}
        for name, machine in (("tools-1", ONE), ("tools-2", TWO))
    ]
    in_pods = {("tools-1", "ceph"): on_one, ("tools-2", "ceph"): on_two}
    kube = FakeKube({PODS: {"items": pods}}, in_pods=in_pods)
    return reach(FakeShell({}), kube, like=IN_ROOK), kube


def asked_in(kube: FakeKube) -> list[str]:
    return [what[1] for _, what in kube.calls if isinstance(what, tuple)]


def test_the_toolbox_beside_the_machine_to_ask_on_is_asked_first() -> None:
    ways, kube = two_toolboxes(ceph, ceph)
    assert ask_ceph(ways, "df", read=object, on=[TWO]) == SAID["df"]
    assert asked_in(kube) == ["tools-2"]


def test_a_toolbox_whose_machine_was_lost_is_not_the_only_one_to_be_asked() -> None:
    ways, kube = two_toolboxes(Unreachable("no route"), ceph)
    assert ask_ceph(ways, "df", read=object) == SAID["df"]
    assert asked_in(kube) == ["tools-1", "tools-2"]


@pytest.mark.parametrize(
    ("machines", "parts_s"), [([ONE], [20.0]), ([ONE, TWO], [10.0, 20.0]), ([], [6.7, 10.0, 20.0])]
)
def test_the_places_share_one_deadline_so_a_lost_one_leaves_the_others_their_part(
    machines: list[str], parts_s: list[float]
) -> None:
    """Every place fails at once here: a later one then has all of the time that is left."""
    given: list[float] = []

    class Lost(FakeShell):
        def run(self, machine: str, argv: Sequence[str], **how: Any) -> Completed:
            given.append(how["within_s"])
            raise TimedOut(f"{machine}: no answer")

    with pytest.raises(TimedOut):
        ask_ceph(reach(Lost({})), "df", on=machines, read=object, within_s=20.0)
    assert given == pytest.approx(parts_s, abs=0.5)
