"""APIServices that are not available, and namespaces that stay in their deletion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from harness.core.model import JSON
from harness.facts.kubernetes import OBJECTS, ApiService, Terminating
from harness.facts.kubernetes import ApiObjects as Objects
from harness.facts.schema import dump
from harness.probes.pods import is_ours
from harness.probes.probe import Timing
from harness.transport import Reach
from harness.transport.objects import each, epoch, listed, must, text, texts

_SERVICES = "/apis/apiregistration.k8s.io/v1/apiservices"


class ApiObjects:
    """Reads every APIService, and every namespace that is being deleted."""

    name: ClassVar[str] = OBJECTS.name
    sentence: ClassVar[str] = "every API service, and every namespace that is being deleted"
    timing: ClassVar[Timing] = Timing.AT_START
    within_s: ClassVar[float] = 30.0

    def targets(self, reach: Reach) -> Sequence[str]:
        return [reach.profile.name]

    def observe(self, reach: Reach, target: str) -> JSON:
        services = each(reach.kube.get(_SERVICES, within_s=10.0), _service)
        spaces = each(reach.kube.get("/api/v1/namespaces", within_s=10.0), _terminating)
        going = {name: it for name, it in spaces.items() if it is not None}
        return dump(Objects(services, going))


def _service(item: object) -> ApiService:
    found = [it for it in _conditions(item) if must(it, "type") == "Available"]
    condition = found[0] if found else {}
    return ApiService(
        available=text(condition, "status") or "absent",
        message=text(condition, "message") or text(condition, "reason") or "",
    )


def _terminating(item: object) -> Terminating | None:
    """What blocks a namespace's deletion; None if the namespace is not being deleted."""
    since = epoch(item, "metadata", "deletionTimestamp")
    if since is None:
        return None
    kept = [it for it in _conditions(item) if text(it, "status") == "True"]
    return Terminating(
        since=since,
        ours=is_ours(texts(item, "metadata", "labels")),
        messages=tuple(text(it, "message") or must(it, "type") for it in kept),
    )


def _conditions(item: object) -> Sequence[object]:
    return listed(item, "status", "conditions")
