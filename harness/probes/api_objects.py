"""APIServices that are not available, and namespaces that stay in their deletion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar

from harness.errors import TransportError
from harness.model import JSON
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

    def observe(self, reach: Reach, target: str) -> JSON:  # noqa: ARG002 (there is but one)
        services = reach.kube.get(_SERVICES, within_s=10.0)["items"]
        spaces = reach.kube.get("/api/v1/namespaces", within_s=10.0)["items"]
        try:
            going = [it for it in spaces if it["metadata"].get("deletionTimestamp")]
            return {
                "services": {it["metadata"]["name"]: _service(it) for it in services},
                "terminating": {it["metadata"]["name"]: _terminating(it) for it in going},
            }
        except (KeyError, TypeError) as error:
            raise TransportError(f"the API lists an object without a name: {error!r}") from error


def _conditions(item: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
    listed = (item.get("status") or {}).get("conditions") or ()
    return {str(it["type"]): it for it in listed}


def _service(item: Mapping[str, Any]) -> JSON:
    try:
        condition = _conditions(item).get("Available", {})
    except (KeyError, TypeError, AttributeError) as error:
        return {"error": f"its object cannot be read: {error!r}"}
    return {
        "available": str(condition.get("status", "absent")),
        "message": str(condition.get("message") or condition.get("reason") or ""),
    }


def _terminating(item: Mapping[str, Any]) -> JSON:
    try:
        since = datetime.fromisoformat(item["metadata"]["deletionTimestamp"]).timestamp()
        kept = [it for it in _conditions(item).values() if it.get("status") == "True"]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        return {"error": f"its object cannot be read: {error!r}"}
    return {
        "since": since,
        "ours": is_ours(item),
        "messages": [str(it.get("message") or it["type"]) for it in kept],
    }
