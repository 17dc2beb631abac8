"""The false-green corpus: projects that look green to pytest, and must not be green to the gate.

Each is a whole small project, run by pytest in this process as ``pytest features -m week1`` would.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness import checks, probes, transport
from harness.tests.stage import CHECKS, REQUIREMENT, FakeProbe, reach, write_project

ARGUMENTS = (
    *("-p", "harness.plugin", "-p", "harness.allure_bridge", "--strict-markers"),
    *("--cluster", "scenarios/clusters/small.yaml", "features", "-m", "week1"),
)
STEPS = """
import pytest
from pytest_bdd import given, parsers, then, when

@given("answers")
def answers(run):
    run.observe("answers")

@when("nothing happens")
def nothing():
    pass

@then(parsers.parse("{check} is required"))
def required(run, check):
    run.require(check)
"""
GOOD = """
    @week1 @req:W1-A @severity:blocker
    Feature: Answers
      Scenario: All answer in time
        Given answers
        Then answers are fast enough is required
"""


@dataclass
class Gate:
    """What a small project came to: pytest's exit status, the verdict, and what was printed."""

    status: int
    verdict: Mapping[str, Any]
    printed: str
    folder: Path

    @property
    def reason(self) -> str:
        (requirement,) = self.verdict["requirements"]
        return str(requirement["reason"])

    @property
    def outcome(self) -> str:
        (requirement,) = self.verdict["requirements"]
        return str(requirement["verdict"])


class Project:
    """A small project that can be written and run."""

    def __init__(self, pytester: pytest.Pytester, answers: dict[str, Any]) -> None:
        self.pytester = pytester
        self.answers = answers

    @property
    def reports(self) -> Path:
        return self.pytester.path / "reports"

    def write(
        self,
        feature: str = GOOD,
        *,
        steps: str = "",
        requirements: Sequence[Mapping[str, Any]] = (REQUIREMENT,),
    ) -> None:
        write_project(
            self.pytester.path, feature=textwrap.dedent(feature), requirements=requirements
        )
        self.pytester.makeconftest(STEPS + textwrap.dedent(steps))

    def run(self, *options: str) -> Gate:
        result = self.pytester.runpytest_inprocess(*ARGUMENTS, *options)
        folder = self.reports / "latest"
        verdict = folder / "verdict.json"
        return Gate(
            status=int(result.ret),
            verdict=json.loads(verdict.read_text()) if verdict.exists() else {},
            printed=result.stdout.str() + result.stderr.str(),
            folder=folder,
        )

    def refuse(self, *options: str) -> int:
        """The status of a run that ends before it begins, which pytester cannot look into."""
        return int(pytest.main([*ARGUMENTS, *options]))


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project whose probe answers from a table that the test may change."""
    answers: dict[str, Any] = {"one": 3, "two": 4}

    @contextmanager
    def connect(_: object) -> Any:
        yield reach()

    monkeypatch.setattr(transport, "connect", connect)
    monkeypatch.setattr(probes, "PROBES", {"answers": FakeProbe(answers)})
    monkeypatch.setattr(checks, "CHECKS", CHECKS)
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    return Project(pytester, answers)


def test_the_good_project_is_green(project: Project) -> None:
    """Without this one, the others would prove nothing."""
    project.write()
    gate = project.run()
    assert (gate.status, gate.verdict["decision"]) == (0, "GO")
    assert gate.verdict["cluster"] == {"name": "small", "uid": "0d9f6c1e-uid"}


def test_a_slow_answer_is_no_go(project: Project) -> None:
    project.write()
    project.answers["two"] = 42
    gate = project.run()
    assert (gate.status, gate.verdict["decision"]) == (1, "NO-GO")
    assert "NO-GO: 0 of 1 requirements is proven." in gate.printed


@dataclass(frozen=True)
class Case:
    """A project that must not be green, and the words that say why."""

    name: str
    why: str
    feature: str = GOOD
    steps: str = ""
    options: tuple[str, ...] = ()


def _scenario(*steps: str, tags: str = "", name: str = "All answer in time") -> str:
    lines = "".join(f"\n        {step}" for step in steps)
    return f"""
    @week1 @req:W1-A
    Feature: Answers
      {tags}
      Scenario: {name}{lines}
