"""A small stage for tests of the gate: requirements, probes and checks made to measure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import yaml

from harness.checks import CHECKS as REAL
from harness.checks import Check
from harness.core.declared import Cluster, Machine
from harness.core.model import JSON, Case, Outcome, Verdict
from harness.drill.service import DrillService
from harness.gate import Judgement, Manifest, RunState, judge
from harness.probes import Probe, Timing
from harness.pytest_gate.catalogue import Scenario, Step
from harness.pytest_gate.engine import Run
from harness.record.journal import Journal, JournalReader
from harness.record.records import Kind
from harness.settings import Profile, Requirement, Waiver
from harness.settings.files import Frozen
from harness.tests.fake_transport import FakeExternalClient, FakeFleet, FakeKube, FakeShell
from harness.transport import Reach

UID = "0d9f6c1e-uid"
PROFILE: Mapping[str, Any] = {
    "schema": 1,
    "name": "small",
    "title": "A small cluster",
    "uid": UID,
    "access": {
        "ssh": {"key": "/nowhere/key", "known_hosts": "/nowhere/known_hosts"},
        "kubeconfig": "/nowhere/kubeconfig",
    },
    "machines": [{"name": "one", "address": "10.0.0.1"}, {"name": "two", "address": "10.0.0.2"}],
    "kubernetes": {
        "version": "v1.34.4",
        "pod_network": "10.42.0.0/16",
        "service_network": "10.43.0.0/16",
        "probe_image": "example/probe:1",
        "certificates": [],
        "etcd_ca": "/ca",
        "etcd_cert": "/cert",
        "etcd_key": "/key",
    },
    "stack": {"cni": "bridge", "network_policy": False},
    "absent": {"ingress": "there is no ingress here"},
}


@dataclass
class FakeProbe:
    """A probe that answers from a table; an exception in it is raised, a function is called."""

    answers: Mapping[str, Any]
    name: str = "answers"
    sentence: str = "answers"
    timing: Timing = Timing.AT_START
    within_s: float = 5.0
    looks: int = 0

    def targets(self, reach: Reach) -> Sequence[str]:
        self.looks += 1
        return list(self.answers)

    def observe(self, reach: Reach, target: str) -> JSON:
        answer = self.answers[target]
        if isinstance(answer, Exception):
            raise answer
        value: JSON = answer() if callable(answer) else answer
        return value


def says(outcome: Outcome, **measured: float) -> Check:
    """A check that always says the same."""
    return lambda _: Verdict(outcome=outcome, reason=f"it is {outcome}", measured=measured)


def fast_enough(case: Case) -> Verdict:
    """A real check in small: every answer is at most the target, in milliseconds."""
    numbers = {it.target: it.value for it in case.observations if it.error is None}
    worst = max(float(str(number)) for number in numbers.values())
    limit = case.targets["answer_ms"]
    slow = [target for target, number in numbers.items() if float(str(number)) > limit]
    return Verdict(
        outcome=Outcome.FAIL if slow else Outcome.PASS,
        reason=f"the slowest answer took {worst:g} ms",
        measured={"answer_ms": worst},
        where=tuple(slow),
    )


CHECKS: Mapping[str, Check] = {
    "answers are fast enough": fast_enough,
    "all is well": says(Outcome.PASS, answer_ms=1),
    "nothing is well": says(Outcome.FAIL, answer_ms=99),
    "nobody knows": says(Outcome.NOT_PROVEN),
    "it does not apply": says(Outcome.NOT_APPLICABLE),
}

REQUIREMENT: Mapping[str, Any] = {
    "id": "W1-A",
    "severity": "blocker",
    "title": "Everything answers in time",
    "risk": "Something answers late",
    "effect": "Customers would wait.",
    "owner": "Platform",
    "remedy": "Make it faster.",
    "runbook": "Look at what is slow.",
    "targets": {"answer_ms": {"at_most": 10, "words": "Slowest answer"}},
}


def requirement(name: str = "W1-A", **changes: Any) -> Requirement:
    return Requirement.model_validate({**REQUIREMENT, "id": name, **changes})


def scenario(
    name: str = "All answer",
    *,
    proves: str = "W1-A",
    needs: Sequence[str] = (),
    begins: str = "Given",
) -> Scenario:
    return Scenario(
        id=f"small.feature: {name}",
        feature="Answers",
        rule=None,
        name=name,
        file="small.feature",
        line=3,
        tags=(f"req:{proves}", *(f"needs:{part}" for part in needs)),
        steps=(Step(keyword=begins, text="answers"), Step(keyword="Then", text="all is well")),
    )


def waiver(**changes: Any) -> Waiver:
    return Waiver.model_validate(
        {
            "schema": 1,
            "requirement": "W1-A",
            "cluster": "small",
            "owner": "Ada",
            "approver": "Grace",
            "reason": "a faster disk is on its way",
            "created": "2020-01-01T00:00:00Z",
            "expires": "2020-02-01T00:00:00Z",
            **changes,
        }
    )


def manifest(**changes: Any) -> Manifest:
    values: dict[str, Any] = {
        "run": "20261124T120000Z-week01-7f3a",
        "week": 1,
        "due": 1,
        "cluster": Cluster(
            name="small",
            machines=(Machine(name="one", address="10.0.0.1", roles=("server",)),),
            kubernetes_version="v1.34.4",
            absent={"ingress": "there is no ingress here"},
        ),
        "cluster_title": "A small cluster",
        "cluster_argument": "small",
        "commit": "4f2c91a0d5b1",
        "uncommitted": False,
        "versions": {"python": "3.11"},
        "requirements": (requirement(),),
        "waivers": (),
        "scenarios": (scenario(),),
        **changes,
    }
    plain = {
        key: [_plain(it) for it in value] if isinstance(value, tuple) else value
        for key, value in values.items()
    }
    return Manifest.model_validate(plain)


def _plain(value: Any) -> Any:
    return value.model_dump(by_alias=True) if isinstance(value, Frozen) else value


def reach(kube: FakeKube | None = None, fleet: FakeFleet | None = None) -> Reach:
    return Reach(
        profile=Profile.model_validate(PROFILE),
        shell=FakeShell({}),
        kube=kube or FakeKube({"/api/v1/namespaces/kube-system": {"metadata": {"uid": UID}}}),
        fleet=fleet or FakeFleet(("one", "two")),
        outside=FakeExternalClient(),
    )


def table(*probes: FakeProbe) -> Mapping[str, Probe]:
    """The probes by name; each of these has its own name and deadline, a real one's class has."""
    return cast("Mapping[str, Probe]", {probe.name: probe for probe in probes})


