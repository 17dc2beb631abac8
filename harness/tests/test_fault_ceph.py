"""Which daemon of Ceph a fault hits, and how: as a unit on a machine, or as a pod of Rook's."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from harness.faults.kinds.ceph import FailMds, OsdOut, StopDaemon, StopMonitor, StopOsd
from harness.faults.kinds.kubernetes import StopContainerd
from harness.tests.fake_transport import FakeKube
from harness.tests.fault_examples import ANSWERS, CEPH, FSID, ID, READY, ROOK, whole_cluster
from harness.transport import Completed, Reach
from harness.transport.objects import listed

KUBECTL = (
    "/var/lib/rancher/rke2/bin/kubectl",
    "--kubeconfig=/etc/rancher/rke2/rke2.yaml",
)


def in_rook(kind: str, daemon: str, machine: str) -> Reach:
    """A cluster whose Ceph is Rook's, with one daemon on a machine, and its toolbox."""
    listed = {
        "metadata": {"labels": {"ceph_daemon_id": daemon}},
        "spec": {"nodeName": machine},
    }
    tools = {"metadata": {"name": "tools"}, "status": {**READY, "podIP": "10.42.0.9"}}
    space = "/api/v1/namespaces/rook-ceph/pods?labelSelector="
    return whole_cluster(
        {
            f"{space}app%3Drook-ceph-{kind}": {"items": [listed]},
            f"{space}app%3Drook-ceph-tools": {"items": [tools]},
        },
        in_pods={("tools", "ceph"): ANSWERS["*", "ceph"]},
        **ROOK,
    )


def saying(words: tuple[str, str], said: Any) -> Reach:
    """A whole cluster whose Ceph answers one question differently."""

    def ceph(argv: Any, _: str) -> Completed:
        told = {**CEPH, words: said}
        return Completed(status=0, stdout=json.dumps(told[argv[3], argv[4]]), stderr="")

    return whole_cluster(answers={("*", "ceph"): ceph})


def test_the_osd_of_a_machine_is_the_declared_one_or_the_one_that_ceph_has() -> None:
    fault = StopOsd(id=ID, machine="one").resolved(whole_cluster(), Random(1))
    assert fault.target == "osd.0 on one"
    assert [act.argv for act in fault.acts(whole_cluster())] == [
        ("systemctl", "stop", "ceph-osd@0")
    ]


def test_a_machine_without_an_osd_is_refused() -> None:
    whole = whole_cluster()
    for fault in (StopOsd(id=ID, machine="two"), OsdOut(id=ID, machine="two")):
        assert fault.resolved(whole, Random(1)).refuse(whole) == "two has no osd of Ceph"


def test_an_osd_that_is_out_is_down_to_nobody() -> None:
    out = {"nodes": [{"name": "osd.0", "type": "osd", "status": "up", "reweight": 0}]}
    reach = saying(("osd", "tree"), out)
    assert OsdOut(id=ID, machine="one", osd="0").active(reach)
    assert not StopOsd(id=ID, machine="one", daemon="0").active(reach)
    assert not StopOsd(id=ID, machine="one", daemon="0").healed(reach)


def test_a_unit_that_is_not_there_is_refused() -> None:
    gone = Completed(status=3, stdout="inactive", stderr="")
    without = whole_cluster(answers={("*", "systemctl"): gone})
    why = StopMonitor(id=ID, machine="one", daemon="one").refuse(without)
    assert why == "the unit ceph-mon@one is not active on one"


def monitors(**addresses: str) -> Any:
    """What Ceph says of monitors, all of which decide, by their names."""
    known = [
        {"name": name, "public_addrs": {"addrvec": [{"type": "v2", "addr": f"{at}:3300"}]}}
        for name, at in addresses.items()
    ]
    return {"quorum_names": [*addresses], "monmap": {"fsid": "f-1", "mons": known}}


@pytest.mark.parametrize(
    ("said", "daemon"),
    [
        (monitors(one="192.168.7.1", two="192.168.7.2"), "one"),
        (monitors(a="10.0.0.2", b="10.0.0.1"), "b"),
        (monitors(a="192.168.7.1", b="192.168.7.2"), ""),
        (monitors(two="10.0.0.1"), ""),
    ],
    ids=["its name", "its address", "neither", "a name before an address"],
)
def test_the_monitor_of_a_machine_is_known_by_its_name_or_else_its_address(
    said: Any, daemon: str
) -> None:
    reach = saying(("quorum_status", "--format"), said)
    assert StopMonitor(id=ID, machine="one").resolved(reach, Random(1)).daemon == daemon


