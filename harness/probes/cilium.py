"""What the Cilium agent on each machine says of itself."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from harness.errors import TransportError
from harness.model import JSON
from harness.transport import Reach

_AGENTS = "/api/v1/namespaces/kube-system/pods?labelSelector=k8s-app%3Dcilium&fieldSelector="
# Those of Cilium's StatusResponse (api/v1/models) that carry a state.
_PARTS = ("cilium", "kubernetes", "cni-file", "kvstore")


class Cilium:
    """Is the agent's pod there and ready, and what does ``cilium-dbg status`` say in it?

    The value has "pod" (None when there is none), "ready", and when it is ready the "parts" of
    the status: name → {"state": Ok, Warning, Failure or Disabled, "message"}.
    """

    name: ClassVar[str] = "cilium"
    within_s: ClassVar[float] = 40.0

    def targets(self, reach: Reach) -> Sequence[str]:
        return [machine.name for machine in reach.profile.machines]

    def observe(self, reach: Reach, target: str) -> JSON:
        listed = reach.kube.get(f"{_AGENTS}spec.nodeName%3D{target}")["items"]
        if not listed:
            return {"pod": None, "ready": False}
        pod = listed[0]["metadata"]["name"]
        conditions = {c["type"]: c["status"] for c in listed[0]["status"].get("conditions", ())}
        if conditions.get("Ready") != "True":
            return {"pod": pod, "ready": False}
        return {"pod": pod, "ready": True, "parts": _parts(reach, pod)}


def _parts(reach: Reach, pod: str) -> dict[str, JSON]:
    done = reach.kube.exec(
        "kube-system", pod, ("cilium-dbg", "status", "-o", "json"), within_s=20.0
    )
    if done.status != 0:
        said = done.stderr.strip()[-300:]
        raise TransportError(f"cilium-dbg in {pod} ended with status {done.status}: {said}")
    try:
        status: Mapping[str, Any] = json.loads(done.stdout)
    except ValueError as error:
        raise TransportError(f"cilium-dbg in {pod}: garbled: {done.stdout[-200:]!r}") from error
    return {
        part: {"state": status[part].get("state"), "message": status[part].get("msg", "")}
        for part in _PARTS
        if isinstance(status.get(part), Mapping)
    }
