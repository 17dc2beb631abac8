"""Faults of machines and of Kubernetes, each once on the lab, except two.

A stopped node service and a machine without power are seen beside the defects of nodes.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from random import Random

import pytest

from harness.core.errors import InjectFailed
from harness.core.waiting import until
from harness.faults import observers
from harness.faults.commands import run_here
from harness.faults.fault import Fault
from harness.faults.fault_lifecycle import FaultLifecycle, FaultState
from harness.faults.kinds.kubernetes import Drain, StopContainerd, StopEtcd, StopStaticPod
from harness.faults.kinds.machine import HardReset, PowerOff, Reboot, SkewClock
from harness.faults.kinds.pods import KillContainer, KillIngress, KillPods, KillSpeaker
from harness.faults.kinds.slow_api import SlowApi
from harness.lab import machines
from harness.tests.lab import objects
from harness.tests.lab.breaking import Do, inside
from harness.tests.lab.lived import Record, active, all_active
from harness.tests.lab.world import World
from harness.transport import Reach

ONE, TWO, THREE = "vmi2887101", "vmi2887102", "vmi2887103"
DNS = {"namespace": "kube-system", "selector": "k8s-app=kube-dns"}
# Faults that touch different things wait together. What the API is told comes before a fault that
# ends one of its servers; and a kubelet tells nothing of a container while it is stopped.
TOGETHER: Mapping[str, Sequence[Fault]] = {
    "a container runtime, a scheduler and a member of etcd": (
        StopContainerd(id="0ff4", machine=THREE),
        StopStaticPod(id="0ff8", machine=TWO, part="kube-scheduler"),
        StopEtcd(id="0ff5", machine=ONE),
    ),
    "a name server, a pod of the ingress and an API server": (
        KillPods(id="0ff3", machine=ONE, **DNS),
        KillIngress(id="0ff2", machine=ONE),
        StopStaticPod(id="0ff7", machine=ONE, part="kube-apiserver"),
    ),
    "a drain": (Drain(id="0ff0", machine=TWO, even_all=True),),
    "a container": (
        KillContainer(id="0ff1", machine=ONE, namespace="ingress", selector="app=ingress"),
    ),
    "a controller manager": (
        StopStaticPod(id="0ff9", machine=THREE, part="kube-controller-manager"),
    ),
}
# Asked in the same way as the scheduler.
ALIKE = "a controller manager"
# The pod that is on its way out would take a minute.
AT_ONCE_S = 20.0


@pytest.fixture
def do(world: World) -> Iterator[Do]:
    with inside(world) as way:
        yield way


@pytest.mark.parametrize(
    "faults",
    [
        pytest.param(faults, id=name, marks=[pytest.mark.long] if name == ALIKE else [])
        for name, faults in TOGETHER.items()
    ],
)
def test_faults_are_seen_by_others_and_seen_gone(
    do: Do, faults: Sequence[Fault], record_property: Record
) -> None:
    with all_active(do, faults, record_property) as lives:
        assert {life.stage for life in lives} == {FaultState.ACTIVE}


def test_a_drain_that_is_not_over_is_taken_back_at_once(world: World, do: Do) -> None:
    """A pod that takes a minute to stop: the eviction ends, and no further pod is evicted."""
    slow = objects.pod("slow", TWO, "sh", "-c", "trap : TERM; while :; do sleep 1; done")
    slow["spec"]["terminationGracePeriodSeconds"] = 60
    fault = Drain(id="0ff0", machine=TWO)
    with objects.namespace(world, "test-drain") as space:
        space.apply(slow)
        space.ready("slow")
        lifecycle = do(lambda reach: FaultLifecycle(fault, reach, lambda _event: None))
        try:
            do(lambda _: lifecycle.arm())
            do(lambda _: lifecycle.inject())
            until(
                lambda: "deletionTimestamp" in space.get("pod", "slow")["metadata"],
                within_s=30,
                what="the pod is on its way out",
            )
            assert not do(fault.active)
        finally:
            took_s = do(lambda _: lifecycle.heal())
        do(lambda _: lifecycle.see_gone())
        assert took_s <= AT_ONCE_S
        assert not world.do(world.one, "pgrep", "-f", f"kubectl .*drain {TWO}", check=False)
        space.kubectl("delete", "pod", "slow", "--grace-period=0", "--force")


def test_a_drain_that_a_budget_stops_half_way_says_so(do: Do, world: World) -> None:
    held = objects.pod("held", TWO, labels={"app": "held"})
    fault = Drain(id="0ff0", machine=TWO, within_s=10)
    with objects.namespace(world, "test-drain-held") as space:
        space.apply(held, objects.budget("held", at_least=1))
        space.ready("held")
        lifecycle = do(lambda reach: FaultLifecycle(fault, reach, lambda _event: None))
        try:
            do(lambda _: lifecycle.arm())
            do(lambda _: lifecycle.inject())
            with pytest.raises(InjectFailed, match=r"(?s)held.*disruption budget"):
                do(lambda _: lifecycle.see())
        finally:
            do(lambda _: lifecycle.heal())
        do(lambda _: lifecycle.see_gone())


def test_only_the_account_that_was_meant_waits_for_the_api(
    world: World, do: Do, record_property: Record
) -> None:
    def asked_s(account: str) -> float:
        who = f"--as=system:serviceaccount:default:{account}"
        began = time.monotonic()
        # What would wait longer than a quarter of its limit is refused.
        world.kubectl("get", "--raw=/version", who, "--request-timeout=40s")
        return time.monotonic() - began

    fault = SlowApi(id="0ffa", machine=ONE, namespace="default", account="default", hold_s=1)
    with active(do, fault, record_property):
        # A computer that is busy for a moment delays either.
        until(
            lambda: asked_s("default") > asked_s("another") + 1.5,
            within_s=30,
            what="the API answers the account later than another one",
        )
        slow_s = asked_s("default")
    record_property("slow_s", round(slow_s, 1))
    until(
        lambda: asked_s("default") < slow_s - 1.5,
        within_s=30,
        what=f"the API answers the account sooner than after {slow_s:.1f} s again",
    )


def test_a_machine_that_is_rebooted_is_missed_and_has_its_power_back_by_itself(
    world: World, do: Do, record_property: Record
) -> None:
    before = machines.init(world.lab, world.three)
    assert before is not None
    with active(do, Reboot(id="0ffe", machine=THREE), record_property):
        pass
    assert machines.init(world.lab, world.three) not in (None, before)


@pytest.mark.long
def test_a_machine_whose_power_nobody_gives_back_has_it_when_the_lease_ends(
    do: Do, record_property: Record
) -> None:
    fault = PowerOff(id="0ffc", machine=TWO)
    with active(do, fault, record_property, lease_s=10, renewed=False):
        began = time.monotonic()
        until(
            lambda: do(lambda reach: observers.answers_peer(reach, TWO)),
            within_s=90,
            what=f"{TWO} answers",
        )
        record_property("back_s", round(time.monotonic() - began, 1))


def test_giving_power_to_a_machine_that_has_it_does_no_harm(do: Do) -> None:
    def on_since(reach: Reach) -> str:
        argv = ("systemctl", "show", "--property=UserspaceTimestampMonotonic")
        return reach.shell.run(TWO, argv).stdout

    def give(reach: Reach) -> tuple[str, str]:
        before = on_since(reach)
        _, (command,) = PowerOff(id="0ffd", machine=TWO).undo(reach)
        assert run_here(command, 60).status == 0
        return before, on_since(reach)

    before, after = do(give)
    assert before == after != ""


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (HardReset(id="0fff", machine=ONE), "is a container (systemd-nspawn)"),
        (SkewClock(id="0fff", machine=ONE, seconds=300), "its clock is the host's"),
        (KillSpeaker(id="0fff", machine=ONE), "lab has no load balancer"),
        (KillPods(id="0fff", machine=ONE, count=2, **DNS), "2 − 2 = 0, 1 needed: TOO FEW"),
    ],
    ids=lambda it: getattr(it, "name", ""),
)
def test_what_the_lab_cannot_host_or_afford_is_refused_with_the_reason(
    do: Do, fault: Fault, why: str
) -> None:
    said = do(lambda reach: fault.resolved(reach, Random(7)).refuse(reach))
    assert said is not None
    assert why in said
