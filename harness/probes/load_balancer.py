"""The harness's own service that asks for an outside address, and whether it answers there."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from typing import ClassVar

from harness.core.errors import TimedOut, TransportError, Unreachable
from harness.core.model import JSON
from harness.core.waiting import until
from harness.facts.edge import LOAD_BALANCER, Balanced
from harness.facts.schema import dump
from harness.probes import pods
from harness.probes.probe import Timing
from harness.transport import Reach
from harness.transport.objects import listed, text

_GIVEN_WITHIN_S = 60.0
_ANSWERS_WITHIN_S = 20.0
_NAME = "balanced"


class LoadBalancer:
    """Deploys a pod with a LoadBalancer service, and talks to it from outside."""

    name: ClassVar[str] = LOAD_BALANCER.name
    sentence: ClassVar[str] = "a service that asks for an outside address"
    timing: ClassVar[Timing] = Timing.ALONE
    within_s: ClassVar[float] = 150.0

    def targets(self, reach: Reach) -> Sequence[str]:
        return [reach.profile.name]

    def observe(self, reach: Reach, target: str) -> JSON:
        taken = _taken(reach.kube.get("/api/v1/services"))
        with pods.namespace(reach.kube) as space:
            reach.kube.apply(_balanced(space))
            began = time.monotonic()
            machine = reach.profile.machines[0].name
            reach.kube.apply(pods.pod(reach, space, _NAME, machine, "server"))
            address = _given(reach, space)
            after_s = round(time.monotonic() - began, 1)
            said = pods.warnings(reach.kube, space).get(_NAME, "")
            if address is None:
                return dump(Balanced(None, None, said, answer=None, taken=taken))
            _, late = pods.addresses_when_ready(reach.kube, space, {_NAME: _NAME}, within_s=45.0)
            if late:
                raise Unreachable(f"no pod is ready for the service: {late[_NAME]}")
            answer = pods.eventually(lambda: _talk(reach, address), _ANSWERS_WITHIN_S)
        return dump(Balanced(address, after_s, said, answer, taken))


def _taken(services: object) -> tuple[str, ...]:
    """The outside addresses that services have; several may share one."""
    given = {
        text(entry, "ip")
        for item in listed(services, "items")
        for entry in listed(item, "status", "loadBalancer", "ingress")
    }
    return tuple(sorted(filter(None, given)))


def _balanced(space: str) -> dict[str, object]:
    # Otherwise it opens a port on every machine, which the scan of open ports then finds.
    only = {"type": "LoadBalancer", "allocateLoadBalancerNodePorts": False}
    return pods.service(space, _NAME, _NAME, **only)


def _given(reach: Reach, space: str) -> str | None:
    """The address that the service is given in time."""

    def look() -> str:
        service = reach.kube.get(f"/api/v1/namespaces/{space}/services/{_NAME}")
        given = listed(service, "status", "loadBalancer", "ingress")
        return (text(given[0], "ip") or "") if given else ""

    with contextlib.suppress(TimedOut):
        return until(look, within_s=_GIVEN_WITHIN_S, what="an address for the service")
    return None


def _talk(reach: Reach, address: str) -> str:
    said = reach.outside.exchange(address, pods.PORT, b"N").decode(errors="replace")
    if said != _NAME:
        raise TransportError(f"another program answers at {address}: {said[:80]!r}")
    return said
