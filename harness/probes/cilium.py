"""What the Cilium agent on each machine reports about itself and the other machines."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import ClassVar

from harness.core.errors import Garbled, TimedOut, TransportError
from harness.core.model import JSON
from harness.core.waiting import until
from harness.facts.network import CILIUM, Agent, Controller, NotReady, Part, Reachable
from harness.facts.schema import dump
from harness.probes.probe import Timing
from harness.transport import Reach
from harness.transport.objects import Odd, count, epoch, listed, must, part, text

_AGENTS = "/api/v1/namespaces/kube-system/pods?labelSelector=k8s-app%3Dcilium&fieldSelector="
# The parts of Cilium's StatusResponse (api/v1/models) that have a state.
_PARTS = ("cilium", "kubernetes", "cni-file", "kvstore")
# The agent's own client is called cilium-dbg from Cilium 1.15 on, and cilium before.
_CLIENT = 'exec "$(command -v cilium-dbg || command -v cilium || echo cilium-dbg)" "$@"'
_REACHABLE = re.compile(r"^Cluster health:\s+(\d+)/(\d+) reachable", re.MULTILINE)
# Its output if the chart has ``healthChecking: false``; its JSON then has no health.
_DISABLED = re.compile(r"^Cluster health:\s+Probe disabled", re.MULTILINE)
_WELL = ("Ok", "Disabled")
_CONDITIONS = ("status", "conditions")
_ENDED = ("Failed", "Succeeded")
_NEVER = "0001-"  # Go's zero time, the year 1
# A round of health probes takes 60 s (pkg/health: serverProbeInterval), about 96 s with three nodes
# since Cilium 1.17. The next round corrects what the current one missed. From 1.17 on,
# `cilium-health status --probe` starts no round: it prints the last one's result.
_TWO_ROUNDS_S = 200.0


class Cilium:
    """Reads whether each agent's pod is ready, and the output of its ``cilium-dbg status``.

    An agent that has just started, or whose last round of probes met a machine that was down, is
    asked again until it reaches every node, for ``_TWO_ROUNDS_S`` seconds at most.
    """

    name: ClassVar[str] = CILIUM.name
    sentence: ClassVar[str] = "what Cilium says on every node"
    timing: ClassVar[Timing] = Timing.AT_START
    within_s: ClassVar[float] = _TWO_ROUNDS_S + 60.0

    def targets(self, reach: Reach) -> Sequence[str]:
        return [machine.name for machine in reach.profile.machines]

    def observe(self, reach: Reach, target: str) -> JSON:
        found = reach.kube.get(f"{_AGENTS}spec.nodeName%3D{target}")
        # A pod that ended with a shutdown of its node stays listed beside its successor.
        alive = [it for it in listed(found, "items") if text(it, "status", "phase") not in _ENDED]
        if not alive:
            return dump(NotReady(pod=None, ready=False))
        pod = must(alive[0], "metadata", "name")
        conditions = listed(alive[0], "status", "conditions")
        if not any(
            must(it, "type") == "Ready" and text(it, "status") == "True" for it in conditions
        ):
            return dump(NotReady(pod=pod, ready=False))
        try:
            status = json.loads(_status(reach, pod, "-o", "json"))
            parts, controllers = _parts(status), tuple(_controllers(status))
            health = text(status, "cluster", "ciliumHealth", "state")
        except (ValueError, Odd) as error:
            raise Garbled(f"the answer of cilium-dbg in {pod} is garbled: {error}") from error
        # The client of an unhealthy agent ends with an error before it prints the rest.
        is_well = "cilium" in parts and parts["cilium"].state in _WELL
        words = _of_health(reach, pod) if is_well else ""
        reached = _REACHABLE.search(words)
        agent = Agent(
            pod=pod,
            ready=True,
            parts=parts,
            controllers=controllers,
            health="Disabled" if _DISABLED.search(words) else health,
            reachable=Reachable(int(reached[1]), int(reached[2])) if reached else None,
        )
        return dump(agent)


def _status(reach: Reach, pod: str, *words: str) -> str:
    argv = ("sh", "-c", _CLIENT, "sh", "status", *words)
    done = reach.kube.exec("kube-system", pod, argv, within_s=20.0)
    if done.status != 0:
        said = done.stderr.strip()[-300:]
        raise TransportError(f"cilium-dbg in {pod} ended with status {done.status}: {said}")
    return done.stdout


def _parts(status: object) -> dict[str, Part]:
    return {
        name: Part(text(status, name, "state") or "", text(status, name, "msg") or "")
        for name in _PARTS
        if part(status, name)
    }


def _controllers(status: object) -> Iterator[Controller]:
    for it in listed(status, "controllers"):
        if failures := count(it, "status", "consecutive-failure-count"):
            last = text(it, "status", "last-success-timestamp") or _NEVER
            yield Controller(
                name=must(it, "name"),
                failures=failures,
                last_success=None if last.startswith(_NEVER) else epoch({"at": last}, "at"),
                message=text(it, "status", "last-failure-msg") or "",
            )


def _of_health(reach: Reach, pod: str) -> str:
    """What ``cilium-dbg status`` prints, once the agent's own health probes reach every node."""
    words = ""

    def reached() -> bool:
        nonlocal words
        words = _status(reach, pod)
        found = _REACHABLE.search(words)
        return found is None or int(found[1]) >= max(int(found[2]), len(reach.profile.machines))

    with suppress(TimedOut):  # the check says which are missing
        until(reached, within_s=_TWO_ROUNDS_S, every_s=5.0, what="every node is reached")
    return words
