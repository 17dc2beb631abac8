"""The probes over fakes: what they ask for, what they make of the answers, what they clean up."""

# ruff: noqa: ARG001, ARG002 (fakes take what the real ones take)
from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from typing import Any

import pytest

from harness.errors import TimedOut, TransportError, Unreachable
from harness.model import JSON
from harness.probes import PROBES, pods
from harness.probes.permissions import PERMISSIONS, Permission, all_permissions
from harness.settings import Profile, load_profile
from harness.tests.api_server import Authority
from harness.transport import Answer, Completed, Kube, Reach, Shell
from harness.transport.fake import FakeKube, FakeShell

PROFILE = load_profile("contabo")
MACHINES = ("vmi2887101", "vmi2887102", "vmi2887103")


def _reach(
    shell: Shell | None = None, kube: Kube | None = None, *, like: Profile = PROFILE
) -> Reach:
    return Reach(profile=like, shell=shell or FakeShell({}), kube=kube or FakeKube())


def _observe(probe: str, reach: Reach, target: str) -> Any:
    """What a probe saw, as it looks after the journal."""
    seen: JSON = PROBES[probe].observe(reach, target)
    return json.loads(json.dumps(seen))


def test_every_probe_is_listed_by_its_name_and_declares_its_permissions() -> None:
    assert {name: probe.name for name, probe in PROBES.items()} == {name: name for name in PROBES}
    assert set(PERMISSIONS) == set(PROBES)
    together = all_permissions(PROBES)
    assert len(set(together)) == len(together)
    assert str(Permission("create", "networkpolicies", "networking.k8s.io")) in map(str, together)


def test_every_probe_has_targets() -> None:
    for probe in PROBES.values():
        assert set(probe.targets(_reach())) in (set(MACHINES), {"contabo"})


# --- host-facts -------------------------------------------------------------------------------


def _really_run(argv: Sequence[str], stdin: str) -> Completed:
    done = subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False)
    return Completed(status=done.returncode, stdout=done.stdout, stderr=done.stderr, took_s=0.5)


def test_the_script_runs_anywhere_and_every_item_speaks() -> None:
    seen = _observe("host-facts", _reach(FakeShell({("*", "python3"): _really_run})), MACHINES[0])
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
    seen = _observe("host-facts", _reach(shell, like=like), MACHINES[0])
    assert not [name for name in seen if name.startswith(("etcd", "kubeconfig", "certificates"))]


def test_certificates_and_metrics_become_numbers_or_errors() -> None:
    pem, _ = Authority().issue("kube-apiserver", days=100)
    items = {
        "certificates": {"value": {"files": {"/a.crt": [pem]}, "unmatched": ["/b*"]}},
        "etcd metrics": {"value": "etcd_server_quota_backend_bytes x\n"},
        "swap": {"error": "no"},
    }
    report = json.dumps({"started": 100.0, "ended": 101.0, "items": items})
    shell = FakeShell({("*", "python3"): Completed(status=0, stdout=report, stderr="", took_s=1)})
    seen = _observe("host-facts", _reach(shell), MACHINES[0])
    assert seen["certificates"]["value"]["files"][0]["subject"] == "CN=kube-apiserver"
    assert seen["certificates"]["value"]["unmatched"] == ["/b*"]
    assert seen["etcd metrics"]["error"].startswith("not understood")
    assert seen["swap"] == {"error": "no"}


