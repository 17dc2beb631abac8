"""What the Cilium agent on each machine says of itself, and of the other machines."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, ClassVar

from harness.errors import TimedOut, TransportError
from harness.model import JSON
from harness.transport import Reach
from harness.waiting import until

_AGENTS = "/api/v1/namespaces/kube-system/pods?labelSelector=k8s-app%3Dcilium&fieldSelector="
# Those of Cilium's StatusResponse (api/v1/models) that carry a state.
_PARTS = ("cilium", "kubernetes", "cni-file", "kvstore")
# The agent's own client is called cilium-dbg from Cilium 1.15 on, and cilium before.
_CLIENT = 'exec "$(command -v cilium-dbg || command -v cilium || echo cilium-dbg)" "$@"'
_REACHABLE = re.compile(r"^Cluster health:\s+(\d+)/(\d+) reachable", re.MULTILINE)
# What it says where the chart has ``healthChecking: false``; its JSON has no word of health then.
_DISABLED = re.compile(r"^Cluster health:\s+Probe disabled", re.MULTILINE)
_WELL = ("Ok", "Disabled")
# A round of health probes takes 60 s (pkg/health: serverProbeInterval), since Cilium 1.17 about
# 96 s with three nodes; what the one under way has missed is right after the next one. From 1.17
# on, `cilium-health status --probe` starts none: it prints the last one's result.
_TWO_ROUNDS_S = 200.0


class Cilium:
    """Is the agent's pod there and ready, and what does its ``cilium-dbg status`` say?

    The value has "pod" (None when there is none), "ready", and when it is ready:

    * "parts": name → {"state": Ok, Warning, Failure or Disabled, "message"};
    * "controllers": those that fail now, each {"name", "failures": in a row, "last_success": UTC
      seconds, None for never, "message"};
    * "health": the state of Cilium's own health probes (Ok, Disabled …), and "reachable":
      {"nodes", "of"}, how many nodes they reach, this one included; None when they do not say.

    An agent that has just started, or whose last round of probes met a machine that was down, is
    asked again until it reaches every node, for ``_TWO_ROUNDS_S`` seconds at most.
    """

    name: ClassVar[str] = "cilium"
    within_s: ClassVar[float] = _TWO_ROUNDS_S + 60.0

    def targets(self, reach: Reach) -> Sequence[str]:
        return [machine.name for machine in reach.profile.machines]

    def observe(self, reach: Reach, target: str) -> JSON:
        listed = reach.kube.get(f"{_AGENTS}spec.nodeName%3D{target}")["items"]
        # A pod that a shutdown of its node has ended stays listed beside its successor.
        alive = [it for it in listed if it["status"].get("phase") not in ("Failed", "Succeeded")]
        if not alive:
            return {"pod": None, "ready": False}
        pod = alive[0]["metadata"]["name"]
        conditions = {c["type"]: c["status"] for c in alive[0]["status"].get("conditions") or ()}
        if conditions.get("Ready") != "True":
            return {"pod": pod, "ready": False}
        try:
            status: Mapping[str, Any] = json.loads(_status(reach, pod, "-o", "json"))
            told = _told(status)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise TransportError(f"cilium-dbg in {pod}: garbled: {error!r}") from error
        return {"pod": pod, "ready": True, **told, **_health(reach, pod, told)}


def _status(reach: Reach, pod: str, *words: str) -> str:
    argv = ("sh", "-c", _CLIENT, "sh", "status", *words)
    done = reach.kube.exec("kube-system", pod, argv, within_s=20.0)
    if done.status != 0:
        said = done.stderr.strip()[-300:]
        raise TransportError(f"cilium-dbg in {pod} ended with status {done.status}: {said}")
    return done.stdout


def _moment(written: str) -> float | None:
    """UTC seconds; None for Go's zero time, the year 1, which stands for never."""
    if not written or written.startswith("0001-"):
        return None
    return datetime.fromisoformat(written).timestamp()


def _told(status: Mapping[str, Any]) -> dict[str, JSON]:
    health = (status.get("cluster") or {}).get("ciliumHealth") or {}
    return {
        "parts": {
            part: {"state": status[part].get("state"), "message": status[part].get("msg", "")}
            for part in _PARTS
            if isinstance(status.get(part), Mapping)
        },
        "controllers": [
            {
                "name": str(it["name"]),
                "failures": int(it["status"]["consecutive-failure-count"]),
                "last_success": _moment(it["status"].get("last-success-timestamp") or ""),
                "message": it["status"].get("last-failure-msg", ""),
            }
            for it in status.get("controllers") or ()
            if (it.get("status") or {}).get("consecutive-failure-count")
        ],
        "health": health.get("state"),
    }


def _health(reach: Reach, pod: str, told: Mapping[str, Any]) -> dict[str, JSON]:
    """What the agent's own health probes say, as ``cilium-dbg status`` prints it.

    An agent that is not well is not asked: the client ends with an error before it prints them.
    """
    if told["parts"].get("cilium", {}).get("state") not in _WELL:
        return {"health": told["health"], "reachable": None}
    words = ""

    def reached() -> bool:
        nonlocal words
        words = _status(reach, pod)
        found = _REACHABLE.search(words)
        return found is None or int(found[1]) >= max(int(found[2]), len(reach.profile.machines))

    with suppress(TimedOut):  # the check says which are missing
        until(reached, within_s=_TWO_ROUNDS_S, every_s=5.0, what="every node is reached")
    found = _REACHABLE.search(words)
    return {
        "health": "Disabled" if _DISABLED.search(words) else told["health"],
        "reachable": {"nodes": int(found[1]), "of": int(found[2])} if found else None,
    }
