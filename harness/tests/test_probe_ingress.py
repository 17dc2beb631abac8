"""The probe of the ingress, before ingresses that answer as Traefik and ingress-nginx do."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from harness.core.errors import Denied, TimedOut, TransportError, Unreachable
from harness.core.waiting import until
from harness.probes.certificates import Authority
from harness.settings import Ingress
from harness.tests.fake_transport import FakeExternalClient
from harness.tests.probe_rig import PROFILE, observe, reach
from harness.tests.test_probe_edge import Edge, gone
from harness.transport import HTTP, HTTPS, Answer, EntryPoint

ADDRESS, DEAD = "10.0.0.200", "10.0.0.9"
SHOP = "shop.example"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not wait: what is not there at once does not come."""

    def at_once(look: Any, **_: Any) -> Any:
        if not (seen := look()):
            raise TimedOut("not yet")
        return seen

    monkeypatch.setattr("harness.probes.pods.until", at_once)


def answer(status: int, body: str = "", **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status=status, body=body, certificate="", headers=named)


OURS = answer(200, "site\n")
# Traefik's, of its router (Go's http.NotFound) and of its rate limiter.
NOT_FOUND = answer(404, "404 page not found\n")
TOO_MANY = answer(429, "Too Many Requests", retry_after="2", x_retry_in="1.9s")


@dataclass
class Front(FakeExternalClient):
    """An ingress that routes every host of ours and serves the pages of its table.

    ``redirects`` is the status with which it leads known hosts from http to https, and unknown
    ones too where ``all_hosts``; ``stranger`` is what others get, over https when not None.
    """

    cluster: Edge
    pages: Mapping[str, Answer | TransportError] = field(default_factory=dict)
    certificates: Mapping[str, str | TransportError] = field(default_factory=dict)
    redirects: int | None = None
    all_hosts: bool = False
    stranger: Answer | TransportError = NOT_FOUND
    ours: Answer = OURS
    plain: bool = True
    asked: list[tuple[str, EntryPoint]] = field(default_factory=list)

    def get(
        self,
        host: str,
        path: str,
        *,
        at: str,
        entry: EntryPoint = HTTP,
        within_s: float = 5.0,
    ) -> Answer:
        self.asked.append((host, entry))
        if at == DEAD:
            raise Unreachable(f"{at} does not answer")
        known = host.startswith("cutover-probe-")
        if entry.scheme == "http" and self.redirects and (known or self.all_hosts):
            return answer(self.redirects, location=f"https://{host}{path}")
        told = self.ours if known else self.pages.get(f"{host}{path}", self.stranger)
        if entry.scheme == "http" and known and not self.plain:
            told = NOT_FOUND
        if isinstance(told, TransportError):
            if entry.scheme == "http":
                return NOT_FOUND
            raise told
        return told

    def certificate(
        self,
        host: str,
        *,
        at: str,
        port: int = 443,
        authority: str | None = None,
        within_s: float = 5.0,
    ) -> str:
        if host in self.certificates:
            told = self.certificates[host]
            if isinstance(told, TransportError):
                raise told
            return told
        assert authority is not None
        assert self.cluster.made("Secret")["metadata"]["name"] == "site"
        return Authority().issue(host)[0]


def visited(front: Front, **ingress: Any) -> Any:
    """What the probe sees of it, declared like this."""
    declared = {"addresses": [ADDRESS], "ingress_class": "traefik", **ingress}
    settings = Ingress.model_validate(declared)
    profile = PROFILE.model_copy(update={"ingress": settings})
    return observe("ingress", reach(kube=front.cluster, outside=front, like=profile), "contabo")


def site(seen: Any, address: str = ADDRESS) -> Any:
    return seen["sites"][address]


