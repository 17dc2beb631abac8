"""The services of the platform on Kubernetes, and what they registered elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import ClassVar
from urllib.parse import quote

from harness.core.errors import NotFound, NotProven
from harness.core.model import JSON
from harness.core.parallel import in_each
from harness.facts.schema import attempt, dump
from harness.facts.services import REGISTRATIONS, SERVICES, Service
from harness.probes.probe import Timing
from harness.settings.services import Registration
from harness.settings.services import Services as Declared
from harness.transport import Kube, Reach
from harness.transport.objects import is_ready, listed, must, must_count, part, text

_WITHIN_S = 20.0


def declared_services(reach: Reach) -> Declared:
    """The services of the profile; NotProven without any."""
    if reach.profile.services is None:
        raise NotProven("the profile declares no services", remedy="declare `services:`")
    return reach.profile.services


class Services:
    """Reads each declared Service and its EndpointSlices."""

    name: ClassVar[str] = SERVICES.name
    sentence: ClassVar[str] = "every service that others call"
    timing: ClassVar[Timing] = Timing.AT_START
    within_s: ClassVar[float] = 60.0

    def targets(self, reach: Reach) -> Sequence[str]:
        return [reach.profile.name]

    def observe(self, reach: Reach, target: str) -> JSON:
        declared = declared_services(reach)
        names = dict.fromkeys(it.name for it in declared.declared())
        look = partial(_service, reach.kube, declared.namespace)
        return dump(in_each(names, lambda name: attempt(partial(look, name))))


def _service(kube: Kube, space: str, name: str) -> Service | None:
    """A Service as its callers meet it; None when the API has none of that name."""
    slices = f"/apis/discovery.k8s.io/v1/namespaces/{space}/endpointslices"
    try:
        item = kube.get(f"/api/v1/namespaces/{space}/services/{name}")
    except NotFound:
        return None
    return _described(
        item, kube.get(f"{slices}?labelSelector=kubernetes.io%2Fservice-name%3D{name}")
    )


def _described(item: object, slices: object) -> Service:
    headless = text(item, "spec", "clusterIP") == "None"
    named = {text(it, "name") or "": it for it in _tcp(listed(item, "spec", "ports"))}
    # A port without a ready address counts too: it is there, with 0.
    ready = {} if headless else {must_count(it, "port"): 0 for it in named.values()}
    for one in listed(slices, "items"):
        # The API leaves out ``ready`` when it does not know: clients take that as true.
        addresses = sum(
            len(listed(it, "addresses"))
            for it in listed(one, "endpoints")
            if part(it, "conditions").get("ready") is not False
        )
        for port in _tcp(listed(one, "ports")):
            of_service = named.get(text(port, "name") or "")
            if headless:
                number = must_count(port, "port")
            elif of_service is not None:
                number = must_count(of_service, "port")
            else:
                continue
            ready[number] = ready.get(number, 0) + addresses
    return Service(type=text(item, "spec", "type") or "ClusterIP", ready=ready)


def _tcp(ports: Sequence[object]) -> list[object]:
    return [it for it in ports if (text(it, "protocol") or "TCP") == "TCP"]


class Registrations:
    """Runs each declared command in a pod and returns the lines that it prints."""

    name: ClassVar[str] = REGISTRATIONS.name
    sentence: ClassVar[str] = "what services have registered elsewhere"
    timing: ClassVar[Timing] = Timing.AT_START
    within_s: ClassVar[float] = 60.0

    def targets(self, reach: Reach) -> Sequence[str]:
        return [reach.profile.name]

    def observe(self, reach: Reach, target: str) -> JSON:
        declared = reach.profile.registrations
        look = partial(_registered, reach.kube)
        return dump(in_each(declared, lambda name: attempt(partial(look, declared[name]))))


def _registered(kube: Kube, asked: Registration) -> tuple[str, ...]:
    """The entries that a command lists; NotProven if it does not end well."""
    pod = ready_pod(kube, asked.namespace, asked.selector)
    done = kube.exec(asked.namespace, pod, asked.command, within_s=_WITHIN_S)
    if done.status != 0:
        said = done.stderr.strip()[-200:]
        raise NotProven(f"the command in {pod} ended with status {done.status}: {said}")
    return tuple(line.strip() for line in done.stdout.splitlines() if line.strip())


def ready_pod(kube: Kube, space: str, selector: str) -> str:
    """The first ready pod that a selector finds; NotProven if none is."""
    found = pods_of(kube, space, selector)
    ready = min((name for name, is_up in found.items() if is_up), default=None)
    if ready is None:
        raise NotProven(
            f"no pod of {space} with {selector} is ready",
            remedy=f"kubectl --namespace={space} get pods --selector={selector} shows why; "
            "the profile declares the selector",
        )
    return ready


def pods_of(kube: Kube, space: str, selector: str) -> dict[str, bool]:
    """The pods that a selector finds, by name, and whether each is ready; none that is done."""
    path = f"/api/v1/namespaces/{space}/pods?labelSelector={quote(selector, safe='')}"
    return {
        must(it, "metadata", "name"): is_ready(part(it, "status"))
        and text(it, "metadata", "deletionTimestamp") is None
        for it in listed(kube.get(path), "items")
        if text(it, "status", "phase") not in ("Succeeded", "Failed")
    }
