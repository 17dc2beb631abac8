"""Seeded defects of W1-NODES: machines that are not the cluster members that they should be."""

from __future__ import annotations

import base64
import re

import pytest

from harness.lab import machines
from harness.settings import SCENARIOS
from harness.tests.lab import certificates
from harness.tests.lab.red import says
from harness.tests.lab.world import World


@pytest.mark.defect(
    "every declared machine is a ready node",
    "no node is under pressure",
)
def test_a_machine_without_power_is_found(world: World) -> None:
    world.power_off(world.two)
    try:
        world.lost(world.two)
        ruling = world.gate("W1-NODES", "W1-HOST")
        assert machines.init(world.lab, world.two) is None, "the gate healed what it had to judge"
        says(ruling, "W1-NODES", world.two.name, "Ready", "no MemoryPressure, seen Unknown")
        says(ruling, "W1-HOST", f"{world.one.name} → {world.two.name}", "none of", "not judged")
    finally:
        world.power_on(world.two)


@pytest.mark.defect("no node is unexpected")
def test_a_node_that_nobody_declared_is_found(world: World) -> None:
    three = world.three
    profile = (SCENARIOS / "clusters/lab.yaml").read_text()
    (line,) = re.findall(rf"^  - {{name: {three.name},.*\n", profile, flags=re.MULTILINE)
    changes = [(line, ""), (f", {three.name}: 2}}", "}"), (f", {three.name}]", "]")]
    ruling = world.gate("W1-NODES", cluster=world.profile_with(changes))
    says(ruling, "W1-NODES", three.name, "only declared machines")


@pytest.mark.defect("no node has an undeclared taint")
def test_a_cordoned_and_tainted_node_is_found(world: World) -> None:
    name = world.two.name
    world.kubectl("cordon", name)
    world.kubectl("taint", "node", name, "maintenance=now:NoSchedule")
    try:
        says(world.gate("W1-NODES"), "W1-NODES", name, "unschedulable", "maintenance")
    finally:
        world.kubectl("taint", "node", name, "maintenance-", check=False)
        world.kubectl("uncordon", name)


@pytest.mark.defect("every node has its declared address, role and version")
def test_a_wrong_address_in_the_profile_is_found(world: World) -> None:
    profile = world.profile_with([(f"address: {world.three.address},", "address: 10.0.0.33,")])
    ruling = world.gate("W1-NODES", cluster=profile)
    says(ruling, "W1-NODES", world.three.name, "10.0.0.33", world.three.address)


def test_an_api_under_another_authority_proves_nothing(world: World) -> None:
    original = world.lab.profile.access.kubeconfig
    text = original.read_text()
    other = world.scratch / "kubeconfig"
    replaced = base64.b64encode(certificates.authority("another authority")).decode()
    other.write_text(re.sub(r"(certificate-authority-data: ).*", rf"\g<1>{replaced}", text))
    other.chmod(0o600)
    place = "${state}/labs/lab/access/kubeconfig"
    ruling = world.gate("W1-NODES", cluster=world.profile_with([(place, str(other))]))
    says(ruling, "W1-NODES", "authority", outcome="not_proven")