def test_a_new_site_is_visited_at_every_address_and_removed() -> None:
    front = Front(Edge(), certificates={SHOP: Authority().issue(SHOP, days=90)[0]})
    seen = visited(front, sites=[SHOP])
    assert site(seen)["ours"]["value"] == "site"
    assert site(seen)["stranger"] == {"value": 404}
    assert "not_after" in site(seen)["certificate"]["value"]
    assert seen["declared"][f"{SHOP} at {ADDRESS}"]["value"]["subject"] == f"CN={SHOP}"
    assert front.cluster.made("Ingress")["spec"]["ingressClassName"] == "traefik"
    assert set(front.cluster.made("Secret")["data"]) == {"tls.crt", "tls.key"}
    assert "PRIVATE KEY" not in json.dumps(seen)
    assert gone(front.cluster)


def test_an_ingress_of_the_older_kind_has_its_class_in_an_annotation() -> None:
    front = Front(Edge())
    assert site(visited(front, kind="annotation", scheme="http"))["ours"]["value"] == "site"
    made = front.cluster.made("Ingress")
    assert made["metadata"]["annotations"] == {"kubernetes.io/ingress.class": "traefik"}
    assert not {"ingressClassName", "tls"} & set(made["spec"])


@pytest.mark.parametrize(
    ("scheme", "entry_point", "tls"),
    [("http", "web", None), ("https", "websecure", {"secretName": "site"})],
)
def test_traefik_of_the_crd_provider_alone_gets_a_route_of_its_own_kind(
    scheme: str, entry_point: str, tls: object
) -> None:
    """Over https it is at its own entry point alone: over http Traefik says 404."""
    front = Front(Edge(), plain=scheme == "http")
    seen = visited(front, kind="ingressroute", scheme=scheme, ingress_class="")
    assert site(seen)["ours"]["value"] == "site"
    made = front.cluster.made("IngressRoute")
    assert (made["apiVersion"], made["spec"]["entryPoints"]) == (
        "traefik.io/v1alpha1",
        [entry_point],
    )
    (rule,) = made["spec"]["routes"]
    host = f"{made['metadata']['namespace']}.cutover.example"
    assert (rule["kind"], rule["match"]) == ("Rule", f"Host(`{host}`)")
    assert rule["services"] == [{"name": "site", "port": 8642}]
    assert made["spec"].get("tls") == tls
    # RKE2's own chart sets Traefik's class to this; a Traefik without one takes it too.
    assert made["metadata"]["annotations"] == {"kubernetes.io/ingress.class": "traefik"}
    assert not [it for it in front.cluster.manifests if it["kind"] == "Ingress"]


def test_a_traefik_with_a_class_is_told_it_in_its_own_route_too() -> None:
    front = Front(Edge())
    visited(front, kind="ingressroute", ingress_class="inner", entry_point="public")
    made = front.cluster.made("IngressRoute")
    assert made["metadata"]["annotations"] == {"kubernetes.io/ingress.class": "inner"}
    assert made["spec"]["entryPoints"] == ["public"]


def test_where_the_ingress_is_plain_http_nothing_is_asked_over_tls() -> None:
    front = Front(Edge())
    seen = visited(front, scheme="http", port=8000, sites=[SHOP])
    assert {entry for _, entry in front.asked} == {EntryPoint("http", 8000)}
    assert (seen["declared"], "certificate" in site(seen)) == ({}, False)
    assert not [it for it in front.cluster.manifests if it["kind"] == "Secret"]


@pytest.mark.parametrize(
    ("redirects", "all_hosts"),
    [(301, True), (302, True), (308, False)],
    ids=["traefik, for good", "traefik", "ingress-nginx"],
)
def test_a_redirect_to_https_is_followed_to_the_answer_behind_it(
    redirects: int, all_hosts: bool
) -> None:
    seen = visited(Front(Edge(), redirects=redirects, all_hosts=all_hosts))
    assert site(seen)["ours"]["value"] == "site"
    assert site(seen)["stranger"] == {"value": 404}


def test_a_route_for_every_host_behind_a_redirect_is_seen() -> None:
    front = Front(Edge(), redirects=301, all_hosts=True, stranger=answer(200, "welcome"))
    assert site(visited(front))["stranger"] == {"value": 200}


def test_a_route_for_every_host_over_https_alone_is_seen() -> None:
    class Split(Front):
        def get(
            self, host: str, path: str, *, at: str, entry: EntryPoint = HTTP, **_: Any
        ) -> Answer:
            if host.startswith("stranger"):
                return NOT_FOUND if entry == HTTP else answer(200, "welcome")
            return super().get(host, path, at=at, entry=entry)

    assert site(visited(Split(Edge())))["stranger"] == {"value": 200}


