"""The probes over fakes: what they ask for, what they make of the answers, what they clean up."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.errors import NotListening, ScriptNotRun, TransportError, Unreachable
from harness.probes import PROBES
from harness.probes.certificates import Authority
from harness.probes.permissions import PERMISSIONS, Permission, all_permissions
from harness.tests.fake_transport import FakeKube, FakeShell
from harness.tests.mutilated import mutilate
from harness.tests.probe_rig import MACHINES, PROFILE, observe, reach
from harness.transport import Answer, Completed


def test_every_probe_is_listed_by_its_name_and_declares_its_permissions() -> None:
    assert {name: probe.name for name, probe in PROBES.items()} == {name: name for name in PROBES}
    assert set(PERMISSIONS) == set(PROBES)
    together = all_permissions(PROBES, PROFILE)
    assert len(set(together)) == len(together)
    assert str(Permission("create", "networkpolicies", "networking.k8s.io")) in map(str, together)


def test_traefiks_own_routes_are_asked_for_only_where_the_ingress_follows_them() -> None:
    asked = set(all_permissions(PROBES, PROFILE))
    assert PROFILE.ingress is not None
    ingress = PROFILE.ingress.model_copy(update={"kind": "ingressroute"})
    routed = set(all_permissions(PROBES, PROFILE.model_copy(update={"ingress": ingress})))
    assert {it.group for it in asked - routed} == {"networking.k8s.io"}
    assert {it.resource for it in asked - routed} == {"ingresses"}
    assert {str(it) for it in routed - asked} == {
        f"{verb} ingressroutes.traefik.io" for verb in ("create", "patch")
    }


def test_every_probe_has_targets() -> None:
    for probe in PROBES.values():
        assert set(probe.targets(reach())) in (set(MACHINES), {"contabo"})


# --- host-facts -------------------------------------------------------------------------------


def _really_run(argv: Sequence[str], stdin: str) -> Completed:
    done = subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False)
    return Completed(status=done.returncode, stdout=done.stdout, stderr=done.stderr, took_s=0.5)


def test_the_script_runs_anywhere_and_every_item_speaks() -> None:
    seen = observe("host-facts", reach(FakeShell({("*", "python3"): _really_run})), MACHINES[0])
    assert all(set(item) in ({"value"}, {"error"}) for item in seen.values())
    assert {"chrony", "swap", "memory", "units", "boot", "clock", "certificates"} <= set(seen)
    assert {"disk /", "disk /var/lib/rancher", "path to vmi2887102", "etcd members"} <= set(seen)
    assert "path to vmi2887101" not in seen
    assert seen["memory"]["value"]["total_bytes"] > 0
    assert seen["etcd status"]["error"].endswith("server-ca.crt is missing")
    assert seen["kubeconfig /etc/rancher/rke2/rke2.yaml"]["error"].endswith("is missing")


def test_a_worker_is_not_asked_about_etcd() -> None:
    workers = tuple(m.model_copy(update={"roles": ("worker",)}) for m in PROFILE.machines)
    like = PROFILE.model_copy(update={"machines": workers})
    shell = FakeShell({("*", "python3"): _really_run})
    seen = observe("host-facts", reach(shell, like=like), MACHINES[0])
    assert not [name for name in seen if name.startswith(("etcd", "kubeconfig"))]
    # Its kubelet's certificates end after a year, like a server's.
    assert seen["certificates"]["value"]["unmatched"] == ["/var/lib/rancher/rke2/agent/*.crt"]


def test_certificates_and_metrics_become_numbers_or_errors() -> None:
    pem, _ = Authority().issue("kube-apiserver", days=100)
    items = {
        "certificates": {"value": {"files": {"/a.crt": [pem]}, "unmatched": ["/b*"]}},
        "etcd metrics": {"value": "etcd_server_quota_backend_bytes x\n"},
        "swap": {"error": "no"},
    }
    report = json.dumps({"started": 100.0, "ended": 101.0, "items": items})
    shell = FakeShell({("*", "python3"): Completed(status=0, stdout=report, stderr="", took_s=1)})
    seen = observe("host-facts", reach(shell), MACHINES[0])
    assert seen["certificates"]["value"]["files"][0]["subject"] == "CN=kube-apiserver"
    assert seen["certificates"]["value"]["unmatched"] == ["/b*"]
    assert seen["etcd metrics"]["error"].startswith("not understood")
    assert seen["swap"] == {"error": "no"}


@pytest.mark.parametrize(
    ("done", "error", "words"),
    [
        (Completed(status=127, stdout="", stderr="python3: not found"), ScriptNotRun, "install"),
        (Completed(status=0, stdout="Welcome!", stderr=""), TransportError, "garbled"),
        (Completed(status=0, stdout='{"items": 3}', stderr=""), TransportError, "garbled"),
    ],
)
def test_a_machine_whose_report_cannot_be_had(
    done: Completed, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        observe("host-facts", reach(FakeShell({("*", "python3"): done})), MACHINES[0])


def test_the_clock_is_known_as_closely_as_its_closest_look() -> None:
    shell = FakeShell(
        {
            ("*", "python3"): _really_run,
            ("*", "date"): lambda *_: Completed(
                status=0, stdout=f"{time.time() + 3:.9f}\n", stderr="", took_s=0.001
            ),
        }
    )
    bounds = observe("host-facts", reach(shell), MACHINES[0])["clock"]["value"]
    assert bounds["at_most_s"] - bounds["at_least_s"] < 3.5
    assert bounds["at_least_s"] == pytest.approx(3, abs=0.1)


# --- nodes and api-endpoints ------------------------------------------------------------------


def test_nodes_are_read_as_far_as_they_are_judged() -> None:
    node = {
        "metadata": {
            "name": "vmi2887101",
            "labels": {
                "node-role.kubernetes.io/control-plane": "true",
                "kubernetes.io/os": "linux",
            },
        },
        "spec": {
            "taints": [
                {"key": "a", "value": "b", "effect": "NoSchedule"},
                {"key": "c", "effect": "X"},
            ]
        },
        "status": {
            "addresses": [
                {"type": "InternalIP", "address": "10.0.0.1"},
                {"type": "Hostname", "address": "vmi2887101"},
            ],
            "nodeInfo": {"kubeletVersion": "v1.34.4+rke2r1"},
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }
    seen = observe("nodes", reach(kube=FakeKube({"/api/v1/nodes": {"items": [node]}})), "contabo")
    assert seen == {
        "vmi2887101": {
            "addresses": ["10.0.0.1"],
            "roles": ["control-plane"],
            "version": "v1.34.4+rke2r1",
            "conditions": {"Ready": "True"},
            "taints": ["a=b:NoSchedule", "c:X"],
        }
    }


def test_each_api_server_is_asked_at_its_own_address() -> None:
    pem, _ = Authority().issue("kube-apiserver", days=100)
    api, kubelet = "https://10.0.0.1:6443", "https://10.0.0.1:10250"
    uid = json.dumps({"metadata": {"uid": "u-1"}})
    asked: dict[str, Answer | TransportError] = {
        f"{api}/readyz?verbose": Answer(
            status=500, body="[+]ping ok\n[-]etcd failed: reason withheld\n", certificate=pem
        ),
        f"{api}/api/v1/namespaces/kube-system": Answer(status=200, body=uid, certificate=pem),
        f"{api}/version": Answer(status=200, body="{}", certificate=pem),
        f"anonymous {api}/api/v1/namespaces": Answer(status=401, body="", certificate=pem),
        f"anonymous {kubelet}/pods": Unreachable("refused"),
    }
    seen = observe("api-endpoints", reach(kube=FakeKube(asked=asked)), "vmi2887101")
    assert seen["readyz"]["value"] == {"status": 500, "failed": ["etcd"]}
    assert seen["namespace"]["value"] == {"status": 200, "uid": "u-1"}
    assert seen["certificate"]["value"]["subject"] == "CN=kube-apiserver"
    assert seen["anonymous api"]["value"] == 401
    assert seen["anonymous kubelet"]["error"] == "refused"


def test_a_closed_port_is_an_answer_about_the_server_and_none_about_its_certificate() -> None:
    api = "https://10.0.0.1:6443"
    closed = NotListening("connection refused")
    urls = ("/readyz?verbose", "/api/v1/namespaces/kube-system", "/version")
    asked: dict[str, Answer | TransportError] = {f"{api}{url}": closed for url in urls}
    seen = observe("api-endpoints", reach(kube=FakeKube(asked=asked)), "vmi2887101")
    assert seen["readyz"]["value"] == {"status": 0, "failed": []}
    assert seen["namespace"]["value"] == {"status": 0, "uid": None}
    assert seen["certificate"]["error"] == "connection refused"


# --- objects of the API -----------------------------------------------------------------------


def _api_objects(services: list[Any], spaces: list[Any]) -> Any:
    paths = {
        "/apis/apiregistration.k8s.io/v1/apiservices": {"items": services},
        "/api/v1/namespaces": {"items": spaces},
    }
    return observe("api-objects", reach(kube=FakeKube(paths)), "lab")


def test_unavailable_api_services_are_told() -> None:
    # As RKE2 lists its metrics server while that has no endpoint.
    metrics = {
        "metadata": {"name": "v1beta1.metrics.k8s.io"},
        "spec": {"service": {"name": "rke2-metrics-server", "namespace": "kube-system"}},
        "status": {
            "conditions": [
                {
                    "type": "Available",
                    "status": "False",
                    "reason": "MissingEndpoints",
                    "message": "endpoints for service/rke2-metrics-server have no addresses",
                }
            ]
        },
    }
    local = {"metadata": {"name": "v1."}, "status": {"conditions": None}}
    broken = {"metadata": {"name": "odd"}, "status": {"conditions": ["?"]}}
    seen = _api_objects([metrics, local, broken], [])["services"]
    assert seen["v1beta1.metrics.k8s.io"] == {
        "available": "False",
        "message": "endpoints for service/rke2-metrics-server have no addresses",
    }
    assert seen["v1."] == {"available": "absent", "message": ""}
    assert "error" in seen["odd"]


def test_namespaces_that_are_going_are_told() -> None:
    going = {
        "metadata": {
            "name": "stuck",
            "deletionTimestamp": "2026-11-24T12:00:00Z",
            "labels": {"app.kubernetes.io/managed-by": "cutover"},
        },
        "status": {
            "phase": "Terminating",
            "conditions": [
                {"type": "NamespaceDeletionContentFailure", "status": "False"},
                {
                    "type": "NamespaceDeletionDiscoveryFailure",
                    "status": "True",
                    "message": "Discovery failed for some groups",
                },
            ],
        },
    }
    stays = {"metadata": {"name": "default", "labels": None}, "status": None}
    assert _api_objects([], [going, stays])["terminating"] == {
        "stuck": {
            "since": 1795521600.0,
            "ours": True,
            "messages": ["Discovery failed for some groups"],
        }
    }


def test_nodes_of_two_address_families_and_odd_ones_are_told_apart() -> None:
    def node(name: str, **status: Any) -> Any:
        return {"metadata": {"name": name}, "spec": {"taints": None}, "status": status}

    addresses = [
        {"type": "InternalIP", "address": "10.0.0.1"},
        {"type": "InternalIP", "address": "2001:DB8::1"},
        {"type": "Hostname", "address": "a"},
    ]
    info = {"kubeletVersion": "v1.32.1+rke2r1"}
    listed = [node("a", addresses=addresses, nodeInfo=info), node("b"), node("c", nodeInfo=info)]
    seen = observe("nodes", reach(kube=FakeKube({"/api/v1/nodes": {"items": listed}})), "lab")
    assert seen["a"]["addresses"] == ["10.0.0.1", "2001:db8::1"]
    assert "not understood: it has no status.nodeInfo.kubeletVersion" in seen["b"]["error"]
    assert seen["c"]["addresses"] == []


@given(st.data())
def test_a_node_with_an_odd_field_costs_that_node_alone(data: st.DataObject) -> None:
    def node(name: str) -> Any:
        return {
            "metadata": {"name": name, "labels": {"node-role.kubernetes.io/etcd": "true"}},
            "spec": {"taints": [{"key": "a", "value": "b", "effect": "NoSchedule"}]},
            "status": {
                "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}],
                "conditions": [{"type": "Ready", "status": "True"}],
                "nodeInfo": {"kubeletVersion": "v1.32.1+rke2r1"},
            },
        }

    whole = [node("a"), node("b")]
    listed = mutilate(whole, data)
    seen = observe("nodes", reach(kube=FakeKube({"/api/v1/nodes": {"items": listed}})), "lab")
    assert set(seen) == {"a", "b"}
    untouched = [it["metadata"]["name"] for it in listed if it in (node("a"), node("b"))]
    for name in untouched:
        assert seen[name]["taints"] == ["a=b:NoSchedule"]


def test_a_node_without_a_name_is_told_and_hides_no_other() -> None:
    listed = [{"metadata": {}}, {"metadata": {"name": "b"}, "status": None}]
    seen = observe("nodes", reach(kube=FakeKube({"/api/v1/nodes": {"items": listed}})), "lab")
    assert set(seen) == {"object 0", "b"}
    assert all("error" in it for it in seen.values())
