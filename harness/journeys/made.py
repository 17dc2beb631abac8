"""What a step of a journey made in the cluster: a workload, its claims, and the way to it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from fnmatch import fnmatchcase
from functools import partial
from urllib.parse import quote

from harness.core.errors import Garbled, NotFound, NotProven
from harness.core.names import Names
from harness.facts.journeys import Claim, Made
from harness.facts.schema import Item, attempt
from harness.journeys.inventory import Thing
from harness.settings.journeys import MadeObjects
from harness.transport import Kube
from harness.transport.objects import (
    count,
    is_ready,
    listed,
    matches,
    must,
    part,
    quantity,
    text,
    texts,
    words,
)

_KIB = 1024
_QUOTA = """
import os, sys
try:
    print(int(os.getxattr(sys.argv[1], "ceph.quota.max_bytes")))
except OSError:
    seen = os.statvfs(sys.argv[1])
    print(seen.f_frsize * seen.f_blocks)
"""
# Of a rule of Traefik's; not !Host(…), which is every other host.
_HOST_RULE = re.compile(r"(?<!!)\bHost\(([^)]*)\)")
_QUOTED = re.compile('[`"]([^`"]+)[`"]')


def made(kube: Kube, declared: MadeObjects, names: Names, before: frozenset[Thing]) -> Made:
    """What the cluster shows of it now; TransportError if it cannot be asked."""
    space = declared.namespace
    pattern = names.pattern(declared.name)
    old = {it.words for it in before}
    path = f"/apis/apps/v1/namespaces/{space}/{declared.kind.lower()}s"
    found = {
        name: it
        for it in listed(kube.get(path), "items")
        for name in [must(it, "metadata", "name")]
        if fnmatchcase(name, pattern) and f"{declared.kind} {space}/{name}" not in old
    }
    host = None if declared.host is None else names.text(declared.host)
    if len(found) != 1:
        return Made(tuple(sorted(found)), host)
    (item,) = found.values()
    labels = texts(item, "spec", "template", "metadata", "labels")
    services = tuple(_services(kube, space, labels))
    return Made(
        workloads=tuple(found),
        host=host,
        wanted=count(item, "spec", "replicas", default=1),
        ready=count(item, "status", "readyReplicas"),
        services=services,
        hosts=tuple(sorted(_hosts(kube, space, services))),
        claims=_claims(kube, space, texts(item, "spec", "selector", "matchLabels")),
    )


def _services(kube: Kube, space: str, labels: Mapping[str, str]) -> Iterator[str]:
    """The Services that select pods of these labels."""
    for it in listed(kube.get(f"/api/v1/namespaces/{space}/services"), "items"):
        selector = texts(it, "spec", "selector")
        if selector and matches({"matchLabels": selector}, labels):
            yield must(it, "metadata", "name")


def _hosts(kube: Kube, space: str, services: Collection[str]) -> Iterator[str]:
    """The hosts of Ingresses and IngressRoutes that lead to one of these Services."""
    path = f"/apis/networking.k8s.io/v1/namespaces/{space}/ingresses"
    for rule in _of_each(kube.get(path), "rules"):
        paths = listed(rule, "http", "paths")
        host = text(rule, "host")
        if host and any(text(it, "backend", "service", "name") in services for it in paths):
            yield host
    try:
        routes = kube.get(f"/apis/traefik.io/v1alpha1/namespaces/{space}/ingressroutes")
    except NotFound:
        return
    for route in _of_each(routes, "routes"):
        if any(text(it, "name") in services for it in listed(route, "services")):
            for hosts in _HOST_RULE.findall(text(route, "match") or ""):
                yield from _QUOTED.findall(hosts)


def _of_each(items: object, key: str) -> Iterator[object]:
    for item in listed(items, "items"):
        yield from listed(item, "spec", key)


def _claims(kube: Kube, space: str, labels: Mapping[str, str]) -> dict[str, Item[Claim]]:
    """The claims of the first ready pod of these labels, by name."""
    selector = quote(",".join(f"{key}={value}" for key, value in labels.items()), safe="")
    path = f"/api/v1/namespaces/{space}/pods?labelSelector={selector}"
    pods = [it for it in listed(kube.get(path), "items") if is_ready(part(it, "status"))]
    if not pods:
        return {}
    folders = dict(_folders(pods[0]))
    pod = must(pods[0], "metadata", "name")
    return {
        claim: attempt(partial(_claim, kube, space, claim, pod, folder))
        for claim, folder in folders.items()
    }


def _folders(pod: object) -> Iterator[tuple[str, str]]:
    """Each claim of a pod, and the folder at which its first container has it."""
    container = next(iter(listed(pod, "spec", "containers")), None)
    mounts = {must(it, "name"): must(it, "mountPath") for it in listed(container, "volumeMounts")}
    for volume in listed(pod, "spec", "volumes"):
        claim = text(volume, "persistentVolumeClaim", "claimName")
        if claim is not None:
            yield claim, mounts.get(must(volume, "name"), "")


def _claim(kube: Kube, space: str, name: str, pod: str, folder: str) -> Claim:
    item = kube.get(f"/api/v1/namespaces/{space}/persistentvolumeclaims/{name}")
    volume = text(item, "spec", "volumeName") or ""
    phase = ""
    if volume:
        phase = text(kube.get(f"/api/v1/persistentvolumes/{volume}"), "status", "phase") or ""
    return Claim(
        requested_bytes=quantity(must(item, "spec", "resources", "requests", "storage")),
        access_modes=tuple(words(item, "spec", "accessModes")),
        storage_class=text(item, "spec", "storageClassName") or "",
        phase=text(item, "status", "phase") or "",
        volume=volume,
        volume_phase=phase,
        room_bytes=attempt(partial(_room, kube, space, pod, folder)),
    )


def _room(kube: Kube, space: str, pod: str, folder: str) -> int:
    """The size of the file system at a folder, as a pod sees it, in bytes.

    CephFS says the quota of a folder as its attribute. Its kernel client says it as the size too,
    in whole 4 MiB: enough where the pod has no python3.
    """
    if not folder:
        raise NotProven(f"the first container of {pod} does not mount it")
    done = kube.exec(space, pod, ("python3", "-c", _QUOTA, folder))
    if done.status == 0 and done.stdout.strip().isdecimal():
        return int(done.stdout)
    done = kube.exec(space, pod, ("df", "-P", "-k", folder))
    found = done.stdout.splitlines()
    if done.status != 0 or len(found) != 2 or len(found[1].split()) < 6:
        raise Garbled(f"{pod}: df -P -k {folder} ended with {done.status}: {done.stdout[-200:]!r}")
    return int(found[1].split()[1]) * _KIB
