"""The edge of the cluster, from outside: sites behind the ingress, and a load balancer's address.

The ingress serves a site of the harness's own, by a route of the declared kind, and the sites that
the profile declares.
"""

from __future__ import annotations

import base64
import contextlib
import math
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar, TypeVar
from urllib.parse import urlsplit

from harness.core.declared import IngressDeclared, IngressPage
from harness.core.errors import Denied, HarnessError, TimedOut, TransportError, Unreachable
from harness.core.model import JSON
from harness.core.parallel import in_each
from harness.core.waiting import until
from harness.facts.edge import (
    INGRESS,
    LOAD_BALANCER,
    TOO_MANY,
    Balanced,
    Invalid,
    Limited,
    Page,
    Site,
    Sites,
    stated_limit,
)
from harness.facts.kubernetes import Certificate
from harness.facts.schema import Answered, Failed, Known, Unknown, attempt, dump
from harness.probes import pods
from harness.probes.certificates import Authority, describe
from harness.probes.probe import Timing
from harness.settings import Ingress as Declared
from harness.transport import HTTP, HTTPS, Answer, EntryPoint, Reach
from harness.transport.objects import listed, text

T = TypeVar("T")

# Names a class since before Kubernetes 1.18; Traefik and ingress-nginx still accept it.
_CLASS = "kubernetes.io/ingress.class"
# A Traefik without a class accepts this one too; RKE2's own accepts no route without it.
_TRAEFIK = "traefik"
_NAME = "site"
_ROUTED_WITHIN_S = 60.0
# If one address serves the site and another still does not after this long, that is a failure.
_AFTER_ANOTHER_S = 15.0
# Declared sites belong to customers: the probe asks for few pages at a time.
_PAGES_AT_ONCE = 8
# Reserved by RFC 2606: no site of a customer has this name.
_DOMAIN = "cutover.example"
_GIVEN_WITHIN_S = 60.0
_ANSWERS_WITHIN_S = 20.0
_BALANCED = "balanced"


class Ingress:
    """Deploys a pod, a service and a route with a certificate of the harness's authority."""

    name: ClassVar[str] = INGRESS.name
    sentence: ClassVar[str] = "a new site and the declared ones, visited from outside"
    timing: ClassVar[Timing] = Timing.WHEN_ASKED
    within_s: ClassVar[float] = 180.0

    def targets(self, reach: Reach) -> Sequence[str]:
        return [reach.profile.name]

    def observe(self, reach: Reach, target: str) -> JSON:
        settings = reach.profile.ingress
        assert settings is not None, "the requirement needs an ingress"
        known = settings.declared()
        authority = Authority()
        with pods.namespace(reach.kube) as space:
            host = f"{space}.{_DOMAIN}"
            _deploy(reach, space, host, authority, settings)
            visit = _Visit(reach, settings, host, authority.pem)
            sites = in_each(known.addresses, visit.at)
        asked = {
            known.at(page, address): (page, address)
            for page in known.pages
            for address in known.addresses
        }
        pages = in_each(
            asked, lambda name: _page(reach, known, *asked[name]), at_once=_PAGES_AT_ONCE
        )
        seen = Sites(
            sites={at: _or_unknown(answer) for at, answer in sites.items()},
            pages={name: _or_unknown(answer) for name, answer in pages.items()},
            declared={
                f"{site} at {at}": _certificate(reach, known, site, at, _authority(settings))
                for site in settings.hosts
                for at in known.addresses
                if settings.scheme == "https"
            },
        )
        return dump(seen)


def _deploy(reach: Reach, space: str, host: str, authority: Authority, settings: Declared) -> None:
    reach.kube.apply(pods.service(space, _NAME, _NAME))
    if settings.scheme == "https":
        reach.kube.apply(secret(space, _NAME, *authority.issue(host)))
    reach.kube.apply(route(settings, space, _NAME, host))
    reach.kube.apply(pods.pod(reach, space, _NAME, reach.profile.machines[0].name, "server"))
    _, late = pods.addresses_when_ready(reach.kube, space, {_NAME: _NAME}, within_s=45.0)
    if late:
        raise Unreachable(f"no pod is ready for the site: {late[_NAME]}")


