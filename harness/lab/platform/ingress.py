"""Ingress controller of class lab: writes nginx's configuration from the API's objects.

Runs under kopf beside each nginx, in the same pod. Every second it computes the required
configuration. If that differs from the current one, it is tested, installed and loaded.
"""

from __future__ import annotations

import base64
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import kopf

CONTROLLER = "cutover.lab/nginx"
HOME = Path("/run/ingress")
LIVE, NEXT = HOME / "live", HOME / "next"
NGINX = ("nginx", "-c", "nginx.conf", "-p")
# Matches every host without a server of its own.
ANY_HOST = ""

Object = Mapping[str, Any]
Objects = Mapping[tuple[str, str], Object]  # by namespace and name
Index = kopf.Index[tuple[str, str], Object]


@dataclass
class Site:
    """One host: its locations (in nginx's syntax) with their backends, and its certificate."""

    locations: dict[str, str] = field(default_factory=dict)
    certificate: str = ""


def render(ingresses: Objects, services: Objects, secrets: Objects) -> dict[str, str]:
    """Every file that nginx reads beside nginx.conf: its name → its text."""
    sites: dict[str, Site] = {ANY_HOST: Site()}
    files: dict[str, str] = {}
    # If two objects claim the same path, the older one wins.
    for (namespace, _), ingress in sorted(ingresses.items(), key=_age):
        for host, location, backend in _routes(ingress["spec"]):
            target = _upstream(namespace, backend, services)
            sites.setdefault(host, Site()).locations.setdefault(location, target)
        for tls in ingress["spec"].get("tls", ()):
            secret = secrets.get((namespace, tls.get("secretName", "")))
            if secret is None:
                continue
            name = f"{namespace}.{tls['secretName']}"
            for suffix, key in ((".crt", "tls.crt"), (".key", "tls.key")):
                files[name + suffix] = base64.b64decode(secret["data"][key]).decode()
            for host in tls.get("hosts", ()):
                site = sites.setdefault(host, Site())
                site.certificate = site.certificate or name
    files["sites.conf"] = "".join(_server(host, sites[host]) for host in sorted(sites))
    return files


def _age(item: tuple[tuple[str, str], Object]) -> tuple[str, tuple[str, str]]:
    return item[1]["metadata"].get("creationTimestamp", ""), item[0]


def _routes(spec: Object) -> Iterator[tuple[str, str, Object]]:
    """(host, nginx's location, backend) of every path of an Ingress."""
    for rule in spec.get("rules", ()):
        for path in rule.get("http", {}).get("paths", ()):
            for location in _locations(path.get("path", "/"), path["pathType"]):
                yield rule.get("host", ANY_HOST), location, path["backend"]
    if "defaultBackend" in spec:
        yield ANY_HOST, "/", spec["defaultBackend"]


def _locations(path: str, kind: str) -> tuple[str, ...]:
    if kind == "Exact":
        return (f'= "{path}"',)
    # A prefix ends at a slash: /shop covers /shop and /shop/1, not /shopping.
    bare = path.rstrip("/")
    return (f'= "{bare}"', f'"{bare}/"') if bare else ("/",)


def _upstream(namespace: str, backend: Object, services: Objects) -> str:
    """The address of a backend; empty when no pod could answer."""
    wanted = backend.get("service", {})
    service = services.get((namespace, wanted.get("name", "")))
    if service is None or service["spec"].get("clusterIP", "None") in ("", "None"):
        return ""
    port = wanted.get("port", {})
    for offered in service["spec"].get("ports", ()):
        if port.get("number") == offered["port"] or port.get("name", "") == offered.get("name"):
            return f"http://{service['spec']['clusterIP']}:{offered['port']}"
    return ""


def _server(host: str, site: Site) -> str:
    """nginx's server for a host."""
    other = " default_server" if host == ANY_HOST else ""
    lines = [f"listen 80{other};", f'server_name "{host}";']
    if site.certificate:
        lines.append(f"listen 443 ssl{other};")
        lines.append(f"ssl_certificate {site.certificate}.crt;")
        lines.append(f"ssl_certificate_key {site.certificate}.key;")
    elif host == ANY_HOST:
        lines += [f"listen 443 ssl{other};", "ssl_reject_handshake on;"]
    for location, target in sorted(site.locations.items()):
        action = f"proxy_pass {target};" if target else "return 503;"
        lines.append(f"location {location} {{ {action} }}")
    if "/" not in site.locations:
        lines.append("location / { return 404; }")
    return "\n    ".join(("server {", *lines)) + "\n}\n"


def load(files: Mapping[str, str]) -> None:
    """Test a configuration, install it and tell nginx; kopf.TemporaryError when it is wrong.

    A configuration that fails the test changes nothing: nginx keeps its present one.
    """
    shutil.rmtree(NEXT, ignore_errors=True)
    NEXT.mkdir()
    shutil.copy(LIVE / "nginx.conf", NEXT)
    for name, text in files.items():
        (NEXT / name).write_text(text)
    _run([*NGINX, f"{NEXT}/", "-t"])
    for name in files:
        shutil.copy(NEXT / name, LIVE / name)
    _run([*NGINX, f"{LIVE}/", "-s", "reload"])


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    if done.returncode != 0:
        raise kopf.TemporaryError(f"{' '.join(command)}: {done.stderr.strip()}", delay=1)


@kopf.on.startup()
def configure(settings: kopf.OperatorSettings, **_: Any) -> None:
    """Notice within seconds that an API server disappeared."""
    settings.posting.enabled = False
    settings.watching.server_timeout = 20
    settings.watching.client_timeout = 25
    settings.watching.connect_timeout = 5


@kopf.index("ingresses", field="spec.ingressClassName", value=kopf.PRESENT)
def ingresses(namespace: str | None, name: str, body: kopf.Body, **_: Any) -> dict[Any, Object]:
    return {(namespace, name): body}


@kopf.index("services")
def services(namespace: str | None, name: str, body: kopf.Body, **_: Any) -> dict[Any, Object]:
    return {(namespace, name): body}


@kopf.index("secrets", field="type", value="kubernetes.io/tls")
def secrets(namespace: str | None, name: str, body: kopf.Body, **_: Any) -> dict[Any, Object]:
    return {(namespace, name): body}


@kopf.timer("ingressclasses", interval=1, field="spec.controller", value=CONTROLLER)
def route(name: str, memo: Any, **seen: Any) -> None:
    """Bring nginx to the API's state, if it differs."""
    everyones = _latest(seen["ingresses"])
    own = {key: one for key, one in everyones.items() if one["spec"]["ingressClassName"] == name}
    files = render(own, _latest(seen["services"]), _latest(seen["secrets"]))
    if files != memo.get("loaded"):
        load(files)
        memo["loaded"] = files


def _latest(index: Index) -> dict[tuple[str, str], Object]:
    return {key: value for key in index for value in index[key]}
