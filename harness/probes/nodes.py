"""The cluster's node list, as far as it is judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from typing import Any, ClassVar

from harness.model import JSON
from harness.transport import Reach

_ROLE = "node-role.kubernetes.io/"


class Nodes:
    """Reads every node's name, addresses, roles, version, conditions and taints.

    A node of which the API's object cannot be read has an ``error`` instead.
    """

    name: ClassVar[str] = "nodes"
    within_s: ClassVar[float] = 15.0

    def targets(self, reach: Reach) -> Sequence[str]:
        return [reach.profile.name]

    def observe(self, reach: Reach, target: str) -> JSON:  # noqa: ARG002 (there is but one)
        listed = reach.kube.get("/api/v1/nodes", within_s=10.0)
        return {item["metadata"]["name"]: _readable(item) for item in listed["items"]}


def _readable(item: Mapping[str, Any]) -> JSON:
    """The node, or an ``error`` that costs this node alone."""
    try:
        return _node(item)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        return {"error": f"the API's object of this node cannot be read: {error!r}"}


def _node(item: Mapping[str, Any]) -> JSON:
    status, labels = item["status"], item["metadata"].get("labels") or {}
    return {
        "addresses": [
            str(ip_address(a["address"]))
            for a in status.get("addresses") or ()
            if a["type"] == "InternalIP"
        ],
        "roles": sorted(label[len(_ROLE) :] for label in labels if label.startswith(_ROLE)),
        "version": status["nodeInfo"]["kubeletVersion"],
        "conditions": {c["type"]: c["status"] for c in status.get("conditions") or ()},
        "taints": [_taint(taint) for taint in item["spec"].get("taints") or ()],
    }


def _taint(taint: Mapping[str, str]) -> str:
    """A taint as ``kubectl taint`` writes it: key=value:effect, or key:effect."""
    value = f"={taint['value']}" if taint.get("value") else ""
    return f"{taint['key']}{value}:{taint['effect']}"
