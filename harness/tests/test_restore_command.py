"""The restore drill in a run and on the command line: once a session, and never without leave."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from harness.backup.restore.side import PodShell
from harness.checks import CHECKS
from harness.commands import backup
from harness.core.errors import ConfigError, NotProven, Refused
from harness.core.interrupts import BY_HAND
from harness.core.model import Decision, Exit, Outcome
from harness.drill import restore as drill
from harness.drill.context import Options
from harness.drill.restore import customer_of
from harness.facts.journeys import JOURNEYS, Walk
from harness.facts.restore import RESTORE, RoundTrip, Step, Stopped
from harness.facts.schema import read
from harness.gate import RunState, judge
from harness.pytest_gate.catalogue import Step as StepText
from harness.pytest_gate.engine import Run
from harness.record.journal import JournalReader
from harness.settings import Profile
from harness.settings.restore import Restore
from harness.tests import probe_rig
from harness.tests.clean_case import clean
from harness.tests.clean_cluster import CLUSTER
from harness.tests.fake_transport import FakeKube
from harness.tests.stage import manifest, requirement, scenario, session
from harness.tests.test_check_restore import RESTORE as DECLARED
from harness.transport import Completed

WHOLE = "a whole backup of the customer is made"
ASKS = scenario().model_copy(update={"steps": (StepText(keyword="Then", text=WHOLE),)})
PLAN = manifest(requirements=(requirement(targets={}),), scenarios=(ASKS,))


@dataclass
class FakeService:
    """Restores nothing, and says what a round trip would have come to; or raises."""

    options: Options
    stopped: Stopped | None = None
    raises: Exception | None = None
    times: int = 0

    def restore(self, run: Run) -> RoundTrip:
        assert run.name
        self.times += 1
        if self.raises is not None:
            raise self.raises
        value = clean()["restore"][CLUSTER.name]
        return read(RESTORE.kind, {**value, "stopped": None} | self._early())

    def walk(self, name: str, run: Run) -> Walk:
        assert (name, bool(run.name)) == ("instance", True)
        self.times += 1
        return read(JOURNEYS[name].kind, clean()["journey-instance"][CLUSTER.name])

    def _early(self) -> dict[str, Any]:
        if self.stopped is None:
            return {}
        it = self.stopped
        return {
            "backup": None,
            "stopped": {"step": it.step, "says": it.says, "at_fault": it.at_fault},
        }


def restores(run: Run) -> None:
    run.restore()
    run.restore()
    run.require(WHOLE)


ALLOWED = Options(allowed=True, seed=1)


def test_a_session_restores_once_whatever_the_number_of_its_scenarios(tmp_path: Path) -> None:
    service = FakeService(ALLOWED)
    run_state = session(tmp_path / "run", service, restores, PLAN)
    assert service.times == 1
    (seen,) = run_state.observations("restore").values()
    assert seen.target == PLAN.cluster.name
    (evaluation,) = run_state.scenarios[PLAN.scenarios[0].id].evaluations
    assert evaluation.verdict.outcome is Outcome.PASS


def walks(run: Run) -> None:
    run.walk("instance")
    run.walk("instance")


def test_a_session_walks_a_journey_once_and_never_without_leave(tmp_path: Path) -> None:
    service = FakeService(ALLOWED)
    run_state = session(tmp_path / "run", service, walks, PLAN)
    (seen,) = run_state.observations("journey-instance").values()
    assert (service.times, seen.target) == (1, PLAN.cluster.name)
    with pytest.raises(NotProven, match="makes a customer: it needs --allow-disruption"):
        session(tmp_path / "no", FakeService(Options(allowed=False, seed=1)), walks, PLAN)
    with pytest.raises(NotProven, match="there is no journey named “other”"):
        session(tmp_path / "other", service, lambda run: run.walk("other"), PLAN)


def test_without_leave_nothing_is_restored(tmp_path: Path) -> None:
    service = FakeService(Options(allowed=False, seed=1))
    with pytest.raises(NotProven, match="needs --allow-disruption"):
        session(tmp_path / "run", service, restores, PLAN)
    assert service.times == 0


def test_a_refusal_is_the_decision_of_the_run(tmp_path: Path) -> None:
    service = FakeService(ALLOWED, raises=Refused("the target has a database already"))
    with pytest.raises(Refused):
        session(tmp_path / "run", service, restores, PLAN)
    judgement = judge(RunState.of(JournalReader(tmp_path / "run"), CHECKS))
    assert judgement.decision is Decision.REFUSED


def test_a_drill_that_breaks_is_not_proven(tmp_path: Path) -> None:
    service = FakeService(ALLOWED, raises=RuntimeError("a defect of the harness"))
    with pytest.raises(NotProven, match="a defect of the harness"):
        session(tmp_path / "run", service, restores, PLAN)
    assert service.times == 1


def test_ctrl_c_leaves_a_verdict_and_ends_the_run(tmp_path: Path) -> None:
    service = FakeService(ALLOWED, stopped=Stopped(Step.MAKE, BY_HAND, at_fault=False))
    with pytest.raises(KeyboardInterrupt):
        session(tmp_path / "run", service, restores, PLAN)
    run_state = RunState.of(JournalReader(tmp_path / "run"), CHECKS)
    (evaluation,) = run_state.scenarios[PLAN.scenarios[0].id].evaluations
    assert evaluation.verdict.outcome is Outcome.NOT_PROVEN
    assert BY_HAND in evaluation.verdict.reason


# --- the command, and the two sides of a profile ---


def profile(**changes: Any) -> Profile:
    declared = Restore.model_validate({**DECLARED, **changes})
    return probe_rig.PROFILE.model_copy(update={"restore": declared})


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        (["--allow-disruption", "--customer", "other"], ConfigError, "its customers are demo"),
        ([], Refused, "it needs --allow-disruption"),
        (["--allow-disruption"], Refused, "does not allow disruption"),
    ],
)
def test_the_command_refuses_before_anything_is_touched(
    monkeypatch: pytest.MonkeyPatch, options: list[str], error: type[Exception], says: str
) -> None:
    monkeypatch.setattr(backup, "load_profile", lambda _: profile())
    told = CliRunner().invoke(backup.backup, ["drill", *options])
    assert isinstance(told.exception, error)
    assert says in str(told.exception)


def test_the_command_proves_both_requirements_for_the_customer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[list[str]] = []

    def run(_: str, options: list[str], *, as_json: bool) -> int:
        asked.append(options)
        return int(as_json)

    monkeypatch.setattr(backup, "run_features", run)
    monkeypatch.setattr(backup, "may_disrupt", lambda *_, allowed: allowed)
    monkeypatch.setattr(backup, "load_profile", lambda _: profile())
    told = CliRunner().invoke(backup.backup, ["drill", "--allow-disruption", "--json"])
    assert told.exit_code == Exit.NO_GO
    only = ["--only=W5-RESTORE", "--only=W9-BACKUP"]
    assert asked == [["--week=9", "--allow-disruption", "--customer=demo", *only]]


def test_a_profile_without_a_restore_says_so() -> None:
    with pytest.raises(ConfigError, match="declares no restore"):
        customer_of(probe_rig.PROFILE.model_copy(update={"restore": None}), None)


def test_a_side_may_be_a_pod_and_commands_run_in_it(tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("secret\n")
    server = {"machine": "one", "address": "127.0.0.1", "password_file": str(password)}
    place = {"namespace": "saasodoo", "selector": "app=db", "server": server, "backups": "/mnt/b"}
    declared = profile(source=place).restore
    assert declared is not None

    def pods(*ready: bool) -> FakeKube:
        items = [
            {
                "metadata": {"name": f"db-{at}"},
                "status": {
                    "phase": "Running",
                    "podIP": "10.42.0.7",
                    "conditions": [{"type": "Ready", "status": "True" if it else "False"}],
                },
            }
            for at, it in enumerate(ready)
        ]
        path = "/api/v1/namespaces/saasodoo/pods?labelSelector=app%3Ddb"
        return FakeKube({path: {"items": items}})

    class Sockets:
        def unix_forward(self, machine: str, address: str, port: int) -> Path:
            return tmp_path / machine / address / str(port)

    tunnels: Any = Sockets()
    side = drill._side(probe_rig.reach(kube=pods(False, True)), tunnels, declared.source)
    assert (side.place, side.server.password) == ("saasodoo/db-1", "secret")
    with pytest.raises(NotProven, match="no pod of saasodoo with app=db is ready"):
        drill._side(probe_rig.reach(kube=pods(False)), tunnels, declared.source)

    kube = FakeKube(in_pods={("db-1", "df"): Completed(status=0, stdout="one\ntwo\n", stderr="")})
    heard: list[str] = []
    assert PodShell(kube).run("saasodoo/db-1", ["df"], hear=heard.append).status == 0
    assert heard == ["one", "two"]
