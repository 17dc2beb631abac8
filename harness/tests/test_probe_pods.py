"""The probes that bring their own pods and objects: what they make, and that it goes again."""

# ruff: noqa: ARG001 (fakes take what the real ones take)
from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from harness.core.errors import TimedOut, Unreachable
from harness.probes import etcd, pods
from harness.tests.fake_transport import FakeKube, FakeShell, ShellAnswer
from harness.tests.probe_rig import MACHINES, observe, reach
from harness.transport import Completed


class Cluster(FakeKube):
    """Makes pods ready at once, unless they are ``sick``, and lets their script say ``said``.

    A ``slow`` cluster has not made a namespace's service account when it is looked for.
    """

    def __init__(
        self, said: dict[str, Any], sick: Sequence[str] = (), *, slow: bool = False
    ) -> None:
        super().__init__()
        self.said = said
        self.sick = sick
        self.accounts: list[dict[str, Any]] = [] if slow else [{}]
        self.spaces: list[dict[str, Any]] = []
        self.manifests: list[dict[str, Any]] = []

    def get(self, path: str, *, within_s: float = 10.0) -> Any:
        self.calls.append(("GET", path))
        kind = path.partition("?")[0].rpartition("/")[2]
        made = {
            "namespaces": self.spaces,
            "serviceaccounts": self.accounts,
            "pods": [self._pod(m) for m in self.manifests if m["kind"] == "Pod"],
            "services": [
                {"metadata": m["metadata"], "spec": {"clusterIP": "10.43.0.9"}}
                for m in self.manifests
                if m["kind"] == "Service"
            ],
            "events": [{"involvedObject": {"name": it}, "message": "no route"} for it in self.sick],
        }
        if "kube-dns" in path:
            pod = {"metadata": {"name": "dns"}, "status": {"podIP": "10.42.1.9"}}
            # Left by a shutdown of its machine: the API keeps it, with the address that it had.
            ended = {"phase": "Failed", "reason": "Terminated", "podIP": "10.42.0.8"}
            left = {"metadata": {"name": "old"}, "status": ended}
            return {"items": [{**it, "spec": {"nodeName": "vmi2887102"}} for it in (left, pod)]}
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
        "server": dict.fromkeys(wanted.get("servers", ()), found),
    }


def _network(sick: Sequence[str] = ()) -> tuple[Cluster, Any]:
    heard: dict[str, Any] = {}

    def talk(pod: str, argument: str) -> Any:
        nonce = json.loads(argument)["nonce"]
        heard.update({f"{nonce} {machine}": {"64": 5, "1422": 4} for machine in MACHINES})
        return _talk(pod, argument)

    cluster = Cluster({"talk": talk, "report": lambda *_: heard}, sick)
    return cluster, observe("pod-network", reach(kube=cluster), "contabo")


def test_pods_talk_on_every_ordered_pair_and_everything_is_removed() -> None:
    cluster, seen = _network()
    assert len(seen["pairs"]) == 6
    pair = seen["pairs"]["vmi2887101 → vmi2887103"]
    assert (pair["small"]["received"], pair["large"]["received"]) == (5, 4)
    assert pair["large"]["bytes"] == 1450
    assert pair["tcp"] == {"value": None, "took_s": 0.01}
    assert seen["names"]["vmi2887102"]["expected"] == ["10.43.0.9"]
    assert seen["dns_on"] == ["vmi2887102"]
    (server,) = seen["names"]["vmi2887101"]["servers"].items()
    answer = {"on": "vmi2887102", "value": ["10.43.0.9"], "took_s": 0.01}
    assert server == ("10.42.1.9", answer)
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
        observe("pod-network", reach(kube=cluster), "contabo")
    assert len(cluster.deleted()) == 1


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
    seen = observe("network-policy", reach(kube=cluster), "contabo")
    assert set(seen) == set(MACHINES)
    for found in seen.values():
        assert "value" in found["before"]["friend"]
        assert "value" in found["before"]["stranger"]
        assert "value" in found["after"]["friend"]
        assert found["after"]["stranger"]["error"] == "timed out"
    assert len(cluster.deleted()) == 1


def _log(samples: int) -> str:
    return "".join(
        f'etcd_disk_wal_fsync_duration_seconds_bucket{{le="{bound}"}} {samples}\n'
        for bound in ("0.008", "+Inf")
    )


@pytest.mark.parametrize("slow", [False, True])
def test_a_burst_of_writes_shows_what_it_added_to_each_members_log(
    monkeypatch: pytest.MonkeyPatch, slow: bool
) -> None:
    """Also on a cluster whose etcd is so slow that a pod could not start."""
    monkeypatch.setattr(etcd, "_WRITES", 20)
    cluster = Cluster({}, slow=slow)

    def script(argv: Sequence[str], stdin: str) -> Completed:
        assert json.loads(argv[-1])["only"] == ["etcd metrics"]
        writes = sum(manifest["kind"] == "ConfigMap" for manifest in cluster.manifests)
        items = {"etcd metrics": {"value": _log(1000 + writes)}}
        report = {"started": 1.0, "ended": 1.0, "items": items}
        return Completed(status=0, stdout=json.dumps(report), stderr="")

    shell = FakeShell({("*", "python3"): script})
    seen = observe("etcd-writes", reach(shell, cluster), "contabo")
    assert seen["writes"] == 20
    added = {"wal_fsync_s": [[0.008, 20], [None, 20]]}
    assert seen["members"] == dict.fromkeys(MACHINES, added)
    assert len(cluster.deleted()) == 1


def test_a_member_whose_log_cannot_be_looked_at_costs_itself_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(etcd, "_WRITES", 1)
    items = {"etcd metrics": {"error": "etcd.crt is missing"}}
    report = {"started": 1.0, "ended": 1.0, "items": items}
    answers: dict[tuple[str, str], ShellAnswer] = {
        ("*", "python3"): Completed(status=0, stdout=json.dumps(report), stderr=""),
        ("vmi2887103", "python3"): Unreachable("vmi2887103: no route"),
    }
    seen = observe("etcd-writes", reach(FakeShell(answers), Cluster({})), "contabo")
    assert seen["members"]["vmi2887101"]["error"] == "etcd metrics: etcd.crt is missing"
    assert seen["members"]["vmi2887103"]["error"] == "vmi2887103: no route"
