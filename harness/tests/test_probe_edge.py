"""The probes of what the world can reach: what they bring, what they ask, what they leave."""

from __future__ import annotations

import json
from collections.abc import Sequence
from ipaddress import IPv4Address
from typing import Any

import pytest

from harness.authority import Authority
from harness.errors import Denied, TimedOut, TransportError, Unreachable
from harness.probes import pods
from harness.settings.ingress import Site as SiteSettings
from harness.tests.probe_rig import PROFILE, observe, reach
from harness.tests.test_probe_pods import Cluster
from harness.transport import Answer
from harness.transport.fake import FakeOutside
from harness.waiting import until

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


def visited(
    cluster: Edge,
    certificates: dict[tuple[str, str], Any] | None = None,
    *,
    dead: Sequence[str] = (),
) -> Any:
    class Site(FakeOutside):
        """Routes every host of ours, and no other; at dead addresses nobody is."""

        def get(self, host: str, path: str, *, at: str, within_s: float = 5.0) -> Answer:  # noqa: ARG002
            if at in dead:
                raise Unreachable(f"{at} does not answer")
            known = host.startswith("cutover-probe-")
            return Answer(status=200 if known else 404, body="site\n", certificate="")

        def certificate(
            self,
            host: str,
            *,
            at: str,
            authority: str | None = None,
            within_s: float = 5.0,  # noqa: ARG002
        ) -> str:
            if host == "shop.example":
                return super().certificate(host, at=at, authority=authority)
            assert authority is not None
            assert cluster.made("Ingress")["spec"]["tls"][0]["hosts"] == [host]
            return Authority().issue(host)[0]

    site = Site(certificates=certificates or {})
    declared = PROFILE.ingress
    assert declared is not None
    addresses = (*declared.addresses, *map(IPv4Address, dead))
    ingress = declared.model_copy(
        update={"sites": (SiteSettings(host="shop.example"),), "addresses": addresses}
    )
    profile = PROFILE.model_copy(update={"ingress": ingress})
    return observe("ingress", reach(kube=cluster, outside=site, like=profile), "contabo")


def test_a_new_site_is_visited_at_every_address_and_removed() -> None:
    cluster = Edge()
    shown = Authority().issue("shop.example", days=90)[0]
    seen = visited(cluster, {(ADDRESS, "shop.example"): shown})
    (site,) = seen["sites"].values()
    assert (site["ours"]["value"], site["stranger"]) == ("site", {"value": 404})
    assert "not_after" in site["certificate"]["value"]
    assert seen["declared"][f"shop.example at {ADDRESS}"]["value"]["subject"] == "CN=shop.example"
    assert cluster.made("Ingress")["spec"]["ingressClassName"] == "traefik"
    assert set(cluster.made("Secret")["data"]) == {"tls.crt", "tls.key"}
    assert gone(cluster)


def test_a_certificate_that_is_not_valid_is_told_from_one_that_was_not_seen() -> None:
    denied = Denied("certificate has expired")
    seen = visited(Edge(), {(ADDRESS, "shop.example"): denied})
    assert seen["declared"][f"shop.example at {ADDRESS}"] == {"denied": "certificate has expired"}
    seen = visited(Edge())
    assert "error" in seen["declared"][f"shop.example at {ADDRESS}"]


def test_an_address_that_does_not_follow_when_another_one_leads_there_is_not_awaited_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("harness.probes.pods.until", until)
    monkeypatch.setattr("harness.probes.ingress._AFTER_ANOTHER_S", 0.1)
    sites = visited(Edge(), dead=["10.0.0.9"])["sites"]
    assert sites[ADDRESS]["ours"]["value"] == "site"
    assert sites["10.0.0.9"]["ours"]["error"] == "10.0.0.9 does not answer"
    assert 0.1 < sites["10.0.0.9"]["ours"]["took_s"] < 30


def test_no_key_of_ours_is_in_what_was_seen() -> None:
    assert "PRIVATE KEY" not in json.dumps(visited(Edge()))
