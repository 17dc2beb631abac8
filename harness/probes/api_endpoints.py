"""Each machine's API server and kubelet, asked at their own addresses."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from harness.errors import HarnessError, NotListening
from harness.facts.schema import dump
from harness.model import JSON
from harness.probes.certificates import describe
from harness.probes.probe import Timing
from harness.transport import Answer, Reach

_KUBELET_PORT = 10250
# In place of a status: nothing listens.
CLOSED = 0


class ApiEndpoints:
    """Is each API server ready, does it serve, which certificate, and does it ask who we are?

    The items ``readyz``, ``namespace``, ``certificate`` and ``anonymous api`` are of servers
    alone; ``anonymous kubelet`` is of every machine. A server whose port is closed has status 0
    in the first two: that it is down is an answer.
    """

    name: ClassVar[str] = "api-endpoints"
    sentence: ClassVar[str] = "what every API server and kubelet answers"
    timing: ClassVar[Timing] = Timing.AT_START
    within_s: ClassVar[float] = 30.0

    def targets(self, reach: Reach) -> Sequence[str]:
        return [machine.name for machine in reach.profile.machines]

    def observe(self, reach: Reach, target: str) -> JSON:
        machine = reach.profile.cluster().machine(target)
        api = f"https://{machine.address}:{reach.profile.kubernetes.api_port}"
        ask = reach.kube.ask
        looks: dict[str, Callable[[], JSON]] = {}
        if machine.is_server:
            namespace = f"{api}/api/v1/namespaces/kube-system"
            looks["readyz"] = lambda: _readiness(_or_closed(ask, f"{api}/readyz?verbose"))
            looks["namespace"] = lambda: _namespace(_or_closed(ask, namespace))
            looks["certificate"] = lambda: dump(describe(ask(f"{api}/version").certificate))
            looks["anonymous api"] = lambda: ask(f"{api}/api/v1/namespaces", anonymous=True).status
        kubelet = f"https://{machine.address}:{_KUBELET_PORT}/pods"
        looks["anonymous kubelet"] = lambda: ask(kubelet, anonymous=True).status
        return {name: _item(look) for name, look in looks.items()}


def _item(look: Callable[[], JSON]) -> JSON:
    try:
        return {"value": look()}
    except HarnessError as error:
        return {"error": str(error)}


def _or_closed(ask: Callable[[str], Answer], url: str) -> Answer:
    try:
        return ask(url)
    except NotListening:
        return Answer(status=CLOSED, body="", certificate="")


def _readiness(answer: Answer) -> JSON:
    """The status, and the checks that the server itself lists as failed (``[-]name failed``)."""
    failed = [line[3:].split()[0] for line in answer.body.splitlines() if line.startswith("[-]")]
    return {"status": answer.status, "failed": failed}


def _namespace(answer: Answer) -> JSON:
    """The status, and the UID of kube-system: one cluster has one behind all its servers."""
    try:
        found: Any = json.loads(answer.body)
        uid = found["metadata"]["uid"]
    except (ValueError, KeyError, TypeError):
        uid = None
    return {"status": answer.status, "uid": uid}