"""


REQUIRED = ("Given answers", "Then answers are fast enough is required")
CORPUS = (
    Case("an empty scenario", "it has no steps", _scenario()),
    Case(
        "a scenario that requires no check",
        "without requiring a check",
        _scenario("Given answers", "When nothing happens"),
    ),
    Case(
        "a step that nobody defined",
        "Step definition is not found",
        _scenario(*REQUIRED, "And the moon is full"),
    ),
    Case(
        "a scenario tagged to be skipped",
        "was skipped",
        _scenario(*REQUIRED, tags="@skip"),
    ),
    Case(
        "a scenario tagged to fail",
        "it xpassed",
        _scenario(*REQUIRED, tags="@xfail"),
    ),
    Case(
        "a step that skips",
        "it was skipped: not today",
        _scenario(*REQUIRED, "And it is a good day"),
        steps="""
        @then("it is a good day")
        def good_day():
            pytest.skip("not today")
        """,
    ),
    Case(
        "a step that expects to fail",
        "it was expected to fail: known",
        _scenario(*REQUIRED, "And it is known"),
        steps="""
        @then("it is known")
        def known():
            pytest.xfail("known")
        """,
    ),
    Case(
        "a coroutine step",
        "the step is a coroutine",
        _scenario(*REQUIRED, "And time passes"),
        steps="""
        @then("time passes")
        async def time_passes(run):
            run.require("nothing is well")
        """,
    ),
    Case(
        "a step that makes a coroutine and drops it",
        "the step is a coroutine",
        _scenario("Given answers", "When time passes", "Then all is well is required"),
        steps="""
        @when("time passes")
        def time_passes():
            async def pass_time():
                raise AssertionError
            return pass_time()
        """,
    ),
    Case(
        "a Then step that returns False",
        "a Then step returned False",
        _scenario(*REQUIRED, "And the lights are on"),
        steps="""
        @then("the lights are on")
        def lights():
            return False
        """,
    ),
    Case(
        "a check that nothing was observed for",
        "nothing was observed",
        _scenario("Then all is well is required"),
    ),
    Case(
        "a check that does not exist",
        "no check named",
        _scenario("Given answers", "Then x is required"),
    ),
    Case(
        "two definitions of one step",
        "2 step definitions match",
        _scenario(*REQUIRED, "And a cat is required"),
        steps="""
        @then(parsers.parse("a {animal} is required"))
        def animal():
            pass
        """,
    ),
    Case(
        "a step that swallows the failure of another check",
        "it is fail",
        _scenario("Given answers", "Then whatever", "And all is well is required"),
        steps="""
        @then("whatever")
        def whatever(run):
            try:
                run.require("nothing is well")
            except AssertionError:
                pass
        """,
    ),
    Case(
        "a setup that fails",
        "no cluster today",
        steps="""
        @pytest.fixture(autouse=True)
        def cluster():
            raise OSError("no cluster today")
        """,
    ),
    Case(
        "a teardown that fails",
        "it would not stop",
        steps="""
        @pytest.fixture(autouse=True)
        def cluster():
            yield
            raise OSError("it would not stop")
        """,
    ),
    Case("a scenario deselected by name", "was not run", options=("-k", "nothing")),
    Case("a scenario deselected by its id", "was not run", options=("--deselect", "features")),
    Case(
        "a features module that is ignored",
        "was not run",
        options=("--ignore", "features/test_features.py"),
    ),
    Case(
        "two scenarios of one name",
        "two scenarios have the same name",
        GOOD + GOOD.partition("Answers\n")[2],
    ),
    Case(
        "an outline without a row",
        "no scenario proves it yet",
        """
    @week1 @req:W1-A
    Feature: Answers
      Scenario Outline: All answer
        Given answers
        Then <check> is required
        Examples:
          | check |
