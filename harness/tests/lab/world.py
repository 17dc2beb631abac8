"""Access to the running lab: break it, run a gate on it, wait until it is whole again."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from textwrap import indent
from typing import Any, TypeAlias

from harness.core.waiting import until
from harness.lab import ceph, cloudnativepg, kubernetes, lifecycle, machines, rook, swarm
from harness.lab.host import until_well
from harness.lab.shape import Lab, Node
from harness.settings import ROOT
from harness.tests.lab.forked import cutover


@dataclass(frozen=True)
class Ruling:
    """The result of one gate run."""

    status: int
    document: dict[str, Any]

    def __getitem__(self, requirement: str) -> dict[str, Any]:
        """The verdict on one requirement, as in verdict.json."""
        found: list[dict[str, Any]] = [
            entry for entry in self.document["requirements"] if entry["id"] == requirement
        ]
        return found[0]

    def outcome(self, requirement: str) -> str:
        return str(self[requirement]["verdict"])

    def reason(self, requirement: str) -> str:
        return str(self[requirement]["reason"])


# Runs ``./cutover`` with these arguments, for so many seconds at most.
Run: TypeAlias = Callable[[Sequence[str], float], subprocess.CompletedProcess[str]]

AGAIN_S = 5.0
# Other tests use the same processors.
WHOLE_AGAIN_S = 240.0
# What kubectl may be told twice: an API whose etcd chooses a leader breaks off a request.
_REPEATABLE = frozenset({"get", "scale", "cordon", "uncordon"})
# When a lab was last seen whole, by its label.
_whole: dict[str, float] = {}


@dataclass(frozen=True)
class World:
    """The lab for tests; ``scratch`` is the test's own folder."""

    lab: Lab
    scratch: Path

    @property
    def log(self) -> Path:
        return self.lab.logs / "tests.log"

    @property
    def one(self) -> Node:
        return self.lab.nodes[0]

    @property
    def two(self) -> Node:
        return self.lab.nodes[1]

    @property
    def three(self) -> Node:
        return self.lab.nodes[2]

    def do(
        self,
        node: Node,
        *argv: str,
        stdin: str | None = None,
        check: bool = True,
        within_s: float = 60,
    ) -> str:
        """Run a command in a machine."""
        return machines.enter(
            self.lab, node, argv, log=self.log, stdin=stdin, check=check, within_s=within_s
        )

    def ssh(self, node: Node, command: str) -> str:
        """Run a shell command in a machine as its login user; its output."""
        argv = [str(ROOT / "cutover"), "lab", "ssh", node.name, command]
        return subprocess.run(
            argv, capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL
        ).stdout

    def kubectl(self, *argv: str, check: bool = True) -> str:
        """The output of kubectl; with ``check``, what may be told twice is, for a minute."""
        verb = next(word for word in argv if not word.startswith("-"))
        if not check or verb not in _REPEATABLE:
            return kubernetes.kubectl(self.lab, *argv, log=self.log, check=check)
        return kubernetes.insist(self.lab, *argv, log=self.log)

    def gate(
        self,
        *only: str,
        cluster: str = "",
        within_s: float = 300,
        evidence: bool = False,
        disrupt: bool = False,
        run: Run = cutover,
    ) -> Ruling:
        """Run ``./cutover gate WEEK --only …``: the latest week named."""
        week = max((requirement[1] for requirement in only), default="1")
        cluster = cluster or self.lab.name
        command = ["gate", week, "--json", "--cluster", cluster]
        command += [] if evidence else ["--without-evidence"]
        command += ["--allow-disruption"] if disrupt else []
        command += [f"--only={requirement}" for requirement in only]
        done = run(command, within_s)
        try:
            return Ruling(done.returncode, json.loads(done.stdout))
        except ValueError as error:
            raise AssertionError(
                f"no verdict, exit {done.returncode}:\n{done.stdout}\n{done.stderr}"
            ) from error

    def readiness(self, node: Node) -> str:
        """The node's Ready condition: True, False or Unknown; empty when the API is silent."""
        for item in kubernetes.objects(self.lab, "nodes", log=self.log):
            if item["metadata"]["name"] == node.name:
                conditions = {c["type"]: c["status"] for c in item["status"]["conditions"]}
                return str(conditions.get("Ready", ""))
        return ""

    def scale(self, space: str, deployment: str, replicas: int, *, label: str) -> None:
        """Scale a deployment to this number of pods, and wait; ``label`` is the pods' label."""
        here = f"--namespace={space}"
        self.kubectl("scale", "deployment", deployment, here, f"--replicas={replicas}")
        # An evicted pod stays listed for ever, and its owner counts it as gone.
        alive = "--field-selector=status.phase!=Failed,status.phase!=Succeeded"
        asked = ("get", "pods", here, f"--selector={label}", alive, "--no-headers")

        def trouble() -> str:
            pods = self.kubectl(*asked).splitlines()
            return "" if len(pods) == replicas else f"{replicas} pods wanted, seen {pods}"

        until_well(trouble, what=f"the scale of {deployment}", within_s=120, log=self.log)

    def rolled_out(self, workload: str, namespace: str) -> None:
        """Wait until a workload's pods are its newest: kubectl itself waits a minute at most."""
        status = ("rollout", "status", workload, f"--namespace={namespace}", "--timeout=5s")
        until(
            lambda: "successfully" in self.kubectl(*status, check=False),
            within_s=240,
            what=f"{workload} is rolled out",
        )

    def lost(self, node: Node) -> None:
        """Wait until Kubernetes reports that the machine is not Ready."""
        until(
            lambda: self.readiness(node) in ("False", "Unknown"),
            within_s=120,
            what=f"{node.name} is not Ready",
        )

    def power_off(self, node: Node) -> None:
        machines.power_off(self.lab, node)

    def power_on(self, node: Node) -> None:
        lifecycle.power_on(self.lab, node)

    def whole_from_power_on(self, node: Node) -> None:
        """Restore a machine's power; the lab is whole again by itself, within four minutes."""
        began = time.monotonic()
        self.power_on(node)
        self.whole(within_s=WHOLE_AGAIN_S - (time.monotonic() - began))

    def trouble(self) -> str:
        """Reasons why the lab is not whole; empty when it is."""
        parts = (kubernetes, ceph, rook, swarm, cloudnativepg)
        looks = (*(it.trouble for it in parts), _silent_server, _tainted_node)
        with ThreadPoolExecutor(len(looks)) as pool:
            words = pool.map(lambda look: look(self.lab, self.log), looks)
        return next((it for it in words if it), "")

    def whole(self, within_s: float = 180) -> None:
        """Wait until Kubernetes, Ceph, Rook, Swarm and PostgreSQL are whole."""
        until_well(self.trouble, what="the lab", within_s=within_s, log=self.log)
        _whole[self.lab.label] = time.monotonic()

    def still_whole(self) -> None:
        """The same, for a lab that was not touched since: seconds later it is not asked again."""
        if time.monotonic() - _whole.get(self.lab.label, -AGAIN_S) >= AGAIN_S:
            self.whole()

    def section(self, name: str) -> str:
        """The words of a section of the lab's profile, as ``profile_with`` replaces them."""
        text = _whole_profile()
        found = re.search(rf"^{name}:.*\n(?:[ -].*\n|\n(?= ))*", text, re.MULTILINE)
        assert found is not None, f"the lab's profile has no section {name}"
        return found[0]

    def profile_with(self, changes: Sequence[tuple[str, str]]) -> str:
        """A copy of the lab's profile with replaced words, as a separate profile; its path.

        It has no lab section: the harness treats it like any other cluster.
        """
        text = _whole_profile()
        text = text[: text.index("\nlab:")] + "\n"
        for old, new in changes:
            assert old in text, f"the lab's profile does not say {old!r}"
            text = text.replace(old, new)
        path = self.scratch / "changed.yaml"
        path.write_text(text)
        return str(path)


def _silent_server(lab: Lab, log: Path) -> str:
    """An API server that is not ready: one that answers the others' address hides the rest."""
    for node in lab.nodes:
        if machines.init(lab, node) is None:
            return f"{node.name} is off"
        if says := kubernetes.server_trouble(lab, node, log):
            return says
    return ""


def _tainted_node(lab: Lab, log: Path) -> str:
    """A node that pods must leave or avoid: a taint outlasts what it was given for."""
    for item in kubernetes.objects(lab, "nodes", log=log):
        if item["spec"].get("taints"):
            return f"{item['metadata']['name']} has the taints {item['spec']['taints']}"
    return ""


def _whole_profile() -> str:
    """The lab's profile, which has its journeys in itself."""
    text = (ROOT / "scenarios/clusters/lab.yaml").read_text()
    journeys = (ROOT / "scenarios/journeys/lab.yaml").read_text()
    named = "journeys: lab\n"
    assert named in text
    return text.replace(named, f"journeys:\n{indent(journeys, '  ')}")