def test_a_monitor_with_the_short_name_of_its_machine_is_stopped() -> None:
    machines = [
        {"name": "m1.example.org", "address": "10.0.0.1"},
        {"name": "m2.example.org", "address": "10.0.0.2"},
    ]
    said = Completed(status=0, stdout=json.dumps(monitors(m1="10.9.0.1", m2="10.9.0.2")), stderr="")
    reach = whole_cluster(machines=machines, disks=None, answers={("*", "ceph"): said})
    found = StopMonitor(id=ID, machine="m1.example.org").resolved(reach, Random(1))
    assert found.refuse(reach) is None
    assert [act.argv for act in found.acts(reach)] == [("systemctl", "stop", "ceph-mon@m1")]


def of_cephadm(*units: str) -> Reach:
    """A cluster whose daemons cephadm runs: these units are active."""

    def systemctl(argv: Any, _: str) -> Completed:
        return Completed(status=0 if argv[-1] in units else 3, stdout="", stderr="")

    return whole_cluster(answers={("*", "systemctl"): systemctl})


@pytest.mark.parametrize(
    ("fault", "unit"),
    [
        (StopOsd(id=ID, machine="one"), f"ceph-{FSID}@osd.0"),
        (StopMonitor(id=ID, machine="one"), f"ceph-{FSID}@mon.one"),
        (FailMds(id=ID, machine="one"), f"ceph-{FSID}@mds.one"),
    ],
    ids=lambda it: getattr(it, "name", ""),
)
def test_a_daemon_of_cephadm_is_stopped_by_its_own_unit_and_started_again(
    fault: StopDaemon, unit: str
) -> None:
    reach = of_cephadm(unit)
    found = fault.resolved(reach, Random(1))
    assert found.refuse(reach) is None
    assert [act.argv for act in found.acts(reach)] == [("systemctl", "stop", unit)]
    place, (again,) = found.undo(reach)
    assert (place, again[-1]) == ("one", unit)


@pytest.mark.parametrize(
    ("fault", "kind", "daemon", "deployment"),
    [
        (StopMonitor(id=ID, machine="one"), "mon", "b", "rook-ceph-mon-b"),
        (FailMds(id=ID, machine="two"), "mds", "one", "rook-ceph-mds-one"),
    ],
    ids=lambda it: getattr(it, "name", ""),
)
def test_in_rook_a_deployment_is_scaled_to_nothing_and_back_where_the_operator_leaves_it_alone(
    fault: StopDaemon, kind: str, daemon: str, deployment: str
) -> None:
    reach = in_rook(kind, daemon, "one")
    found = fault.resolved(reach, Random(1))
    scale = (*KUBECTL, "--namespace=rook-ceph", "scale", f"deployment/{deployment}")
    label = (*KUBECTL, "--namespace=rook-ceph", "label", f"deployment/{deployment}")
    assert found.refuse(reach) is None
    assert [(act.place, act.argv) for act in found.acts(reach)] == [
        ("two", (*label, "--overwrite", "ceph.rook.io/do-not-reconcile=true")),
        ("two", (*scale, "--replicas=0")),
    ]
    assert found.undo(reach) == (
        "two",
        [(*scale, "--replicas=1"), (*label, "ceph.rook.io/do-not-reconcile-")],
    )


@pytest.mark.parametrize(
    "more",
    [
        {"status": {"phase": "Failed", "reason": "Terminated"}},
        {"metadata": {"labels": {"ceph_daemon_id": "d", "mon_canary": "true"}}},
    ],
    ids=["ended by a shutdown of its machine", "a canary of the operator's"],
)
def test_in_rook_a_pod_that_runs_no_daemon_is_none(more: Mapping[str, Any]) -> None:
    reach = in_rook("mon", "b", "two")
    path = "/api/v1/namespaces/rook-ceph/pods?labelSelector=app%3Drook-ceph-mon"
    assert isinstance(reach.kube, FakeKube)
    other = {
        "metadata": {"labels": {"ceph_daemon_id": "a"}},
        "spec": {"nodeName": "two"},
        **more,
    }
    items = [other, *listed(reach.kube.objects[path], "items")]
    left = replace(reach, kube=FakeKube({**reach.kube.objects, path: {"items": items}}))
    assert StopMonitor(id=ID, machine="two").resolved(left, Random(1)).daemon == "b"


def test_in_rook_the_map_of_osds_is_changed_in_the_toolbox() -> None:
    (act,) = OsdOut(id=ID, machine="one", osd="4").acts(in_rook("osd", "4", "one"))
    assert act.place == "two"
    assert act.argv[:3] == ("env", "SPACE=rook-ceph", "LABEL=app=rook-ceph-tools")
    assert act.argv[5].endswith(" -- ceph --connect-timeout 8 osd out 4")
    assert act.argv[7:] == KUBECTL


