"""What a profile says of the ingress: kinds of routes, schemes and sites, and nothing odd."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from harness.core.declared import IngressPage
from harness.settings import Ingress

PLAIN: dict[str, Any] = {"addresses": ["10.0.0.200"], "ingress_class": "traefik"}
hosts = st.from_regex(r"[a-z0-9]{1,20}(\.[a-z0-9]{1,20}){0,3}", fullmatch=True)
paths = st.from_regex(r"/[a-z0-9/_-]{0,20}", fullmatch=True)


def ingress(**more: Any) -> Ingress:
    return Ingress.model_validate({**PLAIN, **more})


@given(st.lists(hosts, max_size=5, unique=True), st.lists(paths, max_size=3))
def test_a_plain_host_is_asked_for_the_paths_of_all(names: list[str], asked: list[str]) -> None:
    pages = ingress(sites=names, paths=asked).declared().pages
    assert [(it.host, it.path) for it in pages] == [
        (host, path) for host in names for path in asked or ["/healthz"]
    ]
    assert {(it.status, it.says) for it in pages} <= {(None, "")}


def test_a_site_has_paths_statuses_and_words_of_its_own() -> None:
    own = {"path": "/health", "status": 307, "says": "moved"}
    sites = [{"host": "a.example", "paths": [own, "/"], "limit_per_min": 30}, "b.example"]
    known = ingress(sites=sites, paths=["/all"]).declared()
    assert known.pages == (
        IngressPage(host="a.example", path="/health", status=307, says="moved"),
        IngressPage(host="a.example", path="/"),
        IngressPage(host="b.example", path="/all"),
    )
    assert known.limits == {"a.example": 30}


@pytest.mark.parametrize(
    ("more", "url", "entry_point"),
    [
        ({}, "https://a.example/", "websecure"),
        ({"scheme": "http"}, "http://a.example/", "web"),
        ({"scheme": "http", "port": 8000}, "http://a.example:8000/", "web"),
        ({"scheme": "https", "port": 80}, "https://a.example:80/", "websecure"),
        ({"kind": "ingressroute", "entry_point": "public"}, "https://a.example/", "public"),
    ],
)
def test_the_scheme_says_which_port_and_which_entry_point(
    more: dict[str, Any], url: str, entry_point: str
) -> None:
    declared = ingress(sites=["a.example"], paths=["/"], **more)
    known = declared.declared()
    assert known.at(known.pages[0], "10.0.0.200") == f"{url} at 10.0.0.200"
    assert declared.traefik_entry_point == entry_point


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"ingress_class": ""}, "needs `ingress_class:`"),
        ({"kind": "annotation", "ingress_class": ""}, "kind annotation needs"),
        ({"kind": "gateway"}, "ingressroute"),
        ({"scheme": "tls"}, "https"),
        ({"port": 0}, "greater than or equal to 1"),
        ({"entry_point": "web"}, "ingressroute alone"),
        ({"sites": ["a.example", {"host": "a.example"}]}, "two sites have the same host"),
        ({"sites": ["A.example"]}, "pattern"),
        ({"sites": [{"host": "a.example", "path": "/"}]}, "Extra inputs"),
        ({"sites": [{"host": "a.example", "paths": ["health"]}]}, "pattern"),
        ({"sites": [{"host": "a.example", "paths": [{"path": "/", "status": 42}]}]}, "100"),
        ({"sites": [{"host": "a.example", "limit_per_min": 0}]}, "greater than 0"),
    ],
)
def test_what_cannot_be_meant_is_refused(more: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        ingress(**more)


def test_a_traefik_of_the_crd_provider_alone_needs_no_class() -> None:
    assert ingress(kind="ingressroute", ingress_class="").ingress_class == ""
