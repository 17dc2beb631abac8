"""W1-API and W1-NODES over the objects of the API: odd, unavailable and stuck ones."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.checks import CHECKS
from harness.core.model import Outcome
from harness.tests.clean_case import case, clean
from harness.tests.clean_cluster import NAMES, NOW

AVAILABLE = "every API service is available"
GONE = "no namespace is stuck in its deletion"
DECLARED = "every node has its declared address, role and version"
REBOOT = "every machine is safe to reboot"


def test_an_api_service_without_a_server_is_named_with_its_reason() -> None:
    seen = clean()
    unwell = {"available": "False", "message": "endpoints have no addresses"}
    seen["api-objects"]["test"]["services"]["v1beta1.metrics.k8s.io"] = unwell
    verdict = CHECKS[AVAILABLE](case(seen))
    assert (verdict.outcome, verdict.where) == (Outcome.FAIL, ("v1beta1.metrics.k8s.io",))
    assert "endpoints have no addresses" in verdict.reason


def test_an_odd_api_service_is_not_proven_and_hides_no_other() -> None:
    seen = clean()
    services = seen["api-objects"]["test"]["services"]
    services["odd"] = {"error": "its object cannot be read"}
    assert CHECKS[AVAILABLE](case(seen)).outcome is Outcome.NOT_PROVEN
    services["v1.apps"] = {"available": "Unknown", "message": ""}
    verdict = CHECKS[AVAILABLE](case(seen))
    assert (verdict.outcome, verdict.where) == (Outcome.FAIL, ("v1.apps",))
    assert "odd" in verdict.reason


def _going(minutes: float, *, ours: bool = False) -> Any:
    return {"since": NOW - 60 * minutes, "ours": ours, "messages": ["a finalizer remains"]}


def test_namespaces_that_stay_in_their_deletion_are_named_the_harness_s_own_first() -> None:
    seen = clean()
    seen["api-objects"]["test"]["terminating"] = {
        "a-stranger": _going(90),
        "cutover-probe-1": _going(30, ours=True),
        "just-now": _going(9),
    }
    verdict = CHECKS[GONE](case(seen))
    assert (verdict.outcome, verdict.where) == (Outcome.FAIL, ("cutover-probe-1", "a-stranger"))
    assert "a finalizer remains" in verdict.reason
    assert verdict.measured == {"terminating_minutes": 90.0}


@given(st.floats(min_value=0, max_value=10_000))
def test_a_namespace_may_take_as_long_as_the_gate_says(minutes: float) -> None:
    seen = clean()
    seen["api-objects"]["test"]["terminating"] = {"going": _going(minutes)}
    # Seconds since the epoch are kept to a quarter of a microsecond.
    if abs(minutes - 10) > 1e-6:
        wanted = Outcome.PASS if minutes < 10 else Outcome.FAIL
        assert CHECKS[GONE](case(seen)).outcome is wanted


def test_a_dual_stack_node_passes_with_the_declared_address_among_its_own() -> None:
    seen = clean()
    nodes = seen["nodes"]["test"]
    for number, name in enumerate(NAMES, start=1):
        nodes[name]["addresses"] += [f"2001:db8::{number}"]
    assert CHECKS[DECLARED](case(seen)).outcome is Outcome.PASS
    nodes[NAMES[0]]["addresses"] += ["192.0.2.7"]
    verdict = CHECKS[DECLARED](case(seen))
    assert (verdict.outcome, verdict.where) == (Outcome.FAIL, (NAMES[0],))


def test_a_node_that_cannot_be_read_is_not_proven_and_not_missing() -> None:
    seen = clean()
    seen["nodes"]["test"][NAMES[0]] = {"error": "cannot be read"}
    for name in (DECLARED, "every declared machine is a ready node", "no node is under pressure"):
        verdict = CHECKS[name](case(seen))
        assert (verdict.outcome, verdict.where) == (Outcome.NOT_PROVEN, (NAMES[0],))
    assert CHECKS["no node is unexpected"](case(seen)).outcome is Outcome.NOT_PROVEN


def test_a_failed_unit_passes_only_where_it_is_declared_and_an_unused_tolerance_is_told() -> None:
    seen = clean()
    seen["host-facts"][NAMES[0]]["boot"]["value"]["failed_units"] = ["cloud-init.service"]
    whole = case(seen)
    assert CHECKS[REBOOT](whole).outcome is Outcome.FAIL
    tolerated = {"cloud-init.service": "runs once", "other.service": "not needed"}
    tolerant = replace(whole, cluster=replace(whole.cluster, tolerated_units=tolerated))
    verdict = CHECKS[REBOOT](tolerant)
    assert verdict.outcome is Outcome.PASS
    assert "cloud-init.service (runs once)" in verdict.reason
    assert "not failed anywhere: other.service" in verdict.reason


@pytest.mark.parametrize(("free", "outcome"), [(0, Outcome.FAIL), (1, Outcome.PASS)])
def test_a_pool_whose_last_address_is_taken_is_used_up(free: int, outcome: Outcome) -> None:
    seen = clean()
    taken = [f"10.0.0.{number}" for number in range(200, 220 - free)]
    seen["load-balancer"]["test"]["taken"] = [*taken, "198.51.100.4"]
    verdict = CHECKS["the load balancer's pool has addresses left"](case(seen))
    assert verdict.outcome is outcome
    assert verdict.measured == {"pool_left_count": free}


@pytest.mark.parametrize("keeper", ["systemd-timesyncd", "ntpsec", "openntpd", "ntpd-rs"])
def test_a_clock_that_another_program_keeps_is_not_proven_and_no_failure(keeper: str) -> None:
    seen = clean()
    items = seen["host-facts"][NAMES[0]]
    items["chrony"] = {"error": "chronyc is missing"}
    items["units"]["value"]["chrony.service"] = {"LoadState": "not-found"}
    items["units"]["value"][f"{keeper}.service"] = {"ActiveState": "active"}
    verdict = CHECKS["every clock follows its source"](case(seen))
    assert (verdict.outcome, verdict.where) == (Outcome.NOT_PROVEN, (NAMES[0],))
    assert f"{keeper}.service keeps this clock" in verdict.reason
    assert CHECKS[REBOOT](case(seen)).outcome is Outcome.PASS
    items["units"]["value"][f"{keeper}.service"] = {"ActiveState": "inactive"}
    assert CHECKS["every clock follows its source"](case(seen)).outcome is Outcome.FAIL


def test_every_target_is_measured_though_nothing_is_wrong() -> None:
    seen = clean()
    assert CHECKS[GONE](case(seen)).measured == {"terminating_minutes": 0.0}
    cilium = CHECKS["Cilium is healthy on every node"](case(seen))
    assert (cilium.outcome, cilium.measured) == (Outcome.PASS, {"controller_minutes": 0.0})
