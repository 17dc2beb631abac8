"""Claims of the declared StorageClass: asked for, written and read by every machine, and deleted.

The value, in the order in which it comes about; an answer is {"value"}, or {"refused": what the
file system said}, or {"error": why it is not known}:

``class``     {"value": {"provisioner", "reclaim_policy", "expands", "parameters"} or None} …
``bound``     claim → {"after_s", "modes": access modes of its volume} or {"said", "waited_s"}
``data``      round → {"written": machine → answer, "read": "A → B" → answer}: B read A's blocks
``metadata``  {"made": machine → answer, "seen": "A → B" → answer}
``small``     {"written": machine → answer, "read": "A → B" → answer}
``lines``     {"written": machine → answer, "read": machine → answer}
``full``      {"size": bytes asked for, "first", "second": answers of two machines}
``grown``     {"size", "after_s", "filled": answer}, {"size", "said", "waited_s"} or {"error"}
``deleted``   {"filled", "before", "full", "after": bytes in Ceph's pool, "gone_after_s",
              "given_back_after_s"}, {… "left": its volume, "waited_s"}, or {"error"}; with
              "kept", what became of the volume first, where the class is declared to keep it

Each phase is a method of ``Workload``: a drill wraps one in a fault, or stands between two.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from harness.errors import ConfigError, HarnessError
from harness.model import JSON
from harness.probes import claim_objects, pods
from harness.probes.claim_space import deleted, stored
from harness.probes.claim_workload import Workload
from harness.transport import Reach

_BOUND_WITHIN_S = 75.0


class Claims:
    """Makes claims in a namespace of its own, mounts two on every machine, and removes all."""

    name: ClassVar[str] = "claims"
    within_s: ClassVar[float] = 400.0

    def targets(self, reach: Reach) -> Sequence[str]:
        return [reach.profile.name]

    def observe(self, reach: Reach, target: str) -> JSON:
        if reach.profile.storage is None:
            raise ConfigError(
                "the profile declares no StorageClass", remedy="say in `storage:` which is it"
            )
        with pods.namespace(reach.kube, claims=True) as space:
            return look(reach, space)


def look(reach: Reach, space: str) -> dict[str, JSON]:
    """All phases, one after the other; what one could not do is told where it belongs."""
    declared = claim_objects.storage(reach)
    work = Workload(reach, space, seed=secrets.randbits(48))
    seen: dict[str, Any] = {
        "seed": work.seed,
        "class": answered(lambda: claim_objects.storage_class(reach.kube, declared.class_name)),
        "bound": claim_objects.bind(reach, space, within_s=_BOUND_WITHIN_S),
    }
    work.deploy(seen["bound"])
    before = answered(lambda: stored(reach))
    # First, so that Ceph has counted what was written when the claim is deleted.
    seen["full"] = work.full()
    seen["grown"] = work.grown()
    seen["data"] = {"first": work.data(1), "again": work.data(2)}
    seen["metadata"] = {"made": work.adorn(), "seen": work.described()}
    seen["small"] = {"written": work.scatter(), "read": work.gather()}
    seen["lines"] = {"written": work.append(), "read": work.read_lines()}
    seen["deleted"] = _deleted(work, before, seen)
    return seen


def _deleted(work: Workload, before: Any, seen: Mapping[str, Any]) -> JSON:
    if "error" in before:
        return {"error": f"Ceph's count before the claim was filled: {before['error']}"}
    grown = seen["grown"].get("filled", {})
    answers = [grown if "value" in grown else seen["full"]["first"], seen["full"]["second"]]
    filled = sum(answer["value"]["bytes"] for answer in answers if "value" in answer)
    if not filled:
        return {"error": "nothing was written that a deletion could give back"}
    try:
        return deleted(work, before["value"], filled)
    except HarnessError as error:
        return {"error": str(error)}


def answered(work: Callable[[], JSON]) -> dict[str, JSON]:
    """What it returns, or in what words it failed."""
    try:
        return {"value": work()}
    except HarnessError as error:
        return {"error": str(error)}