@dataclass
class Recorded:
    """A run on the stage: its folder, and how it is judged."""

    folder: Path
    run: Run
    checks: Mapping[str, Check] = field(default_factory=lambda: CHECKS)

    def judged(self) -> Judgement:
        """The verdict as it follows from what is on the disk."""
        return judge(RunState.of(JournalReader(self.folder), self.checks))


@contextmanager
def running(
    folder: Path,
    plan: Manifest | None = None,
    *,
    probes: Sequence[FakeProbe] = (),
    checks: Mapping[str, Check] = CHECKS,
) -> Iterator[Recorded]:
    """A run under way; it is closed, and has its last record, when this ends."""
    plan = plan or manifest()
    with Journal.create(folder, plan.run) as journal:
        run = Run(
            journal,
            RunState(checks),
            reach=reach(),
            probes=table(*(probes or [FakeProbe({"one": 3, "two": 4})])),
        )
        run.write(Kind.MANIFEST, plan.run, plan.model_dump(mode="json", by_alias=True))
        run.write(Kind.SESSION, plan.run, {})
        yield Recorded(folder, run, checks)
        run.write(Kind.END, "session", {})


def session(
    folder: Path, drilling: object, act: Callable[[Run], object], plan: Manifest | None = None
) -> RunState:
    """A run of one scenario whose acts a service carries out; ended whatever happened in it.

    The checks are the real ones.
    """
    plan = plan or manifest(requirements=(requirement(targets={}),), scenarios=(scenario(),))
    with Journal.create(folder, plan.run) as journal:
        run = Run(
            journal,
            RunState(REAL),
            reach=reach(),
            probes={},
            drilling=cast("DrillService", drilling),
        )
        run.write(Kind.MANIFEST, plan.run, plan.model_dump(mode="json", by_alias=True))
        run.write(Kind.SESSION, plan.run, {})
        run.begin(plan.scenarios[0])
        try:
            act(run)
            run.end("passed", "", 0.1)
        finally:
            run.write(Kind.END, "session", {})
    return RunState.of(JournalReader(folder), REAL)


def play(run: Run, act: Callable[[Run], None], *, which: Scenario | None = None) -> None:
    """Perform a scenario as pytest would: observe, require, and record how it ended."""
    which = which or scenario()
    run.begin(which)
    state, reason = "passed", ""
    run.step("Given", "answers", 0.1)
    try:
        act(run)
        run.step("Then", "all is well", 0.1)
    except Exception as error:
        state, reason = "failed", str(error)
        run.step("Then", "all is well", 0.1, reason)
    run.end(state, reason, 0.2)


def require(check: str) -> Callable[[Run], None]:
    """The usual act: look, then ask one check."""

    def act(run: Run) -> None:
        run.observe("answers")
        run.require(check)

    return act


def write_project(root: Path, *, feature: str, requirements: Sequence[Mapping[str, Any]]) -> None:
    """A whole project in small: a profile, a gate file and a feature."""
    gate = {"schema": 1, "title": "Small", "weeks": [1, 2], "requirements": list(requirements)}
    files = {
        "scenarios/gates/week01.yaml": yaml.safe_dump(gate),
        "scenarios/clusters/small.yaml": yaml.safe_dump(dict(PROFILE)),
        "features/small.feature": feature,
        "features/test_features.py": 'from pytest_bdd import scenarios\n\nscenarios(".")\n',
    }
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
