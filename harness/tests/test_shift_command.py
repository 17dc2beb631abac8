"""The move of the traffic in a run and on the command line: once a session, never without leave."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Never, cast

import pytest
import yaml
from pydantic import ValidationError
from typer.testing import CliRunner

from harness.checks import CHECKS
from harness.commands import cli
from harness.commands import shift as command
from harness.core.errors import ConfigError, NotProven, Refused, Unreachable
from harness.core.model import Exit, Outcome
from harness.drill.context import DrillContext, Options
from harness.drill.shift import declared_by, move_traffic, order_of
from harness.facts.schema import Unknown, read
from harness.facts.shift import SHIFT, Shift
from harness.faults.preflight import permitted_back
from harness.gate import RunState
from harness.move.answers import Answer
from harness.move.client import Client
from harness.move.shift import Order
from harness.pytest_gate.catalogue import Step as StepText
from harness.pytest_gate.engine import Run
from harness.record.journal import JournalReader
from harness.settings import SCENARIOS, Profile
from harness.settings.shift import Shift as Declared
from harness.tests import probe_rig
from harness.tests.clean_case import clean
from harness.tests.clean_cluster import CLUSTER
from harness.tests.fake_front import DECLARED
from harness.tests.fake_transport import FakeKube
from harness.tests.stage import manifest, reach, requirement, scenario, session
from harness.transport.protocols import Kube

SHARES = "every step has the share that was set"
ASKS = scenario().model_copy(update={"steps": (StepText(keyword="Then", text=SHARES),)})
PLAN = manifest(requirements=(requirement(targets={}),), scenarios=(ASKS,))
SAMPLING = {"hold_s": 0, "within_s": 2, "per_s": 1000}


def profile(**changes: Any) -> Profile:
    declared = Declared.model_validate({**DECLARED, "sampling": SAMPLING, **changes})
    return probe_rig.PROFILE.model_copy(update={"shift": declared})


@dataclass
class FakeService:
    """Moves nothing, and says what a move would have come to; or raises."""

    options: Options
    by_hand: bool = False
    raises: Exception | None = None
    times: int = 0

    def shift(self, run: Run) -> Shift:
        assert run.name
        self.times += 1
        if self.raises is not None:
            raise self.raises
        value = read(SHIFT.kind, clean()["shift"][CLUSTER.name])
        return replace(value, by_hand=self.by_hand)


def moves(run: Run) -> None:
    run.shift()
    run.shift()
    run.require(SHARES)


ALLOWED = Options(allowed=True, seed=1)


def test_a_session_moves_once_whatever_the_number_of_its_scenarios(tmp_path: Path) -> None:
    service = FakeService(ALLOWED)
    run_state = session(tmp_path / "run", service, moves, PLAN)
    assert service.times == 1
    (evaluation,) = run_state.scenarios[PLAN.scenarios[0].id].evaluations
    assert evaluation.verdict.outcome is Outcome.PASS


def test_without_leave_nothing_is_moved(tmp_path: Path) -> None:
    service = FakeService(Options(allowed=False, seed=1))
    with pytest.raises(NotProven, match="needs --allow-disruption"):
        session(tmp_path / "run", service, moves, PLAN)
    assert service.times == 0


def test_a_move_that_breaks_is_not_proven(tmp_path: Path) -> None:
    service = FakeService(ALLOWED, raises=ConfigError("the profile does not say how"))
    with pytest.raises(NotProven, match="the profile does not say how"):
        session(tmp_path / "run", service, moves, PLAN)


def test_ctrl_c_leaves_a_verdict_and_ends_the_run(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        session(tmp_path / "run", FakeService(ALLOWED, by_hand=True), moves, PLAN)
    run_state = RunState.of(JournalReader(tmp_path / "run"), CHECKS)
    assert len(run_state.scenarios[PLAN.scenarios[0].id].evaluations) == 1


# --- what a move needs ---


class FakeContext:
    """A new platform on which no ledger can begin."""

    def __init__(self) -> None:
        self.reach = reach()
        self.told: list[str] = []
        self.progress = self.told.append

    def ledger(self, *_: object, **__: object) -> AbstractContextManager[Never]:
        return Broken()

    def undo_store_at(self, *_: object) -> FakeStore:
        return FakeStore()

    def on_lock_lost(self, _: object) -> AbstractContextManager[None]:
        return nullcontext()


class Broken(AbstractContextManager[Never]):
    def __enter__(self) -> Never:
        raise Unreachable("the new platform does not answer")

    def __exit__(self, *_: object) -> None:
        """It has not begun."""


class FakeStore:
    def missing(self) -> Sequence[str]:
        return ()


def moved(order: Order, monkeypatch: pytest.MonkeyPatch) -> tuple[Shift, list[str]]:
    done = read(SHIFT.kind, clean()["shift"][CLUSTER.name])

    class FakeMover:
        def __init__(self, **_: object) -> None:
            self.give_up = print

        def move(self) -> Shift:
            return replace(done, ledger={})

    monkeypatch.setattr("harness.drill.shift.Mover", FakeMover)
    monkeypatch.setattr("harness.drill.shift._visitors", lambda *_: Broken())
    monkeypatch.setattr(Client, "sample", lambda *_: Answer(0.0, 0.01, None))
    context = FakeContext()
    declared = Declared.model_validate(DECLARED)
    return move_traffic(declared, order, cast("DrillContext", context)), context.told


def test_a_new_platform_that_is_broken_does_not_keep_the_traffic(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shift, told = moved(Order(shares=(0,), rehearsal=False), monkeypatch)
    assert told == 2 * ["going back all the same: the new platform does not answer"]
    assert (shift.ledger, shift.sessions) == ({}, Unknown("the new platform does not answer"))


def test_a_step_is_not_taken_without_its_ledger(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Unreachable):
        moved(Order(shares=(10,), rehearsal=False), monkeypatch)


def test_the_traffic_may_come_back_while_machines_and_the_api_cannot_be_asked() -> None:
    class Silent(FakeKube):
        def create(self, *_: object, **__: object) -> Never:
            raise Unreachable("the API does not answer")

    told: list[str] = []
    may = reach().profile.model_copy(update={"allow_disruption": True})
    lost = replace(reach(), profile=may, kube=cast("Kube", Silent()))
    with permitted_back(lost, "r", allowed=True, progress=told.append):
        told.append("back")
    assert told == ["going back without the disruption lock: the API does not answer", "back"]


def test_the_traffic_does_not_come_back_by_accident() -> None:
    with (
        pytest.raises(Refused, match="it needs --allow-disruption"),
        permitted_back(reach(), "r", allowed=False),
    ):
        pytest.fail("it may not")


# --- the command ---


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The options with which the command would run the features."""
    found: list[list[str]] = []

    def run(_: str, options: list[str], *, as_json: bool) -> int:
        found.append(options)
        return int(as_json)

    monkeypatch.setattr(command, "run_features", run)
    monkeypatch.setattr(command, "may_disrupt", lambda *_, allowed: allowed)
    monkeypatch.setattr(command, "load_profile", lambda _: profile())
    return found


