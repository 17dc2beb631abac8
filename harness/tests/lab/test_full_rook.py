"""Rook's own Ceph in the full shape of the lab: faults of its daemons, and seconds until whole."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from harness.core.waiting import until
from harness.faults import ceph
from harness.faults.ceph import Status
from harness.faults.kinds.ceph import FailMds, OsdOut, StopMonitor, StopOsd
from harness.lab import kubernetes
from harness.lab.shape import Lab
from harness.tests.lab.breaking import Do, inside
from harness.tests.lab.conftest import running
from harness.tests.lab.lived import Record, all_active, leaving_nothing
from harness.tests.lab.red import beside
from harness.tests.lab.test_faults_ceph import serving
from harness.tests.lab.test_faults_pressure import slow_disk
from harness.tests.lab.world import World
from harness.transport import Reach

pytestmark = pytest.mark.lab_full
SPACE = "--namespace=rook-ceph"
TWO, THREE = "vmi2887102", "vmi2887103"
LABEL = "ceph.rook.io/do-not-reconcile"
# The operator looks at its monitors every 45 s.
OPERATOR_S = 100.0


@pytest.fixture(scope="module")
def lab(pytestconfig: pytest.Config) -> Lab:
    return running("lab-full", pytestconfig)


@pytest.fixture
def do(world: World) -> Iterator[Do]:
    with inside(world) as way:
        yield way


def left(reach: Reach) -> tuple[int, int, int]:
    """Monitors in quorum, monitors in their map, and OSDs that are up."""
    status = ceph.ask(reach, TWO, "status", read=Status)
    return len(status.quorum_names), status.monmap.num_mons, status.osdmap.num_up_osds


def deployments(world: World, app: str) -> dict[str, kubernetes.Item]:
    found = kubernetes.objects(
        world.lab, "deployments", SPACE, f"--selector=app={app}", log=world.log
    )
    return {it["metadata"]["name"]: it for it in found}


def test_a_monitor_and_an_osd_stay_away_from_the_operator_and_come_back(
    world: World, do: Do, record_property: Record
) -> None:
    before = {name: set(deployments(world, name)) for name in ("rook-ceph-mon", "rook-ceph-osd")}
    assert do(left) == (3, 3, 3)
    faults = (StopOsd(id="0fb0", machine=TWO), StopMonitor(id="0fb2", machine=TWO))
    with all_active(do, faults, record_property):
        until(lambda: do(left) == (2, 3, 2), within_s=60, what="Ceph misses both")
        began = time.monotonic()
        # The operator has looked at its monitors, and neither started one nor made a fourth.
        until(
            lambda: time.monotonic() - began > OPERATOR_S or do(left) != (2, 3, 2),
            within_s=OPERATOR_S + 60,
            every_s=5,
            what="the operator has looked",
        )
        assert do(left) == (2, 3, 2)
    until(lambda: do(left) == (3, 3, 3), within_s=60, what="Ceph has both back")
    for app, names in before.items():
        now = deployments(world, app)
        assert set(now) == names
        assert not [name for name, it in now.items() if LABEL in it["metadata"]["labels"]]


def test_another_metadata_server_takes_over_while_an_osd_is_out(
    do: Do, record_property: Record
) -> None:
    killed = do(serving)
    faults = (OsdOut(id="0fb1", machine=THREE), FailMds(id="0fb3", machine=TWO))
    with all_active(do, faults, record_property):
        assert do(serving) != killed


def test_the_disk_of_rooks_osd_is_slow_and_that_of_the_old_ceph_is_not(
    world: World, record_property: Record
) -> None:
    tell = "while :; do ceph --conf=/etc/ceph/rook.conf tell osd.2 bench 262144 4096; done"
    with (
        inside(world) as do,
        beside(world, world.one, "sh", "-c", tell),
        leaving_nothing(world, do, [slow_disk(world.three.name)], record_property),
    ):
        old = world.do(world.three, "systemctl", "show", "--property=MainPID", "ceph-osd@2")
        groups = world.do(world.three, "cat", f"/proc/{old.strip().partition('=')[2]}/cgroup")
        assert "cutover-" not in groups


@pytest.mark.parametrize(
    "selector",
    ["app=rook-ceph-operator", "app=rook-ceph-osd,ceph-osd-id=1", "app=rook-ceph-mon,mon=b"],
)
def test_a_pod_of_rooks_that_is_killed_is_replaced(
    world: World, record_property: Record, selector: str
) -> None:
    began = time.monotonic()
    world.kubectl("delete", "pod", SPACE, f"--selector={selector}", "--grace-period=0", "--force")
    until(lambda: world.trouble() == "", within_s=300, every_s=1, what="the lab is whole again")
    record_property("whole_again_s", round(time.monotonic() - began, 1))


def test_a_machine_that_was_off_is_back_in_rooks_ceph(
    world: World, do: Do, record_property: Record
) -> None:
    world.power_off(world.three)
    try:
        world.lost(world.three)
        until(lambda: do(left) == (2, 3, 2), within_s=120, what="Ceph misses its daemons")
    finally:
        began = time.monotonic()
        world.power_on(world.three)
    world.whole(within_s=300)
    record_property("whole_again_s", round(time.monotonic() - began, 1))
    assert do(left) == (3, 3, 3)
