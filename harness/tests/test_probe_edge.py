"""The probes of what the world can reach: what they bring, what they ask, what they leave."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address
from typing import Any

import pytest

from harness.errors import TimedOut, TransportError
from harness.probes import pods
from harness.tests.probe_rig import MACHINES, PROFILE, observe, reach
from harness.tests.test_probe_pods import Cluster
from harness.transport.fake import FakeOutside

ADDRESS = "10.0.0.200"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits: what is not there at once does not come."""

    def at_once(look: Any, **_: Any) -> Any:
        if not (seen := look()):
            raise TimedOut("not yet")
        return seen

    for module in ("pods", "load_balancer"):
        monkeypatch.setattr(f"harness.probes.{module}.until", at_once)


class Edge(Cluster):
    """A cluster whose services get these addresses."""

    def __init__(self, given: Sequence[str] = (ADDRESS,), sick: Sequence[str] = ()) -> None:
        super().__init__({}, sick)
        self.given = [{"ip": address} for address in given]

    def get(self, path: str, *, within_s: float = 10.0) -> Any:
        if path.endswith("/services/balanced"):
            return {"status": {"loadBalancer": {"ingress": self.given}}}
        return super().get(path, within_s=within_s)

    def made(self, kind: str) -> dict[str, Any]:
        (found,) = [it for it in self.manifests if it["kind"] == kind]
        return found


def gone(cluster: Cluster) -> bool:
    space = cluster.manifests[0]["metadata"]["name"]
    return cluster.deleted() == [f"/api/v1/namespaces/{space}"]


def test_all_ports_of_a_machine_are_tried_where_the_world_reaches_it() -> None:
    outside = FakeOutside({"203.0.113.7": [22, 2379, 70000]})
    machines = list(PROFILE.machines)
    machines[0] = machines[0].model_copy(update={"outside_address": (IPv4Address("203.0.113.7"),)})
    profile = PROFILE.model_copy(update={"machines": tuple(machines)})
    seen = observe("open-ports", reach(outside=outside, like=profile), MACHINES[0])
    wanted = {"address": "203.0.113.7", "open": [22, 2379], "refused": 65533, "silent": 0}
    assert seen == wanted
    seen = observe("open-ports", reach(outside=outside, like=profile), MACHINES[1])
    assert (seen["address"], seen["open"], seen["silent"]) == ("10.0.0.2", [], 65535)


def balanced(cluster: Edge, answer: bytes | TransportError = b"balanced") -> Any:
    outside = FakeOutside(answers={(ADDRESS, pods.PORT): answer})
    return observe("load-balancer", reach(kube=cluster, outside=outside), "contabo")


def test_a_service_that_gets_an_address_is_talked_to_and_removed() -> None:
    cluster = Edge()
    seen = balanced(cluster)
    assert (seen["address"], seen["answer"]["value"]) == (ADDRESS, "balanced")
    service = cluster.made("Service")["spec"]
    assert service["type"] == "LoadBalancer"
    assert not service["allocateLoadBalancerNodePorts"], "the look at open ports would see them"
    assert gone(cluster)


def test_a_service_without_an_address_says_what_the_cluster_says() -> None:
    cluster = Edge(given=(), sick=["balanced"])
    seen = balanced(cluster)
    assert (seen["address"], seen["said"], seen["answer"]) == (None, "no route", None)
    assert gone(cluster)


def test_whoever_else_answers_at_the_address_is_told() -> None:
    assert "somebody else" in balanced(Edge(), b"SSH-2.0-OpenSSH")["answer"]["error"]
