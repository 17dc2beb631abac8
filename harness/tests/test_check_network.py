"""The pod network's checks: what is broken is named, and what merely follows from it is not."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.checks import CHECKS
from harness.core.model import Outcome, Verdict, merge
from harness.tests.clean_case import Seen, case, clean
from harness.tests.clean_cluster import NAMES, NOW

PAIRS = [f"{one} → {other}" for one, other in permutations(NAMES, 2)]
_OF_PODS = (
    "pods reach pods on every ordered pair of nodes",
    "full-sized packets pass between pods",
    "pods reach services",
    "names resolve in pods",
)


def _judge_all(seen: Seen) -> dict[str, Verdict]:
    return {check: CHECKS[check](case(seen)) for check in _OF_PODS}


def _cut(seen: Seen, one: str, other: str) -> None:
    """What a missing route from one to the other does: no exchange completes, either way."""
    pairs = seen["pod-network"]["test"]["pairs"]
    lost = {"error": "timed out", "took_s": 8.0}
    for kind in ("small", "large"):
        pairs[f"{one} → {other}"][kind]["received"] = 0
    for pair in (f"{one} → {other}", f"{other} → {one}"):
        pairs[pair] |= {"tcp": lost, "bulk": lost, "service": lost}


@given(st.sampled_from(list(permutations(NAMES, 2))), st.booleans())
def test_one_missing_route_names_exactly_one_ordered_pair(
    cut: tuple[str, str], dns_behind_it: bool
) -> None:
    seen = clean()
    _cut(seen, *cut)
    seen["pod-network"]["test"]["dns_on"] = [cut[1]]
    if dns_behind_it:
        names = seen["pod-network"]["test"]["names"][cut[0]]
        for answers in ("resolver", "nameserver"):
            names[answers] = {key: {"error": "timed out"} for key in names[answers]}
    verdicts = _judge_all(seen)
    pair = " → ".join(cut)
    assert merge(verdict.outcome for verdict in verdicts.values()) is Outcome.FAIL
    failed = {
        where
        for verdict in verdicts.values()
        if verdict.outcome is Outcome.FAIL
        for where in verdict.where
    }
    assert failed == {pair}
    assert pair in verdicts[_OF_PODS[0]].reason
    assert verdicts["full-sized packets pass between pods"].where == (pair,)
    assert verdicts["pods reach services"].outcome is Outcome.NOT_PROVEN
    if dns_behind_it:
        assert f"{pair} is closed" in verdicts["names resolve in pods"].reason


@given(st.sampled_from(PAIRS))
def test_tcp_that_fails_on_an_open_pair_is_held_against_it(pair: str) -> None:
    seen = clean()
    seen["pod-network"]["test"]["pairs"][pair]["tcp"] = {"error": "refused"}
    verdict = CHECKS[_OF_PODS[0]](case(seen))
    assert (verdict.outcome, verdict.where) == (Outcome.FAIL, (pair,))
    assert "refused" in verdict.reason


def test_a_slow_pair_fails_and_the_slowest_is_measured() -> None:
    seen = clean()
    seen["pod-network"]["test"]["pairs"][PAIRS[3]]["tcp"]["took_s"] = 6.0
    verdict = CHECKS[_OF_PODS[0]](case(seen))
    assert (verdict.outcome, verdict.where) == (Outcome.FAIL, (PAIRS[3],))
    assert verdict.measured == {"pair_s": 6.0}


@given(st.sampled_from(PAIRS))
def test_packets_that_are_too_large_for_the_way_are_named_by_direction(pair: str) -> None:
    seen = clean()
    found = seen["pod-network"]["test"]["pairs"][pair]
    found["large"] |= {"received": 0, "error": "Message too long"}
    found["bulk"] = {"error": "timed out"}
    verdict = CHECKS["full-sized packets pass between pods"](case(seen))
    assert (verdict.outcome, verdict.where) == (Outcome.FAIL, (pair,))
    assert "1450 bytes" in verdict.reason
    assert "Message too long" in verdict.reason
    assert CHECKS[_OF_PODS[0]](case(seen)).outcome is Outcome.PASS


@given(st.sampled_from(PAIRS))
def test_a_service_that_fails_on_an_open_pair_is_held_against_it(pair: str) -> None:
    seen = clean()
    seen["pod-network"]["test"]["pairs"][pair]["service"] = {"error": "refused"}
    verdict = CHECKS["pods reach services"](case(seen))
    assert (verdict.outcome, verdict.where) == (Outcome.FAIL, (pair,))


def test_a_name_server_that_fails_is_told_from_a_resolver_that_fails() -> None:
    seen = clean()
    names = seen["pod-network"]["test"]["names"]
    names[NAMES[0]]["nameserver"]["10.43.0.10"] = {"error": "timed out"}
    names[NAMES[1]]["resolver"]["short name"] = {"value": ["1.2.3.4"], "took_s": 0.1}
    verdict = CHECKS["names resolve in pods"](case(seen))
    assert verdict.where == NAMES[:2]
    assert f"{NAMES[0]}: expected the name server 10.43.0.10" in verdict.reason
    assert f"{NAMES[1]}: expected the short name to give 10.43.0.9" in verdict.reason


def test_a_pod_without_any_name_server_fails() -> None:
    seen = clean()
    seen["pod-network"]["test"]["names"][NAMES[2]]["nameserver"] = {}
    assert CHECKS["names resolve in pods"](case(seen)).where == (NAMES[2],)


def test_a_pod_that_never_stood_is_not_proven_for_its_pairs() -> None:
    seen = clean()
    error = {"error": f"{NAMES[2]}: its pod was not ready within 45 s: ImagePullBackOff"}
    pods = seen["pod-network"]["test"]
    for pair in PAIRS:
        if NAMES[2] in pair:
            pods["pairs"][pair] = error
    pods["names"][NAMES[2]] = error
    for verdict in _judge_all(seen).values():
        assert verdict.outcome is Outcome.NOT_PROVEN
        assert "ImagePullBackOff" in verdict.reason
        assert all(NAMES[2] in where for where in verdict.where)


def test_a_policy_that_lets_a_stranger_in_or_a_friend_out_fails() -> None:
    check = CHECKS["a network policy that denies really denies"]
    seen = clean()
    policy = seen["network-policy"]["test"]
    policy[NAMES[0]]["after"]["stranger"] = {"value": None, "took_s": 0.1}
    policy[NAMES[1]]["after"]["friend"] = {"error": "timed out"}
    verdict = check(case(seen))
    assert (verdict.outcome, verdict.where) == (Outcome.FAIL, NAMES[:2])


def test_a_policy_without_its_positive_control_is_not_proven() -> None:
    seen = clean()
    seen["network-policy"]["test"][NAMES[0]]["before"]["stranger"] = {"error": "timed out"}
    verdict = CHECKS["a network policy that denies really denies"](case(seen))
    assert (verdict.outcome, verdict.where) == (Outcome.NOT_PROVEN, (NAMES[0],))
    assert "without any policy" in verdict.reason


def test_cilium_agents_that_are_absent_unready_or_unwell_are_named() -> None:
    seen = clean()
    seen["cilium"][NAMES[0]] = {"pod": None, "ready": False}
    seen["cilium"][NAMES[1]] = {"pod": "cilium-y", "ready": False}
    warned = {"cilium": {"state": "Warning", "message": "1 controller fails"}}
    seen["cilium"][NAMES[2]]["parts"] = warned
    verdict = CHECKS["Cilium is healthy on every node"](case(seen))
    assert (verdict.outcome, verdict.where) == (Outcome.FAIL, NAMES)
    assert "no agent at all" in verdict.reason
    assert "1 controller fails" in verdict.reason
    seen = clean()
    controller = {
        "name": "bpf-map-sync-cilium_snat_v4_external",
        "failures": 412,
        "last_success": None,
        "message": "no such file or directory",
    }
    seen["cilium"][NAMES[1]]["controllers"] = [controller]
    seen["cilium"][NAMES[2]]["reachable"] = {"nodes": 2, "of": 3}
    verdict = CHECKS["Cilium is healthy on every node"](case(seen))
    assert (verdict.outcome, verdict.where) == (Outcome.FAIL, NAMES[1:])
    assert "bpf-map-sync-cilium_snat_v4_external" in verdict.reason
    assert "expected 3 nodes reachable, seen 2" in verdict.reason
    seen = clean()
    seen["cilium"][NAMES[0]]["parts"] = {}
    assert CHECKS["Cilium is healthy on every node"](case(seen)).outcome is Outcome.NOT_PROVEN


@pytest.mark.parametrize(
    ("failures", "last_success_minutes", "outcome"),
    [
        (9, 500, Outcome.PASS),
        (10, 9, Outcome.PASS),
        (10, 11, Outcome.FAIL),
        (400, 2, Outcome.PASS),
    ],
)
def test_a_controller_fails_the_check_only_after_many_failures_and_minutes(
    failures: int, last_success_minutes: float, outcome: Outcome
) -> None:
    seen = clean()
    moment = NOW - 60 * last_success_minutes
    controller = {"name": "sync", "failures": failures, "last_success": moment, "message": "no"}
    seen["cilium"][NAMES[0]]["controllers"] = [controller]
    assert CHECKS["Cilium is healthy on every node"](case(seen)).outcome is outcome


@pytest.mark.parametrize(
    ("failures", "outcome"),
    [(20, Outcome.PASS), (34, Outcome.PASS), (35, Outcome.FAIL), (412, Outcome.FAIL)],
)
def test_a_controller_that_never_succeeded_fails_the_check_after_ten_minutes_of_retries(
    failures: int, outcome: Outcome
) -> None:
    seen = clean()
    controller = {"name": "sync", "failures": failures, "last_success": None, "message": "no"}
    seen["cilium"][NAMES[0]]["controllers"] = [controller]
    verdict = CHECKS["Cilium is healthy on every node"](case(seen))
    assert verdict.outcome is outcome
    assert ("no success ever" in verdict.reason) == (outcome is Outcome.FAIL)


def test_cilium_that_does_not_say_whom_it_reaches_proves_nothing_unless_told_not_to_look() -> None:
    seen = clean()
    seen["cilium"][NAMES[0]]["reachable"] = None
    check = CHECKS["Cilium is healthy on every node"]
    assert check(case(seen)).outcome is Outcome.NOT_PROVEN
    seen["cilium"][NAMES[0]]["health"] = "Disabled"
    verdict = check(case(seen))
    assert verdict.outcome is Outcome.PASS
    assert f"disabled on {NAMES[0]}" in verdict.reason
    assert "reaches all nodes" not in verdict.reason


@pytest.mark.parametrize("known", [{"nodes": 0, "of": 0}, {"nodes": 1, "of": 1}])
def test_a_cilium_agent_that_knows_fewer_nodes_than_declared_fails(known: dict[str, int]) -> None:
    seen = clean()
    seen["cilium"][NAMES[0]]["reachable"] = known
    verdict = CHECKS["Cilium is healthy on every node"](case(seen))
    assert (verdict.outcome, verdict.where) == (Outcome.FAIL, (NAMES[0],))
    assert f"expected 3 nodes reachable, seen {known['nodes']}" in verdict.reason


ANY_SERVER = "a name server answers the pods of every machine"


def with_servers(**answers: object) -> Any:
    """Name servers on the first two machines, as the pods of every machine find them."""
    seen = clean()
    servers = {"10.42.0.9": {"on": NAMES[0]}, "10.42.1.9": {"on": NAMES[1]}}
    for (at, server), answer in zip(servers.items(), answers.values(), strict=True):
        servers[at] = {**server, **cast("dict[str, Any]", answer)}
    for found in seen["pod-network"]["test"]["names"].values():
        found["servers"] = servers
    return seen


WELL, SILENT = {"value": ["10.43.0.9"], "took_s": 0.1}, {"error": "timed out", "took_s": 8.0}


def test_one_name_server_that_answers_is_enough_and_none_is_not() -> None:
    verdict = CHECKS[ANY_SERVER](case(with_servers(first=SILENT, second=WELL)))
    assert verdict.outcome is Outcome.PASS
    verdict = CHECKS[ANY_SERVER](case(with_servers(first=SILENT, second=SILENT)))
    assert verdict.outcome is Outcome.FAIL
    assert verdict.where == NAMES
    assert "10.42.1.9: timed out" in verdict.reason


def test_a_name_server_of_the_machine_that_is_broken_does_not_count() -> None:
    made = case(with_servers(first=WELL, second=SILENT))
    without = replace(made, cluster=made.cluster.without(NAMES[0]))
    verdict = CHECKS[ANY_SERVER](without)
    assert verdict.outcome is Outcome.FAIL
    assert verdict.where == NAMES[1:]
    assert "timed out" in verdict.reason


def test_a_machine_whose_pod_nobody_could_ask_is_not_proven() -> None:
    seen = clean()
    seen["pod-network"]["test"]["names"][NAMES[2]] = {"error": "its pod was not ready"}
    verdict = CHECKS[ANY_SERVER](case(seen))
    assert (verdict.outcome, verdict.where) == (Outcome.NOT_PROVEN, (NAMES[2],))
