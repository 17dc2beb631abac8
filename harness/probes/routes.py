"""The route to the harness's own site, of the kind that the ingress uses."""

from __future__ import annotations

import base64

from harness.probes.pods import PORT
from harness.settings import Ingress

# Names a class since before Kubernetes 1.18; Traefik and ingress-nginx still accept it.
_CLASS = "kubernetes.io/ingress.class"
# A Traefik without a class accepts this one too; RKE2's own accepts no route without it.
_TRAEFIK = "traefik"


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


def route(settings: Ingress, space: str, name: str, host: str) -> dict[str, object]:
    """A route from a host to the service of that name; over https with the secret of that name."""
    if settings.kind == "ingressroute":
        return _ingress_route(settings, space, name, host)
    return _ingress(settings, space, name, host)


def _ingress(settings: Ingress, space: str, name: str, host: str) -> dict[str, object]:
    backend = {"service": {"name": name, "port": {"number": PORT}}}
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


def _ingress_route(settings: Ingress, space: str, name: str, host: str) -> dict[str, object]:
    """Traefik's own object; its class is an annotation."""
    annotations = {_CLASS: settings.ingress_class or _TRAEFIK}
    metadata = {"name": name, "namespace": space, "annotations": annotations}
    rule = {
        "kind": "Rule",
        "match": f"Host(`{host}`)",
        "services": [{"name": name, "port": PORT}],
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
