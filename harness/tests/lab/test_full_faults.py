"""Faults in the full shape of the lab: those of MetalLB, and those of traffic through Cilium."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness.core.waiting import until
from harness.faults.fault import Fault
from harness.faults.kinds.network import CutOff, CutPort, LosePackets
from harness.faults.kinds.pods import KillSpeaker
from harness.lab.shape import Lab
from harness.tests.lab import objects
from harness.tests.lab.breaking import Do, inside
from harness.tests.lab.conftest import running
from harness.tests.lab.lived import Record, active, new_id
from harness.tests.lab.test_ingress import SERVE
from harness.tests.lab.world import World

pytestmark = pytest.mark.lab_full
ONE, THREE = "vmi2887101", "vmi2887103"


@pytest.fixture(scope="module")
def lab(pytestconfig: pytest.Config) -> Lab:
    return running("lab-full", pytestconfig)


@pytest.fixture
def do(world: World) -> Iterator[Do]:
    with inside(world) as way:
        yield way


@pytest.mark.parametrize(
    "fault",
    [
        KillSpeaker(id="0ffa", machine=ONE),
        LosePackets(id="0ffb", machine=THREE, percent=30),
        CutPort(id="0ffc", machine=THREE, port=10250),
    ],
    ids=lambda fault: fault.name,
)
def test_a_fault_is_seen_by_others_and_seen_gone(
    do: Do, record_property: Record, fault: Fault
) -> None:
    with active(do, fault, record_property):
        pass


def test_pods_of_a_machine_that_is_cut_off_are_reached_by_nobody_else(
    world: World, do: Do, record_property: Record
) -> None:
    with objects.namespace(world, "test-cut-off") as space:
        space.apply(objects.pod("far", world.three.name, *SERVE))
        space.ready("far")
        address = space.get("pod", "far")["status"]["podIP"]
        ask = ("curl", "--silent", "--max-time", "2", "--output", "/dev/null", f"{address}:8000")

        def answers() -> bool:
            told = ("sh", "-c", '"$@" && echo yes || true', "ask", *ask)
            return world.do(world.one, *told).strip() == "yes"

        until(answers, within_s=20, what="the pod answers another machine")
        with active(do, CutOff(id=new_id(), machine=world.three.name), record_property):
            assert not answers()
        until(answers, within_s=20, what="the pod answers again")
