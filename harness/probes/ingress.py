"""The ingress from outside: a site of the harness's own, and those that the profile declares.

The value:

``sites``  address → {"ours": {"value": status, "took_s"}, "body": whose answer it was,
           "stranger": {"value": status}, "certificate": {"value": {"subject", "not_after"}}}, each
           with {"error"} or {"denied"} (the certificate is not valid) instead of "value"
``declared``  "host at address" → the certificate, in the same way
"""

from __future__ import annotations

import base64
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from harness.authority import Authority
from harness.errors import Denied, HarnessError, TransportError, Unreachable
from harness.model import JSON
from harness.probes import pods
from harness.probes.certificates import describe
from harness.settings import Ingress as Declared
from harness.transport import Reach

_NAME = "site"
_ROUTED_WITHIN_S = 60.0
# Whoever has not heard of the site so long after another one had is not late, but wrong.
_AFTER_ANOTHER_S = 15.0
# Reserved by RFC 2606: nobody's name, whatever the name server says.
_DOMAIN = "cutover.example"


class Ingress:
    """Deploys a pod, a service and an Ingress with a certificate of its own authority."""

    name: ClassVar[str] = "ingress"
    within_s: ClassVar[float] = 180.0

    def targets(self, reach: Reach) -> Sequence[str]:
        return [reach.profile.name]

    def observe(self, reach: Reach, target: str) -> JSON:  # noqa: ARG002 (there is but one)
        declared = reach.profile.ingress
        assert declared is not None, "the requirement needs an ingress"
        addresses = [str(address) for address in declared.addresses]
        authority = Authority()
        with pods.namespace(reach.kube) as space:
            host = f"{space}.{_DOMAIN}"
            _deploy(reach, space, host, authority, declared.ingress_class)
            visit = _Visit(reach, host, authority.pem)
            sites = pods.in_each(addresses, visit.at)
        return {
            "sites": {at: _plain(answer) for at, answer in sites.items()},
            "declared": {
                f"{site} at {at}": _certificate(reach, site, at, _authority(declared))
                for site in declared.hosts
                for at in addresses
            },
        }


def _deploy(reach: Reach, space: str, host: str, authority: Authority, ingress_class: str) -> None:
    certificate, key = authority.issue(host)
    reach.kube.apply(_secret(space, certificate, key))
    reach.kube.apply(pods.service(space, _NAME, _NAME))
    reach.kube.apply(_ingress(space, host, ingress_class))
    reach.kube.apply(pods.pod(reach, space, _NAME, reach.profile.machines[0].name, "server"))
    _, late = pods.addresses_when_ready(reach.kube, space, {_NAME: _NAME}, within_s=45.0)
    if late:
        raise Unreachable(f"no pod stands behind the site: {late[_NAME]}")


def _secret(space: str, certificate: str, key: str) -> dict[str, Any]:
    data = {"tls.crt": certificate, "tls.key": key}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/tls",
        "metadata": {"name": _NAME, "namespace": space},
        "data": {name: base64.b64encode(text.encode()).decode() for name, text in data.items()},
    }


def _ingress(space: str, host: str, ingress_class: str) -> dict[str, Any]:
    backend = {"service": {"name": _NAME, "port": {"number": pods.PORT}}}
    paths = [{"path": "/", "pathType": "Prefix", "backend": backend}]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": _NAME, "namespace": space},
        "spec": {
            "ingressClassName": ingress_class,
            "tls": [{"hosts": [host], "secretName": _NAME}],
            "rules": [{"host": host, "http": {"paths": paths}}],
        },
    }


class _Visit:
    """What a visitor sees at one address."""

    def __init__(self, reach: Reach, host: str, authority: str) -> None:
        self._reach = reach
        self._host = host
        self._authority = authority
        self._first = math.inf

    def at(self, address: str) -> Mapping[str, JSON]:
        ours = pods.eventually(lambda: self._ours(address), _ROUTED_WITHIN_S, self._is_wrong)
        return {
            "ours": ours,
            "stranger": _item(lambda: self._status(f"nobody.{_DOMAIN}", address)),
            "certificate": _certificate(self._reach, self._host, address, self._authority),
        }

    def _ours(self, address: str) -> str:
        """Which pod answered, once one does."""
        answer = self._reach.outside.get(self._host, "/", at=address)
        if answer.status != 200:
            raise TransportError(f"status {answer.status}")
        self._first = min(self._first, time.monotonic())
        return answer.body.strip()

    def _is_wrong(self) -> bool:
        """Whether another address has led there for so long that all should."""
        return time.monotonic() > self._first + _AFTER_ANOTHER_S

    def _status(self, host: str, address: str) -> int:
        return self._reach.outside.get(host, "/", at=address).status


def _certificate(reach: Reach, host: str, address: str, authority: str | None) -> JSON:
    try:
        shown = reach.outside.certificate(host, at=address, authority=authority)
    except Denied as error:
        return {"denied": str(error)}
    except HarnessError as error:
        return {"error": str(error)}
    return {"value": describe(shown)}


def _authority(declared: Declared) -> str | None:
    return None if declared.authority is None else declared.authority.read_text(encoding="utf-8")


def _item(look: Callable[[], JSON]) -> JSON:
    try:
        return {"value": look()}
    except HarnessError as error:
        return {"error": str(error)}


def _plain(answer: Mapping[str, JSON] | HarnessError) -> JSON:
    return {"error": str(answer)} if isinstance(answer, HarnessError) else answer