@pytest.mark.parametrize(("lost", "asked"), [("a", "b"), ("b", "a"), ("", "a")])
def test_in_rook_the_toolbox_of_a_lost_machine_is_passed_over(
    tmp_path: Path, lost: str, asked: str
) -> None:
    """Until Kubernetes notices the loss, both pods are Running and ready."""
    kubectl = tmp_path / "kubectl"
    kubectl.write_text(
        '#!/bin/sh\ncase "$*" in\n'
        '*" get pods "*) printf "pod/a\\npod/b\\n" ;;\n'
        f'*"exec pod/{lost} "*) echo "error dialing backend: no route to host" >&2; exit 1 ;;\n'
        '*) echo "$*" ;;\nesac\n'
    )
    kubectl.chmod(0o755)
    (act,) = OsdOut(id=ID, machine="one", osd="4").acts(in_rook("osd", "4", "one"))
    argv = [*act.argv[:7], str(kubectl)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=20)
    assert done.stdout.splitlines()[-1:] == [
        f"--namespace rook-ceph exec pod/{asked} -- ceph --connect-timeout 8 osd out 4"
    ], done.stderr
    assert done.returncode == 0


def test_a_ceph_that_is_neither_here_nor_in_rook_is_refused() -> None:
    elsewhere = whole_cluster(ceph={"through": "toolbox"})
    why = StopOsd(id=ID, machine="one", daemon="0").refuse(elsewhere)
    assert "neither on the machines nor under Rook" in (why or "")


def test_the_metadata_server_that_serves_is_hit_wherever_it_runs() -> None:
    found = FailMds(id=ID, machine="two").resolved(whole_cluster(), Random(1))
    assert (found.daemon, found.machine, found.serves) == ("one", "one", ("cephfs", 0))


def test_without_one_that_could_take_over_no_metadata_server_is_killed() -> None:
    said = deepcopy(CEPH["mds", "stat"])
    said["fsmap"]["standbys"] = []
    why = FailMds(id=ID, machine="one", daemon="one").refuse(saying(("mds", "stat"), said))
    assert "no standby would take over" in (why or "")


def test_a_server_that_follows_the_active_one_is_a_standby_too() -> None:
    """Rook's ``activeStandby``: Ceph lists it in the file system, and not among the standbys."""
    said = deepcopy(CEPH["mds", "stat"])
    said["fsmap"]["standbys"] = []
    (system,) = said["fsmap"]["filesystems"]
    follows = {"name": "two", "rank": 0, "state": "up:standby-replay", "addr": "10.0.0.2:6801/7"}
    system["mdsmap"]["info"]["gid_2"] = follows
    fault = FailMds(id=ID, machine="one").resolved(saying(("mds", "stat"), said), Random(1))
    assert (fault.daemon, fault.refuse(saying(("mds", "stat"), said))) == ("one", None)
    system["mdsmap"]["info"]["gid_1"]["name"] = "two"
    follows["name"] = "one"
    assert fault.active(saying(("mds", "stat"), said))
    assert fault.healed(saying(("mds", "stat"), said))
    system["mdsmap"]["fs_name"] = "other"
    assert "no standby" in str(fault.refuse(saying(("mds", "stat"), said)))


def test_a_take_over_is_seen_when_another_serves_and_gone_when_the_killed_one_is_back() -> None:
    fault = FailMds(id=ID, machine="one").resolved(whole_cluster(), Random(1))
    said = deepcopy(CEPH["mds", "stat"])
    said["fsmap"]["standbys"] = []
    (info,) = said["fsmap"]["filesystems"][0]["mdsmap"]["info"].values()
    info["state"] = "up:replay"
    info["name"] = "two"
    assert not fault.active(saying(("mds", "stat"), said))
    info["state"] = "up:active"
    assert fault.active(saying(("mds", "stat"), said))
    assert not fault.healed(saying(("mds", "stat"), said))
    said["fsmap"]["standbys"] = [{"name": "one"}]
    assert fault.healed(saying(("mds", "stat"), said))


def test_containerd_that_the_node_service_does_not_need_is_not_stopped() -> None:
    assert StopContainerd(id=ID, machine="one").refuse(whole_cluster()) is None
    nothing = Completed(status=0, stdout="system.slice sysinit.target", stderr="")
    without = whole_cluster(answers={("*", "systemctl"): nothing})
    why = StopContainerd(id=ID, machine="one").refuse(without)
    assert "rke2-server of one runs containerd inside itself" in (why or "")
