"""The probe's own claims, deployed once, for tests that break them between two phases.

The phases run in a thread inside the lab's network; the test itself stays outside, like the lab's
other tests.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from harness.checks import CHECKS
from harness.core.model import Case, Observation, Verdict
from harness.facts.schema import dump
from harness.lab import kubernetes
from harness.probes import claim_objects, pods
from harness.probes.claim_objects import LIMITED, SHARED, SIZES
from harness.probes.claim_workload import Workload
from harness.settings import load_gates
from harness.tests.lab.world import World
from harness.transport import Reach
from harness.transport.reach import _setns, connect


@dataclass(frozen=True)
class Stage:
    """One workload on the lab, and access to its volumes."""

    world: World
    work: Workload
    thread: ThreadPoolExecutor

    def do(self, call: Callable[[], object]) -> Any:
        """A phase's result, as the journal stores it."""
        return dump(self.thread.submit(call).result(timeout=200))

    def bind(self, within_s: float, *names: str) -> dict[str, Any]:
        """Request small claims of these names."""
        sizes = dict.fromkeys(names, 16 * claim_objects.MIB)
        work = self.work
        bound: dict[str, Any] = self.do(
            lambda: claim_objects.bind(work.reach, work.space, sizes=sizes, within_s=within_s)
        )
        return bound

    def volume(self, claim: str) -> dict[str, Any]:
        """The volume of a claim."""
        for item in kubernetes.objects(self.world.lab, "persistentvolumes", log=self.world.log):
            of = item["spec"].get("claimRef", {})
            if (of.get("namespace"), of.get("name")) == (self.work.space, claim):
                return dict(item)
        raise AssertionError(f"the claim {claim} has no volume")

    def folder(self, claim: str) -> str:
        """The folder of a claim's data on every machine."""
        return str(self.volume(claim)["spec"]["hostPath"]["path"])

    def beneath(self, claim: str, script: str) -> None:
        """Run Python in the claim's folder on the first machine: ``claim_script`` is ``script``."""
        self.world.do(
            self.world.one,
            "python3",
            "-c",
            f"import os\nos.chdir({self.folder(claim)!r})\n{script}",
        )

    def judge(self, check: str, seen: dict[str, Any], within_s: float | None = None) -> Verdict:
        """A check's verdict on the observations; ``within_s`` replaces the gate's waiting times."""
        profile = self.world.lab.profile
        (gate,) = [it for it in load_gates().requirements if it.id == "W3-PVC"]
        targets = dict(gate.numbers())
        if within_s is not None:
            targets |= dict.fromkeys(("bind_s", "grow_s", "give_back_s"), within_s)
        look = Observation(probe="claims", target=profile.name, at=0.0, took_s=1.0, value=seen)
        return CHECKS[check](Case(cluster=profile.cluster(), targets=targets, observations=[look]))


@contextmanager
def staged(world: World) -> Iterator[Stage]:
    """Two claims that every machine mounts, in a namespace that is removed afterwards."""
    namespace = world.lab.profile.access.network_namespace
    assert namespace is not None
    with ThreadPoolExecutor(1) as thread:
        thread.submit(_setns, namespace).result()
        opened = ExitStack()

        def begin() -> Workload:
            reach: Reach = opened.enter_context(connect(world.lab.profile))
            space = opened.enter_context(pods.namespace(reach.kube, claims=True))
            work = Workload(reach, space, seed=7)
            sizes = {name: SIZES[name] for name in (SHARED, LIMITED)}
            work.deploy(claim_objects.bind(reach, space, sizes=sizes, within_s=120))
            return work

        try:
            yield Stage(world, thread.submit(begin).result(), thread)
        finally:
            thread.submit(opened.close).result()


def copy_of_class(world: World, name: str) -> dict[str, Any]:
    """A StorageClass in a form that can be applied again."""
    text = world.kubectl("get", "storageclass", name, "--output=json")
    found: dict[str, Any] = json.loads(text)
    found["metadata"] = {"name": name}
    return found
