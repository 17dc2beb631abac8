"""The cluster's node list, as far as checks need it."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address
from typing import ClassVar

from harness.core.model import JSON
from harness.facts.kubernetes import NODES, Node
from harness.facts.schema import dump
from harness.probes.probe import Timing
from harness.transport import Reach
from harness.transport.objects import Odd, each, listed, must, text, texts

_ROLE = "node-role.kubernetes.io/"
_INTERNAL = "InternalIP"


class Nodes:
    """Reads every node's name, addresses, roles, version, conditions and taints.

    A node whose API object cannot be read has an ``error`` instead.
    """

    name: ClassVar[str] = NODES.name
    sentence: ClassVar[str] = "the cluster's node list"
    timing: ClassVar[Timing] = Timing.AT_START
    within_s: ClassVar[float] = 15.0

    def targets(self, reach: Reach) -> Sequence[str]:
        return [reach.profile.name]

    def observe(self, reach: Reach, target: str) -> JSON:
        return dump(each(reach.kube.get("/api/v1/nodes", within_s=10.0), _node))


def _node(item: object) -> Node:
    labels = texts(item, "metadata", "labels")
    addresses = [it for it in listed(item, "status", "addresses") if text(it, "type") == _INTERNAL]
    conditions = listed(item, "status", "conditions")
    return Node(
        addresses=tuple(_address(must(it, "address")) for it in addresses),
        roles=tuple(
            sorted(label.removeprefix(_ROLE) for label in labels if label.startswith(_ROLE))
        ),
        version=must(item, "status", "nodeInfo", "kubeletVersion"),
        conditions={must(it, "type"): must(it, "status") for it in conditions},
        taints=tuple(_taint(taint) for taint in listed(item, "spec", "taints")),
    )


def _address(written: str) -> str:
    """An address in its usual form; IPv6 has many."""
    try:
        return str(ip_address(written))
    except ValueError as error:
        raise Odd(f"an InternalIP is no address: {written}") from error


def _taint(taint: object) -> str:
    """A taint as ``kubectl taint`` writes it: key=value:effect, or key:effect."""
    value = text(taint, "value")
    return f"{must(taint, 'key')}{f'={value}' if value else ''}:{must(taint, 'effect')}"