class _Visit:
    """What a visitor sees at one address."""

    def __init__(self, reach: Reach, settings: Declared, host: str, authority: str) -> None:
        self._reach = reach
        self._known = settings.declared()
        self._entries = _entries(settings, self._known)
        self._host = host
        self._authority = authority
        self._first = math.inf

    def at(self, address: str) -> Site:
        ours = pods.eventually(lambda: self._ours(address), _ROUTED_WITHIN_S, self._is_wrong)
        stranger = attempt(lambda: self._stranger(address))
        return Site(
            ours=_visit(ours),
            stranger=_unfolded(stranger),
            certificate=_certificate(self._reach, self._known, self._host, address, self._authority)
            if self._known.scheme == "https"
            else None,
        )

    def _ours(self, address: str) -> str | Limited:
        """The pod that answered, once every entry point answers."""
        for entry in self._entries:
            answer = self._followed(self._host, address, entry)
            if answer.status == TOO_MANY:
                return Limited(stated_limit(answer.headers))
            if answer.status != 200:
                raise TransportError(f"status {answer.status} over {entry.scheme}")
            if (body := answer.body.strip()) != _NAME:
                return body
        self._first = min(self._first, time.monotonic())
        return _NAME

    def _is_wrong(self) -> bool:
        """True if another address has served the site for so long that this one should too."""
        return time.monotonic() > self._first + _AFTER_ANOTHER_S

    def _stranger(self, address: str) -> int | Limited:
        """The status for a host without a route; the first that is not 404."""
        for entry in self._entries:
            try:
                answer = self._followed(f"stranger.{_DOMAIN}", address, entry)
            except Denied:
                continue  # a host without a certificate has no site
            if answer.status == TOO_MANY:
                return Limited(stated_limit(answer.headers))
            if answer.status != 404:
                return answer.status
        return 404

    def _followed(self, host: str, address: str, entry: EntryPoint) -> Answer:
        """The answer for a host, after the redirect to https that many ingresses send.

        Traefik's entry point redirects every host, known or not; ingress-nginx redirects every host
        with a certificate.
        """
        answer = self._reach.outside.get(host, "/", at=address, entry=entry)
        secure = _secure(answer, host)
        if entry.scheme == "https" or self._known.scheme == "http" or secure is None:
            return answer
        return self._reach.outside.get(host, "/", at=address, entry=secure)


def _entries(settings: Declared, known: IngressDeclared) -> Sequence[EntryPoint]:
    """The entry points at which the harness's own site must answer.

    An Ingress also answers over plain HTTP, at least with a redirect to https. An IngressRoute with
    a certificate answers only at its own entry point.
    """
    declared = EntryPoint(known.scheme, known.port)
    plain = declared == HTTPS and settings.kind != "ingressroute"
    return (HTTP, declared) if plain else (declared,)


def _secure(answer: Answer, host: str) -> EntryPoint | None:
    """The target of a redirect, if that is the same host over https."""
    if not 300 <= answer.status < 400:
        return None
    try:
        to = urlsplit(answer.headers.get("location", ""))
        port = to.port or HTTPS.port
    except ValueError:
        return None
    return EntryPoint("https", port) if (to.scheme, to.hostname) == ("https", host) else None


def _page(
    reach: Reach, known: IngressDeclared, page: IngressPage, address: str
) -> Known[Page] | Limited:
    entry = EntryPoint(known.scheme, known.port)
    answer = reach.outside.get(page.host, page.path, at=address, entry=entry)
    if answer.status == TOO_MANY != page.status:
        return Limited(stated_limit(answer.headers))
    # A query string may hold a secret.
    location = answer.headers.get("location", "").partition("?")[0]
    said = page.says in answer.body
    return Known(Page(answer.status, said, location))


def _certificate(
    reach: Reach, known: IngressDeclared, host: str, address: str, authority: str | None
) -> Known[Certificate] | Unknown | Invalid:
    try:
        shown = reach.outside.certificate(host, at=address, port=known.port, authority=authority)
    except Denied as error:
        return Invalid(str(error))
    except HarnessError as error:
        return Unknown(str(error))
    return Known(describe(shown))


def _authority(declared: Declared) -> str | None:
    return None if declared.authority is None else declared.authority.read_text(encoding="utf-8")


def _visit(found: Answered[str | Limited] | Failed) -> Answered[str] | Failed | Limited:
    if isinstance(found, Failed):
        return found
    if isinstance(found.value, Limited):
        return replace(found.value, took_s=found.took_s)
    return Answered(found.value, found.took_s)


def _unfolded(found: Known[int | Limited] | Unknown) -> Known[int] | Unknown | Limited:
    if isinstance(found, Unknown):
        return found
    return found.value if isinstance(found.value, Limited) else Known(found.value)


def _or_unknown(answer: T | HarnessError) -> T | Unknown:
    return Unknown(str(answer)) if isinstance(answer, HarnessError) else answer


