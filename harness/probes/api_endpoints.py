"""Each machine's API server and kubelet, asked at their own addresses."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import ClassVar

from harness.core.errors import NotListening
from harness.core.model import JSON
from harness.facts import kubernetes
from harness.facts.schema import attempt, dump
from harness.probes.certificates import describe
from harness.probes.probe import Timing
from harness.transport import Answer, Reach
from harness.transport.objects import Odd, text

_KUBELET_PORT = 10250


class ApiEndpoints:
    """Reads each API server's readiness, cluster, certificate, and answer to a stranger.

    Only servers have the items ``readyz``, ``namespace``, ``certificate`` and ``anonymous api``;
    every machine has ``anonymous kubelet``. A server whose port is closed has status 0 in the first
    two, because a server that is down is an answer.
    """

    name: ClassVar[str] = kubernetes.ENDPOINTS.name
    sentence: ClassVar[str] = "what every API server and kubelet answers"
    timing: ClassVar[Timing] = Timing.AT_START
    within_s: ClassVar[float] = 30.0

    def targets(self, reach: Reach) -> Sequence[str]:
        return [machine.name for machine in reach.profile.machines]

    def observe(self, reach: Reach, target: str) -> JSON:
        machine = reach.profile.cluster().machine(target)
        spaces = "/api/v1/namespaces"
        server = f"https://{machine.address}:{reach.profile.kubernetes.api_port}"
        ask = reach.kube.ask
        looks: dict[str, Callable[[], object]] = {}
        if machine.is_server:
            looks = {
                kubernetes.READINESS.name: lambda: _readiness(
                    _or_closed(ask, f"{server}/readyz?verbose")
                ),
                kubernetes.NAMESPACE.name: lambda: _namespace(
                    _or_closed(ask, f"{server}{spaces}/kube-system")
                ),
                kubernetes.CERTIFICATE.name: lambda: describe(ask(f"{server}/version").certificate),
                kubernetes.ANONYMOUS_API.name: lambda: (
                    ask(f"{server}{spaces}", anonymous=True).status
                ),
            }
        kubelet = f"https://{machine.address}:{_KUBELET_PORT}/pods"
        looks[kubernetes.ANONYMOUS_KUBELET.name] = lambda: ask(kubelet, anonymous=True).status
        return dump({name: attempt(look) for name, look in looks.items()})


def _or_closed(ask: Callable[[str], Answer], url: str) -> Answer:
    try:
        return ask(url)
    except NotListening:
        return Answer(status=kubernetes.CLOSED, body="", certificate="")


def _readiness(answer: Answer) -> kubernetes.Readiness:
    # The server lists what failed as "[-]name failed".
    failed = [line[3:].split()[0] for line in answer.body.splitlines() if line.startswith("[-]")]
    return kubernetes.Readiness(answer.status, tuple(failed))


def _namespace(answer: Answer) -> kubernetes.Namespace:
    try:
        uid = text(json.loads(answer.body), "metadata", "uid")
    except (ValueError, Odd):
        uid = None
    return kubernetes.Namespace(answer.status, uid)