@pytest.mark.parametrize(
    ("done", "error", "words"),
    [
        (Completed(status=127, stdout="", stderr="python3: not found"), Unreachable, "install"),
        (Completed(status=0, stdout="Welcome!", stderr=""), TransportError, "garbled"),
        (Completed(status=0, stdout='{"items": 3}', stderr=""), TransportError, "garbled"),
    ],
)
def test_a_machine_whose_report_cannot_be_had(
    done: Completed, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        _observe("host-facts", _reach(FakeShell({("*", "python3"): done})), MACHINES[0])


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
    seen = _observe("nodes", _reach(kube=FakeKube({"/api/v1/nodes": {"items": [node]}})), "contabo")
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
    seen = _observe("api-endpoints", _reach(kube=FakeKube(asked=asked)), "vmi2887101")
    assert seen["readyz"]["value"] == {"status": 500, "failed": ["etcd"]}
    assert seen["namespace"]["value"] == {"status": 200, "uid": "u-1"}
    assert seen["certificate"]["value"]["subject"] == "CN=kube-apiserver"
    assert seen["anonymous api"]["value"] == 401
    assert seen["anonymous kubelet"]["error"] == "refused"


# --- pods of our own --------------------------------------------------------------------------


class Cluster(FakeKube):
    """Makes pods ready at once, unless they are ``sick``, and lets their script say ``said``."""

    def __init__(self, said: dict[str, Any], sick: Sequence[str] = ()) -> None:
        super().__init__()
        self.said = said
        self.sick = sick
        self.spaces: list[dict[str, Any]] = []
        self.manifests: list[dict[str, Any]] = []

    def get(self, path: str, *, within_s: float = 10.0) -> Any:
        self.calls.append(("GET", path))
        kind = path.partition("?")[0].rpartition("/")[2]
        made = {
            "namespaces": self.spaces,
            "serviceaccounts": [{}],
            "pods": [self._pod(m) for m in self.manifests if m["kind"] == "Pod"],
            "services": [
                {"metadata": m["metadata"], "spec": {"clusterIP": "10.43.0.9"}}
                for m in self.manifests
                if m["kind"] == "Service"
            ],
            "events": [{"involvedObject": {"name": it}, "message": "no route"} for it in self.sick],
        }
        if "kube-dns" in path:
            return {"items": [{"spec": {"nodeName": "vmi2887102"}}]}
        return {"items": made[kind]}

    def apply(self, manifest: Any, *, within_s: float = 10.0) -> None:
        super().apply(manifest, within_s=within_s)
        self.manifests.append(manifest)

    def exec(
        self,
        namespace: str,
        pod: str,
        argv: Sequence[str],
        *,
        stdin: str = "",
        within_s: float = 30,
    ) -> Completed:
        role, argument = argv[-2:]
        self.calls.append(("EXEC", (namespace, pod, role, argument)))
        said = self.said[role]
        stdout = json.dumps(said(pod, argument) if callable(said) else said)
        return Completed(status=0, stdout=stdout, stderr="")

    def _pod(self, manifest: dict[str, Any]) -> dict[str, Any]:
        name = manifest["metadata"]["name"]
        ready = "False" if name in self.sick else "True"
        status = {"conditions": [{"type": "Ready", "status": ready}], "podIP": f"ip-of-{name}"}
        return {"metadata": manifest["metadata"], "status": status, "spec": {}}

    def deleted(self) -> list[Any]:
        return [what for verb, what in self.calls if verb == "DELETE"]


def _talk(pod: str, argument: str) -> Any:
    wanted = json.loads(argument)
    fine = {"value": None, "took_s": 0.01}
    found = {"value": ["10.43.0.9"], "took_s": 0.01}
    peers = dict.fromkeys(wanted["peers"], fine)
    return {
        **dict.fromkeys(("small", "large", "tcp", "bulk"), peers),
        "service": dict.fromkeys(wanted["services"], fine),
        "resolver": dict.fromkeys(wanted["names"], found),
        "nameserver": {"10.43.0.10": found},
    }


def _network(sick: Sequence[str] = ()) -> tuple[Cluster, Any]:
    heard: dict[str, Any] = {}

    def talk(pod: str, argument: str) -> Any:
        nonce = json.loads(argument)["nonce"]
        heard.update({f"{nonce} {machine}": {"64": 5, "1422": 4} for machine in MACHINES})
        return _talk(pod, argument)

    cluster = Cluster({"talk": talk, "report": lambda *_: heard}, sick)
    return cluster, _observe("pod-network", _reach(kube=cluster), "contabo")


def test_pods_talk_on_every_ordered_pair_and_everything_is_removed() -> None:
    cluster, seen = _network()
    assert len(seen["pairs"]) == 6
    pair = seen["pairs"]["vmi2887101 → vmi2887103"]
    assert (pair["small"]["received"], pair["large"]["received"]) == (5, 4)
    assert pair["large"]["bytes"] == 1450
    assert pair["tcp"] == {"value": None, "took_s": 0.01}
    assert seen["names"]["vmi2887102"]["expected"] == ["10.43.0.9"]
    assert seen["dns_on"] == ["vmi2887102"]
    space = cluster.manifests[0]["metadata"]["name"]
    assert cluster.deleted() == [f"/api/v1/namespaces/{space}"]


def test_our_pods_keep_to_the_restricted_standard() -> None:
    cluster, _ = _network()
    for manifest in cluster.manifests:
        if manifest["kind"] != "Pod":
            continue
        spec = manifest["spec"]
        (container,) = spec["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        }
        assert spec["securityContext"]["runAsNonRoot"]
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not spec["automountServiceAccountToken"]
        assert container["imagePullPolicy"] == "IfNotPresent"
        assert "hostNetwork" not in spec
        assert "volumes" not in spec


def test_a_pod_that_never_stands_costs_its_own_pairs_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def at_once(look: Any, **_: Any) -> Any:
        if not (seen := look()):
            raise TimedOut("not yet")
        return seen

    monkeypatch.setattr(pods, "until", at_once)
    cluster, seen = _network(sick=["pod-vmi2887103"])
    errors = {pair for pair, found in seen["pairs"].items() if "error" in found}
    assert errors == {pair for pair in seen["pairs"] if "vmi2887103" in pair}
    assert "no route" in seen["pairs"]["vmi2887103 → vmi2887101"]["error"]
    assert "no route" in seen["names"]["vmi2887103"]["error"]
    assert len(cluster.deleted()) == 1


def test_the_namespace_goes_even_when_the_look_fails() -> None:
    cluster = Cluster({})
    with pytest.raises(KeyError):
        _observe("pod-network", _reach(kube=cluster), "contabo")
    assert len(cluster.deleted()) == 1


def test_what_a_killed_harness_left_behind_is_removed_and_nothing_else() -> None:
    cluster = Cluster({})
    old, young = "2026-01-01T00:00:00Z", "2999-01-01T00:00:00Z"
    cluster.spaces = [
        {"metadata": {"name": name, "creationTimestamp": at}}
        for name, at in (
            ("cutover-probe-old", old),
            ("cutover-probe-new", young),
            ("production", old),
        )
    ]
    with pods.namespace(cluster):
        pass
    assert cluster.deleted()[0] == "/api/v1/namespaces/cutover-probe-old"
    assert len(cluster.deleted()) == 2


def test_a_policy_is_shown_to_allow_before_it_is_shown_to_deny() -> None:
    closed = False
    shut = {"error": "timed out", "took_s": 1.0}

    def talk(pod: str, argument: str) -> Any:
        said = _talk(pod, argument)
        if closed and pod == "stranger":
            said["service"] = dict.fromkeys(said["service"], shut)
        return said

    class Closing(Cluster):
        def apply(self, manifest: Any, *, within_s: float = 10.0) -> None:
            nonlocal closed
            super().apply(manifest, within_s=within_s)
            closed = closed or manifest["kind"] == "NetworkPolicy"

    cluster = Closing({"talk": talk})
    seen = _observe("network-policy", _reach(kube=cluster), "contabo")
    assert set(seen) == set(MACHINES)
    for found in seen.values():
        assert "value" in found["before"]["friend"]
        assert "value" in found["before"]["stranger"]
        assert "value" in found["after"]["friend"]
        assert found["after"]["stranger"]["error"] == "timed out"
    assert len(cluster.deleted()) == 1


# --- cilium -----------------------------------------------------------------------------------


def _cilium(pods_there: list[Any], status: Completed) -> Any:
    path = (
        "/api/v1/namespaces/kube-system/pods?labelSelector=k8s-app%3Dcilium"
        "&fieldSelector=spec.nodeName%3Dvmi2887101"
    )
    kube = FakeKube({path: {"items": pods_there}}, in_pods={("cilium-x", "cilium-dbg"): status})
    return _observe("cilium", _reach(kube=kube), "vmi2887101")


def _agent(ready: str) -> Any:
    return {
        "metadata": {"name": "cilium-x"},
        "status": {"conditions": [{"type": "Ready", "status": ready}]},
    }


def test_cilium_agents_tell_their_parts() -> None:
    said = {
        "cilium": {"state": "Ok", "msg": "1.17.0"},
        "kvstore": {"state": "Disabled"},
        "ipam": {},
    }
    fine = Completed(status=0, stdout=json.dumps(said), stderr="")
    assert _cilium([_agent("True")], fine) == {
        "pod": "cilium-x",
        "ready": True,
        "parts": {
            "cilium": {"state": "Ok", "message": "1.17.0"},
            "kvstore": {"state": "Disabled", "message": ""},
        },
    }
    assert _cilium([_agent("False")], fine) == {"pod": "cilium-x", "ready": False}
    assert _cilium([], fine) == {"pod": None, "ready": False}
    with pytest.raises(TransportError, match="status 1"):
        _cilium([_agent("True")], Completed(status=1, stdout="", stderr="no agent"))
    with pytest.raises(TransportError, match="garbled"):
        _cilium([_agent("True")], Completed(status=0, stdout="KVStore: Ok", stderr=""))