class LoadBalancer:
    """Deploys a pod with a LoadBalancer service, and talks to it from outside."""

    name: ClassVar[str] = LOAD_BALANCER.name
    sentence: ClassVar[str] = "a service that asks for an outside address"
    timing: ClassVar[Timing] = Timing.ALONE
    within_s: ClassVar[float] = 150.0

    def targets(self, reach: Reach) -> Sequence[str]:
        return [reach.profile.name]

    def observe(self, reach: Reach, target: str) -> JSON:
        taken = _addresses_taken(reach.kube.get("/api/v1/services"))
        with pods.namespace(reach.kube) as space:
            reach.kube.apply(_balanced(space))
            began = time.monotonic()
            machine = reach.profile.machines[0].name
            reach.kube.apply(pods.pod(reach, space, _BALANCED, machine, "server"))
            address = _given(reach, space)
            after_s = round(time.monotonic() - began, 1)
            said = pods.warnings(reach.kube, space).get(_BALANCED, "")
            if address is None:
                return dump(Balanced(None, None, said, answer=None, taken=taken))
            _, late = pods.addresses_when_ready(
                reach.kube, space, {_BALANCED: _BALANCED}, within_s=45.0
            )
            if late:
                raise Unreachable(f"no pod is ready for the service: {late[_BALANCED]}")
            answer = pods.eventually(lambda: _talk(reach, address), _ANSWERS_WITHIN_S)
        return dump(Balanced(address, after_s, said, answer, taken))


def _addresses_taken(services: object) -> tuple[str, ...]:
    """The outside addresses that services have; several may share one."""
    given = {
        text(entry, "ip")
        for item in listed(services, "items")
        for entry in listed(item, "status", "loadBalancer", "ingress")
    }
    return tuple(sorted(filter(None, given)))


def _balanced(space: str) -> dict[str, object]:
    # Otherwise it opens a port on every machine, which the scan of open ports then finds.
    only = {"type": "LoadBalancer", "allocateLoadBalancerNodePorts": False}
    return pods.service(space, _BALANCED, _BALANCED, **only)


def _given(reach: Reach, space: str) -> str | None:
    """The address that the service is given in time."""

    def look() -> str:
        service = reach.kube.get(f"/api/v1/namespaces/{space}/services/{_BALANCED}")
        given = listed(service, "status", "loadBalancer", "ingress")
        return (text(given[0], "ip") or "") if given else ""

    with contextlib.suppress(TimedOut):
        return until(look, within_s=_GIVEN_WITHIN_S, what="an address for the service")
    return None


def _talk(reach: Reach, address: str) -> str:
    said = reach.outside.exchange(address, pods.PORT, b"N").decode(errors="replace")
    if said != _BALANCED:
        raise TransportError(f"another program answers at {address}: {said[:80]!r}")
    return said


def secret(space: str, name: str, certificate: str, key: str) -> dict[str, object]:
    """A certificate and its key (PEM) for a route of that name."""
    data = {"tls.crt": certificate, "tls.key": key}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/tls",
        "metadata": {"name": name, "namespace": space},
        "data": {key: base64.b64encode(text.encode()).decode() for key, text in data.items()},
    }


def route(settings: Declared, space: str, name: str, host: str) -> dict[str, object]:
    """A route from a host to the service of that name; over https with the secret of that name."""
    if settings.kind == "ingressroute":
        return _ingress_route(settings, space, name, host)
    return _ingress(settings, space, name, host)


def _ingress(settings: Declared, space: str, name: str, host: str) -> dict[str, object]:
    backend = {"service": {"name": name, "port": {"number": pods.PORT}}}
    paths = [{"path": "/", "pathType": "Prefix", "backend": backend}]
    spec: dict[str, object] = {"rules": [{"host": host, "http": {"paths": paths}}]}
    metadata: dict[str, object] = {"name": name, "namespace": space}
    if settings.kind == "annotation":
        metadata["annotations"] = {_CLASS: settings.ingress_class}
    else:
        spec["ingressClassName"] = settings.ingress_class
    if settings.scheme == "https":
        spec["tls"] = [{"hosts": [host], "secretName": name}]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": metadata,
        "spec": spec,
    }


def _ingress_route(settings: Declared, space: str, name: str, host: str) -> dict[str, object]:
    """Traefik's own object; its class is an annotation."""
    annotations = {_CLASS: settings.ingress_class or _TRAEFIK}
    metadata = {"name": name, "namespace": space, "annotations": annotations}
    rule = {
        "kind": "Rule",
        "match": f"Host(`{host}`)",
        "services": [{"name": name, "port": pods.PORT}],
    }
    spec: dict[str, object] = {"entryPoints": [settings.traefik_entry_point], "routes": [rule]}
    if settings.scheme == "https":
        spec["tls"] = {"secretName": name}
    return {
        "apiVersion": "traefik.io/v1alpha1",
        "kind": "IngressRoute",
        "metadata": metadata,
        "spec": spec,
    }