""",
    ),
    Case(
        "a requirement that no scenario names",
        "no scenario proves it yet",
        GOOD.replace("@req:W1-A", ""),
    ),
    Case(
        "an unknown tag",
        "collection failed",
        GOOD.replace("@week1", "@week1 @wek1"),
    ),
    Case(
        "a scenario without the tag of its week",
        "was not run",
        GOOD.replace("@week1", "@week2"),
    ),
    Case(
        "a run that stops at the first failure",
        "was not run",
        options=("--maxfail=1",),
        feature=_scenario(*REQUIRED, "And the moon is full")
        + """
      Scenario: Another
        Given answers
        Then all is well is required
""",
    ),
)


@pytest.mark.parametrize("case", [pytest.param(it, id=it.name) for it in CORPUS])
def test_it_is_not_green(project: Project, case: Case) -> None:
    project.write(case.feature, steps=case.steps)
    gate = project.run(*case.options)
    assert gate.status in (1, 3), gate.printed
    assert case.why in gate.reason, gate.reason
    assert gate.outcome in ("not_proven", "fail")
    assert gate.verdict["decision"] == {1: "NO-GO", 3: "NOT-PROVEN"}[gate.status]


def test_a_features_module_that_does_not_import_is_not_green(project: Project) -> None:
    project.write()
    (project.pytester.path / "features/test_features.py").write_text("import nothing_like_it\n")
    gate = project.run()
    assert gate.status == 3
    assert "No module named 'nothing_like_it'" in gate.reason


@pytest.mark.parametrize("row", ["all is well", "nobody knows"])
def test_each_row_of_an_outline_must_prove_it(project: Project, row: str) -> None:
    project.write(
        f"""
    @week1 @req:W1-A
    Feature: Answers
      Scenario Outline: All answer
        Given answers
        Then <check> is required
        Examples:
          | check       |
          | all is well |
          | {row} |
          | answers are fast enough |
"""
    )
    gate = project.run()
    # The same row twice is one scenario that ran twice.
    assert gate.status == 3
    assert len(gate.verdict["requirements"][0]["scenarios"]) == 3


def test_a_probe_that_errs_is_not_green(project: Project) -> None:
    project.write()
    project.answers["two"] = OSError("gone")
    gate = project.run()
    assert gate.status == 3
    assert "answers could not look at two: OSError: gone" in gate.reason


def test_another_cluster_is_refused_and_nothing_runs(project: Project) -> None:
    project.write()
    profile = project.pytester.path / "scenarios/clusters/small.yaml"
    profile.write_text(profile.read_text().replace("0d9f6c1e-uid", "another-uid"))
    gate = project.run()
    assert (gate.status, gate.verdict["decision"]) == (4, "REFUSED")
    assert "the run was refused" in gate.reason


@pytest.mark.parametrize(
    "option", ["--collect-only", "--setup-only", "--setup-plan", "--generate-missing"]
)
def test_an_option_that_runs_nothing_is_wrong_usage(
    project: Project, option: str, capfd: pytest.CaptureFixture[str]
) -> None:
    project.write()
    assert project.refuse(option) == 2
    assert "proves nothing" in capfd.readouterr().err
    assert not project.reports.exists()


def _break_profile(root: Path) -> None:
    (root / "scenarios/clusters/small.yaml").write_text("name: [")


def _break_feature(root: Path) -> None:
    (root / "features/small.feature").write_text(
        "Feature: A\n  Scenario: B\n    Given x\n    nonsense\n"
    )


def _break_waiver(root: Path) -> None:
    (root / "scenarios/waivers").mkdir()
    (root / "scenarios/waivers/a.yaml").write_text("schema: 1\nrequirement: W1-A\n")


def _need_the_unknown(root: Path) -> None:
    path = root / "features/small.feature"
    path.write_text(path.read_text().replace("@week1", "@week1 @needs:magic"))


@pytest.mark.parametrize(
    "spoil", [_break_profile, _break_feature, _break_waiver, _need_the_unknown]
)
def test_a_file_that_is_wrong_is_wrong_usage_and_nothing_is_touched(
    project: Project, spoil: Callable[[Path], None]
) -> None:
    project.write()
    spoil(project.pytester.path)
    assert project.refuse() == 2
    assert not project.reports.exists()


def test_an_interrupted_run_leaves_a_verdict(project: Project) -> None:
    project.write(
        _scenario(*REQUIRED, "And somebody presses Ctrl-C"),
        steps="""
        @then("somebody presses Ctrl-C")
        def interrupt():
            raise KeyboardInterrupt
        """,
    )
    gate = project.run()
    assert (gate.status, gate.verdict["decision"]) == (3, "NOT-PROVEN")
    assert "interrupted before its end" in gate.reason


def test_a_scenario_of_an_absent_part_is_skipped_with_the_profiles_words(project: Project) -> None:
    project.write(
        GOOD
        + """
      @needs:ingress
      Scenario: It is reached from outside
        Given answers
        Then nothing is well is required