def test_where_a_stranger_gets_no_handshake_there_is_no_site_for_it() -> None:
    front = Front(Edge(), stranger=Denied("unrecognized name"))
    assert site(visited(front))["stranger"] == {"value": 404}
    front = Front(Edge(), stranger=Unreachable("reset"))
    assert site(visited(front))["stranger"] == {"error": "reset"}


def test_a_site_that_only_plain_http_leads_to_is_not_there() -> None:
    class Plain(Front):
        def get(
            self, host: str, path: str, *, at: str, entry: EntryPoint = HTTP, **_: Any
        ) -> Answer:
            return NOT_FOUND if entry == HTTPS else super().get(host, path, at=at, entry=entry)

    assert "status 404 over https" in site(visited(Plain(Edge())))["ours"]["error"]


def test_each_page_of_a_declared_site_is_asked_at_each_address() -> None:
    moved = answer(307, location="http://app.example/login?token=secret")
    front = Front(
        Edge(),
        pages={
            f"{SHOP}/health": answer(200, "all is well"),
            f"{SHOP}/old": moved,
            "api.example/user": answer(502, "Bad Gateway"),
            "auth.example/": TOO_MANY,
        },
    )
    well = {"path": "/health", "says": "well"}
    sites = [
        {"host": SHOP, "paths": [well, "/old"]},
        {"host": "api.example", "paths": ["/user"]},
        {"host": "auth.example", "paths": ["/"], "limit_per_min": 30},
        "gone.example",
    ]
    seen = visited(front, scheme="http", sites=sites, addresses=[ADDRESS, DEAD])
    pages = seen["pages"]
    assert len(pages) == 10
    assert pages[f"http://{SHOP}/health at {ADDRESS}"] == {
        "value": {"status": 200, "said": True, "location": ""}
    }
    assert pages[f"http://{SHOP}/old at {ADDRESS}"]["value"] == {
        "status": 307,
        "said": True,
        "location": "http://app.example/login",
    }
    assert pages[f"http://api.example/user at {ADDRESS}"]["value"]["status"] == 502
    assert pages[f"http://auth.example/ at {ADDRESS}"] == {
        "limited": "retry-after: 2, x-retry-in: 1.9s"
    }
    assert pages[f"http://gone.example/healthz at {ADDRESS}"]["value"]["status"] == 404
    assert pages[f"http://{SHOP}/health at {DEAD}"] == {"error": f"{DEAD} does not answer"}


def test_a_limit_on_our_address_is_told_from_a_lost_route() -> None:
    ours = site(visited(Front(Edge(), ours=TOO_MANY)))["ours"]
    assert (ours["limited"], "error" in ours) == ("retry-after: 2, x-retry-in: 1.9s", False)
    stranger = site(visited(Front(Edge(), stranger=TOO_MANY)))["stranger"]
    assert "retry-after: 2" in stranger["limited"]


def test_a_certificate_that_is_not_valid_is_told_from_one_that_was_not_seen() -> None:
    told = {SHOP: Denied("certificate has expired"), "api.example": Unreachable("reset")}
    seen = visited(Front(Edge(), certificates=told), sites=list(told))["declared"]
    assert seen[f"{SHOP} at {ADDRESS}"] == {"denied": "certificate has expired"}
    assert seen[f"api.example at {ADDRESS}"] == {"error": "reset"}


def test_an_address_that_does_not_follow_when_another_one_leads_there_is_not_awaited_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("harness.probes.pods.until", until)
    monkeypatch.setattr("harness.probes.edge._AFTER_ANOTHER_S", 0.1)
    sites = visited(Front(Edge()), addresses=[ADDRESS, DEAD])["sites"]
    assert sites[ADDRESS]["ours"]["value"] == "site"
    assert sites[DEAD]["ours"]["error"] == f"{DEAD} does not answer"
    assert 0.1 < sites[DEAD]["ours"]["took_s"] < 30
