"""Drills on the lab that must fail, each for its own reason."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from harness.checks import CHECKS
from harness.core.model import Case, Observation, Outcome, Verdict
from harness.drill.injection import Moment
from harness.drill.runner import run_drill
from harness.faults.kinds.ceph import StopOsd
from harness.lab import swarm
from harness.settings.drills import Drill, OwnLooks
from harness.tests.lab.breaking import Do, inside
from harness.tests.lab.drilling import context
from harness.tests.lab.world import World

REAL = "every fault was seen by somebody else, and seen to be gone"
NO_MORE = "no more broke than was meant to"
NOTICED = "others noticed it in time"
STEADY = "the steady state came back in time"
OTHERS = "what was not hit went on"
FEW_FAILED = "no more requests failed than may"
FAST_AGAIN = "requests were answered in time again"
OSD = "vmi2887103"
# The broken state stays, so a short wait is enough to see it.
NEVER = {"steady_again_s": 5, "whole_again_s": 5}
# An OSD that is stopped says so itself: without `nodown`, Ceph marks it down at once.
NOTICED_S = 8.0


@pytest.fixture
def do(world: World) -> Iterator[Do]:
    with inside(world) as do:
        yield do


def drill(
    fault: str, hold_s: float, targets: Mapping[str, float], load: str | None = None
) -> Drill:
    always = {"lost_count": 0, "outage_s": 60, "steady_again_s": 20, "whole_again_s": 20}
    numbers = {**always, **targets}
    return Drill.model_validate(
        {
            "schema": 1,
            "name": "a-defect",
            "title": "It must not pass",
            "effect": "None.",
            "where": "a-machine",
            "faults": [{"fault": fault, "after_s": 0, "hold_s": hold_s}],
            "ledger": ["objects"],
            "load": load,
            "targets": {key: {"at_most": it, "words": key} for key, it in numbers.items()},
        }
    )


def judged(world: World, value: Any, check: str) -> Verdict:
    look = Observation(probe="drills", target="a-defect", at=0.0, took_s=1.0, value=value)
    cluster = world.lab.profile.cluster()
    return CHECKS[check](Case(cluster=cluster, targets={}, observations=[look]))


@pytest.mark.defect(
    "every fault was seen by somebody else, and seen to be gone", "others noticed it in time"
)
def test_a_fault_that_ceph_is_told_not_to_notice_is_not_seen(
    world: World, do: Do, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `nodown` set during the fault, no monitor marks the stopped OSD down."""
    monkeypatch.setattr(StopOsd, "seen_within_s", NOTICED_S)
    what = drill("stop-osd", 5, {**NEVER, "noticed_by_ceph_s": NOTICED_S})
    when = {Moment.INJECTING: lambda: world.do(world.one, "ceph", "osd", "set", "nodown")}
    try:
        value = do(lambda reach: run_drill(what, context(reach, when=when), [OSD]))
    finally:
        world.do(world.one, "ceph", "osd", "unset", "nodown")
    real, noticed = judged(world, value, REAL), judged(world, value, NOTICED)
    assert (real.outcome, noticed.outcome) == (Outcome.NOT_PROVEN, Outcome.FAIL)
    assert "stop-osd" in real.reason
    assert "expected Ceph to notice within 8 s, and it never did" in noticed.reason
    steady = judged(world, value, STEADY)
    assert "nodown" in steady.reason or "OSDMAP_FLAGS" in steady.reason


