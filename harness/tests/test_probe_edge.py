"""The probes of what the world can reach: what they bring, what they ask, what they leave."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from harness.core.errors import TimedOut, TransportError
from harness.probes import pods
from harness.tests.fake_transport import FakeExternalClient
from harness.tests.probe_rig import observe, reach
from harness.tests.test_probe_pods import Cluster

ADDRESS = "10.0.0.200"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits: what is not there at once does not come."""

    def at_once(look: Any, **_: Any) -> Any:
        if not (seen := look()):
            raise TimedOut("not yet")
        return seen

    for module in ("pods", "edge"):
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


def balanced(cluster: Edge, answer: bytes | TransportError = b"balanced") -> Any:
    outside = FakeExternalClient(answers={(ADDRESS, pods.PORT): answer})
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
    assert "another program" in balanced(Edge(), b"SSH-2.0-OpenSSH")["answer"]["error"]
