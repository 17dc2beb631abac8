"""The false-green corpus: projects that look green to pytest, and must not be green to the gate.

Each is a whole small project, run by pytest in this process as ``pytest features -m week1`` would.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from harness.tests.project import GOOD, REQUIRED, Project, scenario_of


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
    assert "NO-GO: 0 of 1 requirement is proven." in gate.printed


@dataclass(frozen=True)
class Case:
    """A project that must not be green, and the words that say why."""

    name: str
    why: str
    feature: str = GOOD
    steps: str = ""
    options: tuple[str, ...] = ()


CORPUS = (
    Case("an empty scenario", "it has no steps", scenario_of()),
    Case(
        "a scenario that requires no check",
        "without requiring a check",
        scenario_of("Given answers", "When nothing happens"),
    ),
    Case(
        "a step that nobody defined",
        "Step definition is not found",
        scenario_of(*REQUIRED, "And the moon is full"),
    ),
    Case(
        "a scenario tagged to be skipped",
        "was skipped",
        scenario_of(*REQUIRED, tags="@skip"),
    ),
    Case(
        "a scenario tagged to fail",
        "it xpassed",
        scenario_of(*REQUIRED, tags="@xfail"),
    ),
    Case(
        "a step that skips",
        "it was skipped: not today",
        scenario_of(*REQUIRED, "And it is a good day"),
        steps="""
        @then("it is a good day")
        def good_day():
            pytest.skip("not today")
        """,
    ),
    Case(
        "a step that expects to fail",
        "it was expected to fail: known",
        scenario_of(*REQUIRED, "And it is known"),
        steps="""
        @then("it is known")
        def known():
            pytest.xfail("known")
        """,
    ),
    Case(
        "a coroutine step",
        "the step is a coroutine",
        scenario_of(*REQUIRED, "And time passes"),
        steps="""
        @then("time passes")
        async def time_passes(run):
            run.require("nothing is well")
        """,
    ),
    Case(
        "a step that makes a coroutine and drops it",
        "the step is a coroutine",
        scenario_of("Given answers", "When time passes", "Then all is well is required"),
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
        scenario_of(*REQUIRED, "And the lights are on"),
        steps="""
        @then("the lights are on")
        def lights():
            return False
        """,
    ),
    Case(
        "a check that nothing was observed for",
        "nothing was observed",
        scenario_of("Then all is well is required"),
    ),
    Case(
        "a check that does not exist",
        "no check named",
        scenario_of("Given answers", "Then x is required"),
    ),
    Case(
        "two definitions of one step",
        "2 step definitions match",
        scenario_of(*REQUIRED, "And a cat is required"),
        steps="""
        @then(parsers.parse("a {animal} is required"))
        def animal():
            pass
        """,
    ),
    Case(
        "a step that swallows the failure of another check",
        "it is fail",
        scenario_of("Given answers", "Then whatever", "And all is well is required"),
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
        feature=scenario_of(*REQUIRED, "And the moon is full")
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
