"""What is written in features and steps, and would pass without proving anything."""

from __future__ import annotations

from harness.tests.false_green.case import Case
from harness.tests.project import GOOD, REQUIRED, scenario_of

CASES = (
    Case("an empty scenario", "it has no steps", scenario_of()),
    Case(
        "a scenario that requires no check",
        "without requiring a check",
        scenario_of("Given answers", "When nothing happens"),
    ),
    Case(
        "a step that nobody defined",
        "no check is named “the moon is full”",
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
        "it has no steps",
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
        "an outline without a row beside a good scenario",
        "it has no steps",
        GOOD
        + """
      Scenario Outline: All answer
        Given answers
        Then <check> is required
        Examples:
          | check |
""",
    ),
    Case(
        "a second table of examples without a row",
        "it has no steps",
        """
    @week1 @req:W1-A
    Feature: Answers
      Scenario Outline: All answer
        Given answers
        Then <check> is required
        Examples:
          | check       |
          | all is well |
        Examples: on the large cluster
          | check |
""",
    ),
    Case(
        "an outline without examples",
        "it has no steps",
        GOOD
        + """
      Scenario Outline: All is well
        Given answers
        Then all is well is required
""",
    ),
    Case(
        "a rule without a scenario beside a good scenario",
        "it has no steps",
        GOOD
        + """
      Rule: It is reached from outside
""",
    ),
    Case(
        "a feature without a scenario beside a good one",
        "it has no steps",
        files={"features/other.feature": "@week1 @req:W1-A\nFeature: From outside\n"},
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
