"""Services under their names, side effects registered once: the objects of real clusters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from harness.checks import CHECKS
from harness.core.model import Outcome, Verdict
from harness.settings.services import CalledService
from harness.tests.clean_case import case, clean
from harness.tests.clean_cluster import CLUSTER
from harness.tests.fake_transport import FakeKube
from harness.tests.probe_rig import PROFILE, observe, reach
from harness.transport import Completed

NAMES = "each service has its declared name and port"
ONCE = "each side effect is registered exactly once"
SPACE = "/api/v1/namespaces/saasodoo"
SLICES = "/apis/discovery.k8s.io/v1/namespaces/saasodoo/endpointslices"
WEBHOOK = "KillBill's webhook to billing-service"
HOOK = "http://billing-service:8004/api/billing/webhooks/killbill"


def judged(check: str, probe: str, change: Callable[[Any], object] = lambda _: None) -> Verdict:
    there = clean()
    change(there[probe][CLUSTER.name])
    return CHECKS[check](case(there))


# --- the checks ---


def test_services_under_their_names_pass_and_changed_ones_are_told() -> None:
    verdict = judged(NAMES, "services")
    assert verdict.outcome is Outcome.PASS
    assert verdict.reason == (
        "2 services have their names and ports; changed on purpose: postgres:5432"
    )


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            lambda it: it.update(pooler={"value": None}),
            "pooler:6432 (postgres:5432 under the Swarm): expected a Service, seen none",
        ),
        (
            lambda it: it["user-service"]["value"].update(ready={"80": 2, "443": 2}),
            "user-service:8001: expected TCP port 8001 of the Service, seen 80 and 443",
        ),
        (
            lambda it: it["user-service"]["value"].update(ready={"8001": 0}),
            "user-service:8001: expected a ready pod behind the Service, seen none",
        ),
    ],
)
def test_a_service_that_callers_do_not_reach_fails(
    change: Callable[[Any], object], says: str
) -> None:
    verdict = judged(NAMES, "services", change)
    assert (verdict.outcome, says in verdict.reason) == (Outcome.FAIL, True), verdict.reason


@pytest.mark.parametrize(
    "change",
    [
        lambda it: it.pop("pooler"),
        lambda it: it.update(pooler={"error": "the API did not answer"}),
        lambda it: it["pooler"]["value"].update(type="ExternalName", ready={}),
    ],
)
def test_a_service_that_was_not_seen_is_not_proven(change: Callable[[Any], object]) -> None:
    assert judged(NAMES, "services", change).outcome is Outcome.NOT_PROVEN


@given(st.lists(st.sampled_from(["http://billing-service", "http://other"]), max_size=4))
def test_only_one_entry_alone_passes(entries: list[str]) -> None:
    verdict = judged(
        ONCE, "registrations", lambda it: it.update({"the webhook": {"value": entries}})
    )
    right = entries == ["http://billing-service"]
    assert verdict.outcome is (Outcome.PASS if right else Outcome.FAIL)
    assert verdict.measured == {"misregistered_count": 0 if right else 1}


def test_a_webhook_registered_twice_and_one_not_at_all_are_told_apart() -> None:
    def entries(*those: str) -> Callable[[Any], object]:
        return lambda it: it.update({"the webhook": {"value": list(those)}})

    twice = judged(ONCE, "registrations", entries("a billing-service", "a billing-service"))
    never = judged(ONCE, "registrations", entries())
    assert "the webhook: expected one entry with 'billing-service', seen 2" in twice.reason
    assert "the webhook: expected one entry with 'billing-service', seen none" in never.reason


# --- the probes ---


def service(name: str, *ports: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": "saasodoo"},
        "spec": {"clusterIP": "10.43.7.1", "type": "ClusterIP", "ports": list(ports), **spec},
    }


def endpoints(port: int | None, *ready: bool | None, name: str = "") -> dict[str, Any]:
    """A slice as the API writes it: an unnamed port has no name or an empty one."""
    return {
        "ports": [{"name": name, "port": port, "protocol": "TCP"}],
        "endpoints": [
            {"addresses": [f"10.42.0.{n}"], "conditions": {} if it is None else {"ready": it}}
            for n, it in enumerate(ready)
        ],
    }


def seen(name: str, item: dict[str, Any] | None, *slices: dict[str, Any]) -> Any:
    objects: dict[str, Any] = {}
    for one in PROFILE.services.names if PROFILE.services else ():
        objects[f"{SLICES}?labelSelector=kubernetes.io%2Fservice-name%3D{one}"] = {
            "items": list(slices) if one == name else []
        }
    if item is not None:
        objects[f"{SPACE}/services/{name}"] = item
    return observe("services", reach(kube=FakeKube(objects)), "contabo")


def test_a_service_is_seen_with_the_ready_addresses_behind_each_port() -> None:
    item = service("user-service", {"name": "http", "port": 8001, "targetPort": "web"})
    value = seen("user-service", item, endpoints(8080, True, False, None, name="http"))
    assert value["user-service"] == {"value": {"type": "ClusterIP", "ready": {"8001": 2}}}
    assert value["postgres"] == {"value": None}


def test_callers_of_a_headless_service_use_the_ports_of_its_pods() -> None:
    """A StatefulSet's Service may name another port than its pods have."""
    item = service("redis", {"port": 6379, "targetPort": 26379}, clusterIP="None")
    value = seen("redis", item, endpoints(26379, True))
    assert value["redis"]["value"]["ready"] == {"26379": 1}


def test_a_udp_port_and_a_port_of_another_name_do_not_count() -> None:
    ports = ({"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "tcp", "port": 5000})
    value = seen("notification-service", service("x", *ports), endpoints(9, True, name="other"))
    assert value["notification-service"]["value"]["ready"] == {"5000": 0}


PODS = f"{SPACE}/pods?labelSelector=app%3Dkillbill-db"
READY = {"conditions": [{"type": "Ready", "status": "True"}], "podIP": "10.42.0.9"}


def registered(status: dict[str, Any], answer: Completed) -> Any:
    pod = {"metadata": {"name": "killbill-db-0"}, "status": status}
    kube = FakeKube({PODS: {"items": [pod]}}, in_pods={("killbill-db-0", "sh"): answer})
    return observe("registrations", reach(kube=kube), "contabo")[WEBHOOK]


def test_the_lines_of_the_command_are_the_entries() -> None:
    said = registered(READY, Completed(status=0, stdout=f"{HOOK}\n\n{HOOK}\n", stderr=""))
    assert said == {"value": [HOOK, HOOK]}


def test_a_command_that_fails_and_a_pod_that_is_not_ready_prove_nothing() -> None:
    denied = Completed(status=1, stdout="", stderr="ERROR 1045 (28000): Access denied")
    assert "status 1: ERROR 1045" in registered(READY, denied)["error"]
    assert "is ready" in registered({"phase": "Pending"}, denied)["error"]


@pytest.mark.parametrize("wrong", [{"now": "web:80"}, {"because": "it moved"}])
def test_a_changed_name_needs_a_reason_and_a_reason_a_changed_name(wrong: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match="because"):
        CalledService.model_validate({"port": 80, **wrong})
