"""The probe of Cilium's agents: parts, failing controllers, and the nodes that they reach."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from harness.core.errors import TransportError
from harness.tests.fake_transport import FakeKube
from harness.tests.probe_rig import observe, reach
from harness.transport import Completed


class Rounds:
    """Time that passes only while a look waits; Cilium's health probes end a round every 96 s."""

    def __init__(self, *reached: str) -> None:
        self.now = 0.0
        self._reached = reached

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def status(self) -> Completed:
        last = self._reached[min(int(self.now / 96), len(self._reached) - 1)]
        return Completed(status=0, stdout=f"Cluster health:   {last} reachable\n", stderr="")


def _cilium(
    pods_there: list[Any], as_json: Completed, words: Callable[[], Completed] | None = None
) -> Any:
    path = (
        "/api/v1/namespaces/kube-system/pods?labelSelector=k8s-app%3Dcilium"
        "&fieldSelector=spec.nodeName%3Dvmi2887101"
    )

    def status(argv: Sequence[str], _: str) -> Completed:
        return as_json if "-o" in argv or words is None else words()

    kube = FakeKube({path: {"items": pods_there}}, in_pods={("cilium-x", "sh"): status})
    return observe("cilium", reach(kube=kube), "vmi2887101")


def _agent(ready: str) -> Any:
    return {
        "metadata": {"name": "cilium-x"},
        "status": {"conditions": [{"type": "Ready", "status": ready}]},
    }


def test_cilium_agents_tell_their_parts_their_failing_controllers_and_whom_they_reach() -> None:
    # The controller is the one of a public report: 412 failures in a row, and never a success.
    failing = {
        "consecutive-failure-count": 412,
        "failure-count": 412,
        "last-failure-msg": "unable to get object: no such file or directory",
        "last-success-timestamp": "0001-01-01T00:00:00.000Z",
    }
    said = {
        "cilium": {"state": "Ok", "msg": "1.17.0"},
        "kvstore": {"state": "Disabled"},
        "ipam": {},
        "cluster": {"ciliumHealth": {"state": "Ok"}},
        "controllers": [
            {"name": "bpf-map-sync-cilium_snat_v4_external", "status": failing},
            {"name": "sync-lb-maps", "status": {"success-count": 4}},
            {"name": "not-run-yet"},
        ],
    }
    words = (
        "Controller Status:      40/41 healthy\n"
        "Cluster health:         3/3 reachable   (2026-11-24T12:00:00Z)   (Probe interval: 1m36s)\n"
        "Name           IP         Node   Endpoints\n"
        "  default/c    10.0.0.3   1/1    1/1\n"
    )
    fine = Completed(status=0, stdout=json.dumps(said), stderr="")
    assert _cilium(
        [_agent("True")], fine, lambda: Completed(status=0, stdout=words, stderr="")
    ) == {
        "pod": "cilium-x",
        "ready": True,
        "parts": {
            "cilium": {"state": "Ok", "message": "1.17.0"},
            "kvstore": {"state": "Disabled", "message": ""},
        },
        "controllers": [
            {
                "name": "bpf-map-sync-cilium_snat_v4_external",
                "failures": 412,
                "last_success": None,
                "message": "unable to get object: no such file or directory",
            }
        ],
        "health": "Ok",
        "reachable": {"nodes": 3, "of": 3},
    }


def test_a_cilium_agent_that_is_not_ready_or_answers_otherwise_tells_no_parts() -> None:
    fine = Completed(status=0, stdout="{}", stderr="")
    assert _cilium([_agent("False")], fine) == {"pod": "cilium-x", "ready": False}
    assert _cilium([], fine) == {"pod": None, "ready": False}
    ended = {**_agent("False"), "status": {"phase": "Failed", "reason": "Terminated"}}
    assert _cilium([ended, _agent("True")], fine)["ready"]
    with pytest.raises(TransportError, match="status 1"):
        _cilium([_agent("True")], Completed(status=1, stdout="", stderr="no agent"))
    with pytest.raises(TransportError, match="garbled"):
        _cilium([_agent("True")], Completed(status=0, stdout="KVStore: Ok", stderr=""))
    odd = Completed(status=0, stdout=json.dumps({"controllers": [{"status": {}}, 3]}), stderr="")
    with pytest.raises(TransportError, match="garbled"):
        _cilium([_agent("True")], odd)


@pytest.mark.parametrize(
    ("reached", "seen", "waited_s"),
    [
        (["3/3"], {"nodes": 3, "of": 3}, 0),
        (["0/1", "3/3"], {"nodes": 3, "of": 3}, 100),
        (["0/3", "2/3", "3/3"], {"nodes": 3, "of": 3}, 195),
        (["2/3"], {"nodes": 2, "of": 3}, 200),
    ],
)
def test_an_agent_of_cilium_that_misses_a_node_is_asked_again_for_two_rounds(
    reached: list[str], seen: dict[str, int], waited_s: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    fine = Completed(status=0, stdout=json.dumps({"cilium": {"state": "Ok"}}), stderr="")
    rounds = Rounds(*reached)
    monkeypatch.setattr("harness.core.waiting.time", rounds)
    assert _cilium([_agent("True")], fine, rounds.status)["reachable"] == seen
    assert rounds.now == waited_s


def test_the_state_of_a_cilium_agent_that_is_not_well_is_told_though_its_client_fails() -> None:
    said = {"cilium": {"state": "Failure", "msg": "2 controllers failing"}}
    answer = Completed(status=0, stdout=json.dumps(said), stderr="")
    found = _cilium([_agent("True")], answer, lambda: Completed(status=1, stdout="…", stderr=""))
    assert found["parts"] == {"cilium": {"state": "Failure", "message": "2 controllers failing"}}
    assert found["reachable"] is None


def test_health_probes_of_cilium_that_are_switched_off_are_told_as_disabled() -> None:
    answer = Completed(status=0, stdout=json.dumps({"cilium": {"state": "Ok"}}), stderr="")
    words = "Controller Status:  41/41 healthy\nCluster health:   Probe disabled\n"
    found = _cilium([_agent("True")], answer, lambda: Completed(status=0, stdout=words, stderr=""))
    assert (found["health"], found["reachable"]) == ("Disabled", None)