def shift(*options: str, typed: str | None = None) -> Any:
    return CliRunner().invoke(cli.app, ["shift", *options], input=typed)


def test_the_command_takes_the_steps_and_the_name_of_who_agrees(asked: list[list[str]]) -> None:
    told = shift("--past-no-return", "R. Winter", "--allow-disruption", "--json")
    assert told.exit_code == Exit.NO_GO
    assert asked == [
        [
            "--week=9",
            "--allow-disruption",
            "--only=W9-SHIFT",
            "--to=10,50,100",
            "--past-no-return=R. Winter",
        ]
    ]


def test_going_back_proves_the_way_back_and_needs_nobodys_agreement(
    asked: list[list[str]],
) -> None:
    assert shift("--to", "0", "--allow-disruption").exit_code == Exit.GO
    assert asked == [["--week=9", "--allow-disruption", "--only=W9-ROLLBACK", "--to=0"]]


def test_without_a_name_the_point_of_no_return_is_not_passed(asked: list[list[str]]) -> None:
    told = shift("--to", "10,50,100", "--allow-disruption")
    assert isinstance(told.exception, Refused)
    assert "100 % passes the point of no return (first invoice), and no operator agreed" in str(
        told.exception
    )
    assert shift("--to", "10,50", "--allow-disruption").exit_code == Exit.GO
    assert len(asked) == 1


@pytest.mark.parametrize(("typed", "goes_on"), [("R. Winter\n", True), ("\n", False)])
def test_at_a_terminal_the_name_is_asked_for(
    asked: list[list[str]], monkeypatch: pytest.MonkeyPatch, typed: str, goes_on: bool
) -> None:
    monkeypatch.setattr(command, "is_terminal", lambda: True)
    told = shift("--to", "100", "--allow-disruption", typed=typed)
    assert "passes the point of no return (first invoice). Type your name to agree" in told.output
    assert bool(asked) is goes_on
    assert isinstance(told.exception, Refused) is not goes_on


@pytest.mark.parametrize("to", ["20", "50,10", "0,10", "10,10", "ten", ""])
def test_only_declared_steps_in_their_order_are_taken(to: str) -> None:
    with pytest.raises(ConfigError):
        order_of(profile(), to, None)


def test_where_names_hold_the_address_the_only_step_says_why() -> None:
    because = "host names of customers hold the address"
    single = profile(steps=[100], because=because)
    with pytest.raises(ConfigError, match=because):
        order_of(single, "10,100", None)


def test_a_profile_without_a_front_says_so() -> None:
    with pytest.raises(ConfigError, match="does not say how traffic moves"):
        declared_by(probe_rig.PROFILE.model_copy(update={"shift": None}))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"steps": [50, 10, 100]}, "must rise"),
        ({"steps": [10, 50]}, "the last of `steps:` must be 100"),
        ({"steps": [100]}, "because"),
        ({"because": "host names hold the address"}, "because"),
        ({"errors": {"p0": 0.1, "p1": 0.05}}, "must be less than p1"),
        ({"sampling": {**SAMPLING, "per_s": 5}}, "raise sampling.per_s"),
        ({"sampling": {**SAMPLING, "most": 100}, "errors": {}}, "sampling.most must be twice"),
        ({"front": {**DECLARED["front"], "set": ["set"]}}, "must contain {share}"),
    ],
)
def test_a_declaration_that_could_prove_nothing_is_refused(
    changes: Mapping[str, Any], says: str
) -> None:
    with pytest.raises(ValidationError) as told:
        Declared.model_validate({**DECLARED, "sampling": SAMPLING, **changes})
    assert says in str(told.value)


def test_the_example_in_the_real_profile_is_valid() -> None:
    text = (SCENARIOS / "clusters/contabo.yaml").read_text(encoding="utf-8")
    block = text[text.index("# shift:\n") :].partition("\n\n")[0]
    told = yaml.safe_load("\n".join(line.removeprefix("# ") for line in block.splitlines()))
    assert Declared.model_validate(told["shift"]).chosen((10, 50)) == (10, 50)
