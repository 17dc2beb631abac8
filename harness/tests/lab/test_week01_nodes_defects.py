"""Seeded defects of W1-NODES: machines that are not the cluster members that they should be."""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from random import Random

import pytest

from harness.core.waiting import until
from harness.faults.fault_lifecycle import FaultLifecycle
from harness.faults.kinds.kubernetes import StopRke2
from harness.faults.kinds.machine import PowerOff
from harness.lab import machines
from harness.settings import SCENARIOS
from harness.tests.lab import certificates
from harness.tests.lab.breaking import inside
from harness.tests.lab.lived import SEED, kept, new_id, nothing_left
from harness.tests.lab.power import boot_before_its_network, with_an_undo
from harness.tests.lab.red import says
from harness.tests.lab.world import WHOLE_AGAIN_S, World
from harness.transport import Reach


@pytest.mark.defect(
    "every declared machine is a ready node",
    "no node is under pressure",
    "the node service runs and starts at boot",
)
def test_a_machine_without_power_and_one_without_its_kubelet_are_found(world: World) -> None:
    """Kubernetes misses both after 50 s; the first comes back whole by itself, with its undo.

    A lost leader of the controller managers would be replaced before its machine is missed, and
    the active metadata server before CephFS answers again: the machine without power has neither.
    Both are lost by faults, which are seen active, and seen gone.
    """
    leader, served = elected(world), active_mds(world)
    one, two, three = sorted(
        world.lab.nodes, key=lambda node: (node.name != leader, node.name == served)
    )
    faults = (
        PowerOff(id=new_id(), machine=two.name),
        StopRke2(id=new_id(), machine=three.name),
    )

    def begun(reach: Reach) -> Sequence[FaultLifecycle]:
        known = [it.resolved(reach, Random(SEED)) for it in faults]
        return [FaultLifecycle(it, reach, lambda _event: None) for it in known]

    with inside(world) as do, ThreadPoolExecutor(1) as beside:
        with with_an_undo(world, two):
            off, stopped = do(begun)
            try:
                do(lambda _: off.arm())
                do(lambda _: stopped.arm())
                with kept(do, [off, stopped]):
                    do(lambda _: (off.inject(), stopped.inject()))
                    do(lambda _: (off.see(), stopped.see()))
                    world.lost(two)
                    ruling = world.gate("W1-NODES", "W1-HOST")
                down = machines.init(world.lab, two) is None
                assert down, "the gate healed what it had to judge"
            finally:
                booted = beside.submit(boot_before_its_network, world, two)
                began = time.monotonic()
                do(lambda _: (stopped.heal(), off.heal()))
                booted.result()
                world.whole(within_s=WHOLE_AGAIN_S - (time.monotonic() - began))
            do(lambda _: (off.see_gone(), stopped.see_gone()))
        until(lambda: nothing_left(do), within_s=60, what="every place can be asked what is left")
    says(ruling, "W1-NODES", two.name, three.name, "Ready", "no MemoryPressure, seen Unknown")
    says(ruling, "W1-HOST", f"{one.name} → {two.name}", "none of", "not judged")
    says(ruling, "W1-HOST", f"{three.name}: expected rke2-server")


def elected(world: World) -> str:
    """The machine whose controller manager leads."""
    lease = ("lease/kube-controller-manager", "--namespace=kube-system")
    holder = world.kubectl("get", *lease, "--output=jsonpath={.spec.holderIdentity}")
    return holder.partition("_")[0]


def active_mds(world: World) -> str:
    """The machine whose metadata server is active."""
    told = json.loads(world.do(world.one, "ceph", "status", "--format=json"))
    (rank,) = told["fsmap"]["by_rank"]
    return str(rank["name"])


@pytest.mark.defect(
    "no node is unexpected",
    "no node has an undeclared taint",
    "every node has its declared address, role and version",
)
def test_nodes_that_are_not_what_the_profile_says_are_found(world: World) -> None:
    """One that it does not declare, one at another address, one that takes no pods."""
    _, two, three = world.lab.nodes
    profile = (SCENARIOS / "clusters/lab.yaml").read_text()
    (line,) = re.findall(rf"^  - {{name: {three.name},.*\n", profile, flags=re.MULTILINE)
    cluster = world.profile_with(
        [
            (line, ""),
            (f", {three.name}: 2}}", "}"),
            (f"address: {two.address},", "address: 10.0.0.33,"),
        ]
    )
    world.kubectl("cordon", two.name)
    world.kubectl("taint", "node", two.name, "maintenance=now:NoSchedule")
    try:
        ruling = world.gate("W1-NODES", cluster=cluster)
    finally:
        world.kubectl("taint", "node", two.name, "maintenance-", check=False)
        world.kubectl("uncordon", two.name)
    says(ruling, "W1-NODES", f"{three.name}: expected only declared machines")
    says(ruling, "W1-NODES", two.name, "unschedulable", "maintenance")
    says(ruling, "W1-NODES", f"{two.name}: expected", "10.0.0.33", two.address)


def test_an_api_under_another_authority_and_another_host_key_prove_nothing(world: World) -> None:
    access = world.lab.profile.access
    other = world.scratch / "kubeconfig"
    replaced = base64.b64encode(certificates.authority("another authority")).decode()
    kubeconfig = access.kubeconfig.read_text()
    other.write_text(re.sub(r"(certificate-authority-data: ).*", rf"\g<1>{replaced}", kubeconfig))
    other.chmod(0o600)
    pinned = access.ssh.known_hosts.read_text()
    unknown = world.scratch / "known_hosts"
    unknown.write_text(pinned.replace(f"{world.one.address} ", "10.0.0.99 "))
    place = "${state}/labs/lab/access"
    cluster = world.profile_with(
        [(f"{place}/kubeconfig", str(other)), (f"{place}/known_hosts", str(unknown))]
    )
    ruling = world.gate("W1-NODES", "W1-HOST", cluster=cluster)
    says(ruling, "W1-NODES", "authority", outcome="not_proven")
    says(ruling, "W1-HOST", world.one.name, "host key", outcome="not_proven")
