"""APIServices that are not available, and namespaces that stay in their deletion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from harness.model import JSON
from harness.probes.objects import Described, described, epoch, listed, must, text, texts
from harness.probes.pods import is_ours
from harness.transport import Reach

_SERVICES = "/apis/apiregistration.k8s.io/v1/apiservices"


class ApiObjects:
    """Reads every APIService, and every namespace that is being deleted.

    The value has "services": name → {"available": its condition's status, "message"}, and
    "terminating": name → {"since": seconds since the epoch, "ours", "messages": what still keeps
    it}. An object that cannot be read has an "error" instead.
    """

    name: ClassVar[str] = "api-objects"
    within_s: ClassVar[float] = 30.0

    def targets(self, reach: Reach) -> Sequence[str]:
        return [reach.profile.name]

    def observe(self, reach: Reach, target: str) -> JSON:
        services = described(reach.kube.get(_SERVICES, within_s=10.0), _service)
        spaces = described(reach.kube.get("/api/v1/namespaces", within_s=10.0), _terminating)
        going = {name: it for name, it in spaces.values.items() if it is not None}
        return {"services": _all(services.values, services), "terminating": _all(going, spaces)}


def _all(understood: Mapping[str, JSON], found: Described) -> dict[str, JSON]:
    return {**understood, **{name: {"error": why} for name, why in found.odd.items()}}


def _service(item: Mapping[str, Any]) -> JSON:
    found = [it for it in _conditions(item) if must(it, "type") == "Available"]
    condition = found[0] if found else {}
    return {
        "available": text(condition, "status") or "absent",
        "message": text(condition, "message") or text(condition, "reason") or "",
    }


def _terminating(item: Mapping[str, Any]) -> JSON:
    """What keeps a namespace that is being deleted; None for one that stays."""
    since = epoch(item, "metadata", "deletionTimestamp")
    if since is None:
        return None
    kept = [it for it in _conditions(item) if text(it, "status") == "True"]
    return {
        "since": since,
        "ours": is_ours(texts(item, "metadata", "labels")),
        "messages": [text(it, "message") or must(it, "type") for it in kept],
    }


def _conditions(item: Mapping[str, Any]) -> Sequence[Any]:
    return listed(item, "status", "conditions")