@pytest.mark.long
@pytest.mark.defect("no more broke than was meant to", "the steady state came back in time")
def test_a_fault_is_taken_back_at_once_when_more_than_it_breaks(world: World, do: Do) -> None:
    """While a port is cut, two monitors stop and stay stopped: Ceph does not answer."""
    what = drill("cut-port", 120, NEVER)
    (planned,) = what.faults
    planned = planned.model_copy(update={"parameters": {"port": 10250}})
    what = what.model_copy(update={"faults": (planned,)})
    monitors = {node: f"ceph-mon@{node.name}" for node in (world.one, world.two)}

    def stop() -> None:
        for node, unit in monitors.items():
            world.do(node, "systemctl", "stop", unit)

    try:
        value: Any = do(
            lambda reach: run_drill(
                what, context(reach, when={Moment.HOLDING: stop}, silent_s=15), [world.three.name]
            )
        )
    finally:
        for node, unit in monitors.items():
            world.do(node, "systemctl", "start", unit)
    (fault,) = value["runs"][0]["faults"]
    assert "Ceph has not answered" in fault["aborted"]
    # Far less than the fault would hold: a loaded machine may need longer than the check allows.
    assert fault["abort_s"] <= 20
    assert fault["abort_s"] <= fault["abort_gone_s"]
    no_more, steady = judged(world, value, NO_MORE), judged(world, value, STEADY)
    assert no_more.outcome is Outcome.FAIL
    assert "Ceph has not answered" in no_more.reason
    assert ("at most 5 s" in no_more.reason) is (fault["abort_s"] > 5)
    assert steady.outcome is Outcome.FAIL
    assert "Ceph" in steady.reason


@pytest.mark.long
@pytest.mark.defect("no more broke than was meant to", "the steady state came back in time")
def test_a_second_monitor_that_stops_ends_the_fault_and_is_found(world: World, do: Do) -> None:
    what = drill("stop-monitor", 120, NEVER)
    unit = f"ceph-mon@{world.two.name}"
    when = {Moment.HOLDING: lambda: world.do(world.two, "systemctl", "stop", unit)}
    try:
        value = do(
            lambda reach: run_drill(
                what, context(reach, when=when, silent_s=15), [world.three.name]
            )
        )
    finally:
        world.do(world.two, "systemctl", "start", unit)
    no_more, steady = judged(world, value, NO_MORE), judged(world, value, STEADY)
    assert no_more.outcome is Outcome.FAIL
    assert "Ceph has not answered" in no_more.reason
    assert steady.outcome is Outcome.FAIL
    assert "quorum" in steady.reason


@pytest.mark.defect(
    "what was not hit went on",
    "no more requests failed than may",
    "requests were answered in time again",
)
def test_services_that_stop_while_a_machine_is_broken_are_found(world: World, do: Do) -> None:
    """Looks at the other machines find the old service; only the load finds the new site.

    The steady state looks at machines and storage. Once the monitor is stopped, the site's service
    selects no pod any more, and stays so.
    """
    service, check = "saasodoo_frontend-service", "Swarm services answer"
    looks = OwnLooks(probes=("swarm",), during=(check,), checks=(check,))
    targets = {"failed_percent": 1, "again_p99_ms": 1000}
    what = drill("stop-monitor", 20, targets, load="ingress").model_copy(update={"looks": looks})
    when = {
        Moment.INJECTING: lambda: scale(world, service, 0),
        Moment.HOLDING: lambda: lead_to(world, "nobody"),
    }
    try:
        value: Any = do(
            lambda reach: run_drill(
                what,
                context(reach, when=when, looks=looks.of_bystanders, visited=world.scratch),
                [world.three.name],
            )
        )
    finally:
        lead_to(world, "ingress")
        scale(world, service, 1)
    others, few, fast = (judged(world, value, it) for it in (OTHERS, FEW_FAILED, FAST_AGAIN))
    assert {others.outcome, few.outcome, fast.outcome} == {Outcome.FAIL}, (others, few, fast)
    assert service in others.reason
    assert "while it was broken (status 50" in few.reason
    assert "not answered at all" in fast.reason
    phases = value["runs"][0]["load"]["phases"]
    assert phases["before"]["failed"] == 0


def scale(world: World, service: str, replicas: int) -> None:
    """Scale a service of the Swarm to this number of tasks."""
    words = ("service", "scale", "--detach", f"{service}={replicas}")
    swarm.docker(world.lab, swarm.manager(world.lab), *words, log=world.log)


def lead_to(world: World, app: str) -> None:
    """Make the service of the lab's site select the pods with this label."""
    patch = f'{{"spec": {{"selector": {{"app": "{app}"}}}}}}'
    world.kubectl("--namespace=ingress", "patch", "service", "status", f"--patch={patch}")
