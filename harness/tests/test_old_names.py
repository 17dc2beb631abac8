"""Names and Services that lead to the old platform: what real clusters answer, and its verdict."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.checks import CHECKS
from harness.core.declared import Cluster
from harness.core.errors import NotProven
from harness.core.model import Outcome, Verdict
from harness.probes import PROBES
from harness.probes.scripts import names_script, pod_script
from harness.tests.clean_case import case, clean
from harness.tests.clean_cluster import CLUSTER, NAMES
from harness.tests.fake_transport import FakeKube, FakeShell
from harness.tests.probe_rig import MACHINES, PROFILE, observe, reach
from harness.transport import Completed

LEAD = "no name of the old platform leads to it"
ROUTE = "no Service leads to the old platform"
APP = "app.saasodoo.example"
ONE = NAMES[0]
OLD, NEW = "10.0.0.2", "10.0.0.200"


def real(cluster: Cluster) -> Cluster:
    """As on the real platform: the ingress has an address of its own, and plain HTTP."""
    assert cluster.ingress is not None
    ingress = replace(cluster.ingress, addresses=(NEW,), scheme="http", port=80)
    return replace(cluster, ingress=ingress)


def name(*addresses: str, **known: Any) -> dict[str, Any]:
    there = {"value": list(addresses)}
    return {"machine": there, "hosts": [], "cluster": there, "answers": [], **known}


def judged(check: str, change: Callable[[Any], object]) -> Verdict:
    """The verdict on the real platform, where this changes what was seen first."""
    seen = clean()
    for one in (*seen["old-names"].values(), *seen["old-routes"].values()):
        one["old"] = ["10.0.0.1", OLD, "10.0.0.3"]
    for one in seen["old-names"].values():
        one["names"] = {APP: name(NEW, answers=[f"{NEW}:80"])}
    seen["old-routes"][CLUSTER.name]["ports"] = [80]
    probe, target = ("old-names", ONE) if check == LEAD else ("old-routes", CLUSTER.name)
    change(seen[probe][target])
    there = case(seen)
    return CHECKS[check](replace(there, cluster=real(there.cluster)))


def leads(*addresses: str, **known: Any) -> Callable[[Any], object]:
    return lambda it: it["names"].update({APP: name(*addresses, **known)})


@pytest.mark.parametrize("change", [leads(NEW), leads(NEW, answers=[f"{NEW}:80"]), leads()])
def test_a_name_that_leads_to_the_new_platform_or_nowhere_passes(
    change: Callable[[Any], object],
) -> None:
    verdict = judged(LEAD, change)
    assert (verdict.outcome, verdict.measured) == (Outcome.PASS, {"remains_count": 0})


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (leads(OLD), f"{APP} on {ONE}: expected the ingress's address or none, seen {OLD} by the"),
        (leads(NEW, hosts=[OLD]), f"seen {OLD} by /etc/hosts"),
        (leads(NEW, cluster={"value": [OLD]}), f"seen {OLD} by the cluster's DNS"),
        (leads("127.0.0.1"), "seen 127.0.0.1 by the resolver and the cluster's DNS"),
        (leads("::1"), "seen ::1 by"),
        (leads(NEW, answers=[f"{OLD}:80"]), f"no answer of the old platform, seen one at {OLD}:80"),
    ],
)
def test_a_name_that_leads_to_the_old_platform_fails(
    change: Callable[[Any], object], says: str
) -> None:
    verdict = judged(LEAD, change)
    assert (verdict.outcome, says in verdict.reason) == (Outcome.FAIL, True), verdict.reason
    assert verdict.measured == {"remains_count": 1}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (leads("192.0.2.9"), "seen 192.0.2.9 by the resolver and the cluster's DNS: no address of"),
        (leads(NEW, machine={"error": "try again"}), "the machine's resolver did not answer: try"),
        (leads(NEW, cluster={"error": "timed out"}), "the cluster's DNS did not answer: timed out"),
        (lambda it: it["names"].clear(), "it declares no host of the old platform"),
    ],
)
def test_a_name_that_was_not_followed_is_not_proven(
    change: Callable[[Any], object], says: str
) -> None:
    verdict = judged(LEAD, change)
    assert (verdict.outcome, says in verdict.reason) == (Outcome.NOT_PROVEN, True), verdict.reason


def test_on_machines_of_both_platforms_the_port_tells_them_apart() -> None:
    """The ingress of HTTPS answers on the machines themselves, the old platform at another port."""
    seen = clean()
    assert CHECKS[LEAD](case(seen)).outcome is Outcome.PASS
    address = CLUSTER.machines[0].address
    app = seen["old-names"][ONE]["names"][APP]
    app["answers"] = [f"{address}:80", f"{address}:443"]
    assert CHECKS[LEAD](case(seen)).outcome is Outcome.PASS
    app["answers"].append(f"{address}:8080")
    verdict = CHECKS[LEAD](case(seen))
    assert verdict.outcome is Outcome.FAIL
    assert f"seen one at {address}:8080" in verdict.reason


def alias(*addresses: str, **known: Any) -> Callable[[Any], object]:
    old = {"name": "vmi2887102.internal", "seen": name(*addresses, **known)}
    return lambda it: it["aliases"].update({"saasodoo/redis": old})


def endpoints(*places: str) -> Callable[[Any], object]:
    return lambda it: it["endpoints"].update({"saasodoo/killbill": list(places)})


@pytest.mark.parametrize(
    "change",
    [
        endpoints("10.0.0.1:6443", "192.0.2.7:80"),  # another port, another machine
        endpoints("legacy.provider.example:80"),  # a slice of host names
        alias("198.51.100.25"),
        alias(),
    ],
)
def test_a_service_that_leads_elsewhere_passes(change: Callable[[Any], object]) -> None:
    assert judged(ROUTE, change).outcome is Outcome.PASS


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (endpoints(f"{OLD}:80"), "saasodoo/killbill: expected no endpoint at a published port"),
        (alias(OLD), "saasodoo/redis → vmi2887102.internal: expected the ingress's address or"),
        (alias(hosts=[OLD]), f"seen {OLD} by /etc/hosts"),
    ],
)
def test_a_service_that_leads_to_the_old_platform_fails(
    change: Callable[[Any], object], says: str
) -> None:
    verdict = judged(ROUTE, change)
    assert (verdict.outcome, says in verdict.reason) == (Outcome.FAIL, True), verdict.reason


def test_an_alias_that_was_not_resolved_is_not_proven() -> None:
    verdict = judged(ROUTE, alias(machine={"error": "try again"}))
    assert verdict.outcome is Outcome.NOT_PROVEN


# --- the probes ---

DNS = "/api/v1/namespaces/kube-system/services?labelSelector=k8s-app%3Dkube-dns"
RKE2_DNS = {"items": [{"spec": {"clusterIP": "10.43.0.10"}}]}


def printed(*names: str) -> Completed:
    """What the script prints when each of these names leads to the new platform."""
    found = {it: name(NEW) for it in names}
    return Completed(status=0, stdout=json.dumps(found) + "\n", stderr="")


def test_every_declared_host_is_asked_for_on_each_machine() -> None:
    assert PROFILE.swarm is not None
    hosts = PROFILE.swarm.known_hosts
    assert {"api.saasodoo.example", "registry.saasodoo.example", "demo.saasodoo.example"} < set(
        hosts
    )
    shell = FakeShell({("*", "python3"): printed(*hosts)})
    ways = reach(shell, FakeKube({DNS: RKE2_DNS}))
    assert list(PROBES["old-names"].targets(ways)) == list(MACHINES)
    seen = observe("old-names", ways, MACHINES[0])
    assert seen["old"] == ["10.0.0.1", "10.0.0.2", "10.0.0.3"]
    assert set(seen["names"]) == set(hosts)
    ((machine, command),) = shell.calls
    assert machine == MACHINES[0]
    assert json.loads(command[-3]) == list(hosts)
    assert command[-2:] == ("10.43.0.10", "[80]")


def test_without_a_declaration_of_the_old_platform_nothing_is_proven() -> None:
    like = PROFILE.model_copy(update={"swarm": None})
    with pytest.raises(NotProven, match="does not say what the old platform was"):
        PROBES["old-names"].observe(reach(like=like), MACHINES[0])


def test_a_cluster_without_its_dns_is_not_proven() -> None:
    with pytest.raises(NotProven, match="k8s-app=kube-dns"):
        PROBES["old-names"].observe(reach(kube=FakeKube({DNS: {"items": []}})), MACHINES[0])


def described(space: str, called: str, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"namespace": space, "name": called}, "spec": spec}


def test_services_without_pods_are_read_from_their_objects() -> None:
    services = [
        described("saasodoo", "redis", type="ExternalName", externalName="old.example"),
        described("saasodoo", "user-service", type="ClusterIP", clusterIP="10.43.7.7"),
    ]
    by_hand = {
        "metadata": {
            "namespace": "saasodoo",
            "name": "killbill-x7k2p",
            "labels": {"kubernetes.io/service-name": "killbill"},
        },
        "endpoints": [{"addresses": [OLD]}],
        "ports": [{"name": "", "port": 80, "protocol": "TCP"}],
    }
    of_pods = {
        "metadata": {"namespace": "saasodoo", "name": "user-service-abcde"},
        "endpoints": [{"addresses": ["10.42.1.5"], "targetRef": {"kind": "Pod"}}],
        "ports": [{"port": 8001}],
    }
    of_node = {
        "metadata": {"namespace": "kube-system", "name": "kubelet"},
        "endpoints": [{"addresses": ["fd00::1"], "targetRef": {"kind": "Node"}}],
        "ports": [{"port": 10250}],
    }
    kube = {
        "/api/v1/services": {"items": services},
        "/apis/discovery.k8s.io/v1/endpointslices": {"items": [by_hand, of_pods, of_node]},
    }
    shell = FakeShell({("*", "python3"): printed("old.example")})
    seen = observe("old-routes", reach(shell, FakeKube({DNS: RKE2_DNS, **kube})), PROFILE.name)
    assert seen["ports"] == [80]
    assert seen["endpoints"] == {
        "saasodoo/killbill": [f"{OLD}:80"],
        "kube-system/kubelet": ["[fd00::1]:10250"],
    }
    assert seen["aliases"] == {"saasodoo/redis": {"name": "old.example", "seen": name(NEW)}}


# --- the script ---


def test_a_name_is_looked_up_in_three_ways(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hosts").write_text(f"127.0.0.1 localhost\n{OLD} {APP} app # old\n#{NEW} {APP}\n")
    monkeypatch.setattr(names_script, "HOSTS", str(tmp_path / "hosts"))
    monkeypatch.setattr(names_script, "resolved", lambda _: ["127.0.0.1"])
    monkeypatch.setattr(names_script, "by_server", lambda server, _: [server])
    monkeypatch.setattr(names_script, "answering", lambda found, ports: [*sorted(found), *ports])
    assert names_script.seen(APP, "10.43.0.10", [80]) == {
        "machine": {"value": ["127.0.0.1"]},
        "hosts": [OLD],
        "cluster": {"value": ["10.43.0.10"]},
        "answers": ["10.0.0.2", "10.43.0.10", "127.0.0.1", 80],
    }


def test_a_name_that_does_not_exist_has_no_address_and_a_silent_server_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails(kind: Exception) -> Callable[..., list[str]]:
        def ask(*_: object) -> list[str]:
            raise kind

        return ask

    monkeypatch.setattr(socket, "getaddrinfo", fails(socket.gaierror(socket.EAI_NONAME, "none")))
    assert names_script.resolved(APP) == []
    monkeypatch.setattr(socket, "getaddrinfo", fails(socket.gaierror(socket.EAI_AGAIN, "later")))
    assert "later" in str(names_script.looked(lambda: names_script.resolved(APP))["error"])
    monkeypatch.setattr(pod_script, "ask_nameserver", fails(pod_script.NoSuchName("code 3")))
    assert names_script.by_server("10.43.0.10", APP) == []
    monkeypatch.setattr(pod_script, "ask_nameserver", fails(ValueError("code 2")))
    assert names_script.looked(lambda: names_script.by_server("10.43.0.10", APP)) == {
        "error": "code 2"
    }


def test_a_port_that_takes_a_connection_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with socket.create_server(("127.0.0.1", 0)) as other:
            closed = other.getsockname()[1]
        assert names_script.answering(["127.0.0.1"] * 2, [port, closed]) == [f"127.0.0.1:{port}"]
