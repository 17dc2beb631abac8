"""The ingress controller: nginx's configuration for any set of Ingress objects."""

from __future__ import annotations

import base64
import re
from typing import Any

from harness.lab.platform.ingress import render

SERVICES: dict[tuple[str, str], Any] = {
    ("shop", "web"): {
        "spec": {
            "clusterIP": "10.43.0.9",
            "ports": [{"port": 80}, {"port": 8072, "name": "chat"}],
        }
    },
    ("shop", "headless"): {"spec": {"clusterIP": "None", "ports": [{"port": 80}]}},
}


def backend(service: str = "web", **port: Any) -> dict[str, Any]:
    return {"service": {"name": service, "port": port or {"number": 80}}}


def ingress(
    *paths: tuple[str, str, Any], host: str = "a.example", made: str = "1", **spec: Any
) -> dict[str, Any]:
    listed = [{"path": path, "pathType": kind, "backend": to} for path, kind, to in paths]
    rule: dict[str, Any] = {"http": {"paths": listed}}
    if host:
        rule["host"] = host
    return {
        "metadata": {"creationTimestamp": made},
        "spec": {"ingressClassName": "lab", "rules": [rule], **spec},
    }


def servers(*ingresses: Any, secrets: Any = None) -> dict[str, str]:
    """nginx's servers, by name; names of the objects do not matter here."""
    objects = {("shop", f"i{n}"): one for n, one in enumerate(ingresses)}
    text = render(objects, SERVICES, secrets or {})["sites.conf"]
    blocks = re.findall(r"^server \{.*?^\}", text, flags=re.DOTALL | re.MULTILINE)
    found = {re.search(r'server_name "(.*?)"', block): block for block in blocks}
    return {name[1]: block for name, block in found.items() if name}


def test_a_host_nobody_named_gets_404() -> None:
    assert "location / { return 404; }" in servers()[""]
    assert "default_server" in servers()[""]


def test_a_host_rule_leads_to_its_service() -> None:
    block = servers(ingress(("/", "Prefix", backend())))["a.example"]
    assert "location / { proxy_pass http://10.43.0.9:80; }" in block
    assert "default_server" not in block


def test_a_prefix_covers_what_is_below_it_and_nothing_longer() -> None:
    block = servers(ingress(("/chat", "Prefix", backend(name="chat"))))["a.example"]
    assert 'location = "/chat" { proxy_pass http://10.43.0.9:8072; }' in block
    assert 'location "/chat/" { proxy_pass http://10.43.0.9:8072; }' in block
    assert "location / { return 404; }" in block


def test_an_exact_path_covers_itself_alone() -> None:
    block = servers(ingress(("/health", "Exact", backend())))["a.example"]
    assert 'location = "/health"' in block
    assert 'location "/health/"' not in block


def test_a_service_that_cannot_answer_gives_503() -> None:
    for missing in (backend("gone"), backend("headless"), backend("web", number=81)):
        assert "return 503;" in servers(ingress(("/", "Prefix", missing)))["a.example"]


def test_of_two_that_claim_one_place_the_older_wins() -> None:
    older = ingress(("/", "Prefix", backend()), made="2026-01-01T00:00:00Z")
    newer = ingress(("/", "Prefix", backend("gone")), made="2026-02-01T00:00:00Z")
    for order in ((older, newer), (newer, older)):
        assert "proxy_pass" in servers(*order)["a.example"]


def test_a_certificate_is_written_beside_and_used() -> None:
    secret = {"data": {"tls.crt": base64.b64encode(b"C"), "tls.key": base64.b64encode(b"K")}}
    one = ingress(
        ("/", "Prefix", backend()), tls=[{"hosts": ["a.example"], "secretName": "certificate"}]
    )
    files = render({("shop", "i"): one}, SERVICES, {("shop", "certificate"): secret})
    assert files["shop.certificate.crt"] == "C"
    assert files["shop.certificate.key"] == "K"
    assert "listen 443 ssl;" in files["sites.conf"]
    assert "ssl_certificate shop.certificate.crt;" in files["sites.conf"]


def test_a_certificate_that_is_not_there_leaves_plain_http() -> None:
    one = ingress(("/", "Prefix", backend()), tls=[{"hosts": ["a.example"], "secretName": "no"}])
    assert "listen 443" not in servers(one)["a.example"]


def test_a_rule_without_a_host_answers_for_every_host() -> None:
    assert "proxy_pass" in servers(ingress(("/", "Prefix", backend()), host=""))[""]


def test_the_same_objects_give_the_same_text() -> None:
    one, two = ingress(("/", "Prefix", backend())), ingress(("/", "Prefix", backend()), host="b.c")
    objects = {("shop", "one"): one, ("shop", "two"): two}
    again = dict(reversed(objects.items()))
    assert render(objects, SERVICES, {}) == render(again, SERVICES, {})
