"""W1-EXPOSED: what may answer at a machine's outside addresses."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.checks import CHECKS
from harness.core.declared import Port
from harness.core.model import Outcome, Verdict
from harness.tests.clean_case import Seen, case, clean
from harness.tests.clean_cluster import NAMES

ONE = NAMES[0]
V4, V6 = "10.0.0.1", "2001:db8::1"


def judge(seen: Seen, **declared: Any) -> Verdict:
    made = case(seen)
    changed = replace(made, cluster=replace(made.cluster, **declared))
    return CHECKS["only declared ports answer"](changed)


def on(seen: Seen) -> Any:
    return seen["open-ports"][ONE]


def test_a_clean_machine_passes_and_the_reason_says_what_was_asked() -> None:
    verdict = judge(clean())
    assert verdict.outcome is Outcome.PASS
    assert "only 22, 6443 can be reached" in verdict.reason
    assert verdict.reason.endswith("asked over IPv4 and IPv6")


def test_a_journal_from_before_the_clusters_own_ports_is_judged_all_the_same() -> None:
    seen = clean()
    for machine in seen["open-ports"].values():
        del machine["cluster"]
        for item in machine["udp"].values():
            del item["value"]["of_cluster"]
    assert judge(seen).outcome is Outcome.PASS


def test_a_listener_on_ipv6_alone_is_named_with_its_port_and_program() -> None:
    seen = clean()
    on(seen)["tcp"][V6]["value"]["open"].append(4444)
    listens = {"protocol": "tcp", "address": "::", "port": 4444, "program": "socat"}
    on(seen)["machine"]["value"]["sockets"].append(listens)
    verdict = judge(seen)
    assert (verdict.outcome, verdict.where) == (Outcome.FAIL, (ONE,))
    assert f"at {V6} (IPv6), seen also TCP 4444 (socat)" in verdict.reason


def udp(seen: Seen, port: int, program: str, address: str = V4) -> None:
    on(seen)["udp"][address]["value"]["asked"][str(port)] = program


@pytest.mark.parametrize("how", ["answered", "passed", "forwarded"])
def test_a_udp_listener_that_is_reached_is_named(how: str) -> None:
    seen = clean()
    udp(seen, 7946, "dockerd")
    if how == "answered":
        on(seen)["udp"][V4]["value"]["answered"] = [7946]
    else:
        on(seen)["machine"]["value"][how] = [[V4, 7946]]
    verdict = judge(seen)
    assert verdict.outcome is Outcome.FAIL
    assert f"at {V4} (IPv4), seen also UDP 7946 (dockerd)" in verdict.reason


@pytest.mark.parametrize("how", ["refused", "arrived"])
def test_a_udp_listener_behind_the_firewall_is_closed(how: str) -> None:
    seen = clean()
    udp(seen, 7946, "dockerd")
    if how == "refused":
        on(seen)["udp"][V4]["value"]["refused"] = [7946]
    else:
        on(seen)["machine"]["value"]["arrived"].append([V4, 7946])
    assert judge(seen).outcome is Outcome.PASS


def test_datagrams_that_never_come_through_prove_nothing() -> None:
    seen = clean()
    on(seen)["machine"]["value"]["arrived"] = [[V6, 8472]]
    verdict = judge(seen)
    assert verdict.outcome is Outcome.NOT_PROVEN
    assert f"came through to {V4}, so UDP 8472 (VXLAN) may be open" in verdict.reason


SECOND = "203.0.113.7"


def with_a_second_ipv4_address() -> Seen:
    """A clean machine with two IPv4 addresses; no datagram to the second one came through."""
    seen = clean()
    for protocol in ("tcp", "udp"):
        on(seen)[protocol][SECOND] = deepcopy(on(seen)[protocol][V4])
    return seen


def test_datagrams_to_one_address_prove_nothing_about_another_one_of_the_same_family() -> None:
    seen = with_a_second_ipv4_address()
    verdict = judge(seen)
    assert (verdict.outcome, verdict.where) == (Outcome.NOT_PROVEN, (ONE,))
    assert f"came through to {SECOND}, so UDP 8472 (VXLAN) may be open" in verdict.reason
    assert f"came through to {V4}" not in verdict.reason
    on(seen)["machine"]["value"]["arrived"].append([SECOND, 8472])
    assert judge(seen).outcome is Outcome.PASS


@pytest.mark.parametrize("how", ["passed", "forwarded"])
def test_a_udp_port_is_open_only_at_the_address_at_which_it_was_reached(how: str) -> None:
    seen = with_a_second_ipv4_address()
    on(seen)["machine"]["value"][how] = [[SECOND, 8472]]
    verdict = judge(seen)
    assert verdict.outcome is Outcome.FAIL
    assert f"at {SECOND} (IPv4), seen also UDP 8472" in verdict.reason
    assert f"at {V4}" not in verdict.reason


def of_cluster(kube_proxy: bool = True) -> Seen:
    """A Traefik with HTTP/3, whose pod has UDP 443 of the machine, and a DNS with a node port."""
    seen = clean()
    udp = {"443": "pod kube-system/rke2-traefik-x7k2p", "30053": "Service shop/dns"}
    on(seen)["udp"][V4]["value"]["of_cluster"] = udp
    on(seen)["machine"]["value"]["arrived"] += [[V4, 443], [V4, 30053]]
    if kube_proxy:
        listens = {"protocol": "tcp", "address": "127.0.0.1", "port": 10249}
        on(seen)["machine"]["value"]["sockets"].append({**listens, "program": "kube-proxy"})
    return seen


@pytest.mark.parametrize("how", ["answered", "forwarded"])
def test_a_udp_port_of_the_cluster_that_is_reached_is_named_with_whose_it_is(how: str) -> None:
    for kube_proxy in (True, False):
        seen = of_cluster(kube_proxy)
        if how == "answered":
            on(seen)["udp"][V4]["value"]["answered"] = [443]
        else:
            on(seen)["machine"]["value"]["forwarded"] = [[V4, 443]]
        verdict = judge(seen)
        assert verdict.outcome is Outcome.FAIL
        assert "seen also UDP 443 (pod kube-system/rke2-traefik-x7k2p)" in verdict.reason


def test_a_udp_port_of_the_cluster_is_closed_by_the_firewall_where_kube_proxy_runs() -> None:
    assert judge(of_cluster()).outcome is Outcome.PASS


def test_a_udp_port_of_the_cluster_that_ebpf_may_take_unseen_is_not_proven() -> None:
    seen = of_cluster(kube_proxy=False)
    verdict = judge(seen)
    assert verdict.outcome is Outcome.NOT_PROVEN
    assert f"nothing shows that the firewall of {V4} keeps datagrams from" in verdict.reason
    assert "UDP 30053 (Service shop/dns)" in verdict.reason
    declared = (Port(22, "tcp", 4), Port(6443, "tcp", 4), Port(22, "tcp", 6), Port(6443, "tcp", 6))
    both = (*declared, Port(443, "udp", 4), Port(30053, "udp", 4))
    assert judge(seen, exposed_ports=both).outcome is Outcome.PASS
    on(seen)["udp"][V4]["value"]["refused"] = [443]
    on(seen)["machine"]["value"]["passed"] = [[V4, 30053]]
    assert judge(seen).outcome is Outcome.PASS


def test_a_cluster_that_does_not_say_which_udp_ports_it_takes_is_not_proven() -> None:
    for says, words in (
        ({"error": "the API is away"}, "Services and pods take there: the API is away"),
        ({"value": {"Service shop/dns": "not understood"}}, "UDP ports Service shop/dns takes"),
    ):
        seen = clean()
        on(seen)["cluster"] = says
        verdict = judge(seen)
        assert (verdict.outcome, words in verdict.reason) == (Outcome.NOT_PROVEN, True)


def test_a_port_is_declared_for_one_protocol_and_one_family() -> None:
    seen = clean()
    for address in (V4, V6):
        udp(seen, 51820, "the kernel", address)
        on(seen)["machine"]["value"]["passed"].append([address, 51820])
    ssh = (Port(22, "tcp", 4), Port(22, "tcp", 6), Port(6443, "tcp", 4), Port(6443, "tcp", 6))
    declared = (*ssh, Port(51820, "udp", 4))
    verdict = judge(seen, exposed_ports=declared)
    assert f"at {V6} (IPv6), seen also UDP 51820 (the kernel)" in verdict.reason
    assert V4 not in verdict.reason
    assert judge(seen, exposed_ports=(*declared, Port(51820, "udp", 6))).outcome is Outcome.PASS


def test_a_public_address_that_is_not_declared_was_not_asked() -> None:
    seen = clean()
    on(seen)["machine"]["value"]["addresses"] += ["fd00::1", "2a02:c207:2051::1"]
    verdict = judge(seen)
    assert verdict.outcome is Outcome.NOT_PROVEN
    assert "2a02:c207:2051::1 was not asked: declare it" in verdict.reason


def test_a_machine_that_does_not_say_what_listens_is_not_proven() -> None:
    seen = clean()
    on(seen)["machine"] = {"error": "no ss"}
    on(seen)["udp"] = {it: {"error": "no ss"} for it in (V4, V6)}
    verdict = judge(seen)
    assert (verdict.outcome, "what listens there: no ss" in verdict.reason) == (
        Outcome.NOT_PROVEN,
        True,
    )


@pytest.mark.parametrize("address", [V4, V6])
def test_an_address_at_which_no_declared_port_answers_was_not_seen(address: str) -> None:
    seen = clean()
    on(seen)["tcp"][address]["value"]["open"] = []
    verdict = judge(seen)
    assert (verdict.outcome, verdict.where) == (Outcome.NOT_PROVEN, (ONE,))


def test_a_profile_that_declares_no_port_proves_nothing() -> None:
    assert judge(clean(), exposed_ports=()).outcome is Outcome.FAIL
    closed = clean()
    for machine in closed["open-ports"].values():
        for item in machine["tcp"].values():
            item["value"]["open"] = []
    assert judge(closed, exposed_ports=()).outcome is Outcome.NOT_PROVEN


@given(st.sets(st.integers(1, 65535), max_size=5), st.sampled_from([V4, V6]))
def test_no_open_port_that_is_not_declared_passes(ports: set[int], address: str) -> None:
    seen = clean()
    on(seen)["tcp"][address]["value"]["open"] = sorted({22, 6443} | ports)
    assert (judge(seen).outcome is Outcome.PASS) == (ports <= {22, 6443})