"""
    )
    gate = project.run()
    assert gate.status == 0
    assert "1 passed, 1 skipped" in gate.printed
    assert "there is no ingress here" in (gate.folder / "journal.jsonl").read_text()


def test_a_resumed_run_runs_only_what_is_not_settled(project: Project) -> None:
    feature = (
        GOOD
        + """
      Scenario: The other
        Given answers
        Then all is well is required
        And it is late
"""
    )
    late = '@then("it is late")\ndef late():\n    {}\n'
    project.write(feature, steps=late.format("raise KeyboardInterrupt"))
    assert project.run().status == 3
    project.write(feature, steps=late.format("pass"))
    gate = project.run("--resume", "latest")
    assert gate.status == 0, gate.reason
    assert "1 passed, 1 deselected" in gate.printed
    assert len(list(project.reports.glob("2*"))) == 1


def test_what_failed_stays_failed_when_a_run_is_resumed(project: Project) -> None:
    project.write()
    project.answers["two"] = 42
    assert project.run().status == 1
    project.answers["two"] = 4
    assert project.run("--resume", "latest").status == 1


def test_only_some_requirements_may_be_asked_for(project: Project) -> None:
    project.write(requirements=(REQUIREMENT, {**REQUIREMENT, "id": "W1-B"}))
    assert project.run().status == 3
    gate = project.run("--only", "W1-A")
    assert gate.status == 0
    assert "GO for week 1, partial run" in (gate.folder / "summary.md").read_text()


def test_asking_for_a_requirement_that_is_not_due_is_wrong_usage(
    project: Project, capfd: pytest.CaptureFixture[str]
) -> None:
    project.write()
    assert project.refuse("--only", "W3-A") == 2
    assert "not due by week 1: W3-A" in capfd.readouterr().err


def test_allure_shows_the_steps_and_those_that_were_not_reached(project: Project) -> None:
    project.write(
        _scenario("Given answers", "Then nothing is well is required", "And x is required")
    )
    gate = project.run()
    (path,) = gate.folder.glob("allure-results/*-result.json")
    result = json.loads(path.read_text())
    assert result["name"] == "All answer in time"
    assert result["status"] == "failed"
    assert [(step["name"], step["status"]) for step in result["steps"]] == [
        ("Given answers", "passed"),
        ("Then nothing is well is required", "failed"),
        ("And x is required", "skipped"),
    ]


def test_the_next_run_remembers_the_last(project: Project) -> None:
    project.write()
    project.run()
    project.answers["one"] = 42
    gate = project.run()
    assert "▼ was proven" in (gate.folder / "report.html").read_text()
