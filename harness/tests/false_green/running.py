"""Ways to run pytest, and to write files, in which something is left out."""

from __future__ import annotations

from collections.abc import Mapping

from harness.tests.false_green.case import Case
from harness.tests.project import GOOD, REQUIRED, scenario_of


def waiver(**changes: str) -> Mapping[str, str]:
    fields = {
        "schema": "1",
        "requirement": "W1-A",
        "cluster": "small",
        "owner": "Ann",
        "approver": "Bob",
        "reason": "it will be better soon",
        "created": "2026-01-01T00:00:00Z",
        "expires": "2026-02-01T00:00:00Z",
        **changes,
    }
    text = "".join(f"{key}: {value}\n" for key, value in fields.items())
    return {"scenarios/waivers/a.yaml": text}


TWO = (
    scenario_of(*REQUIRED)
    + """
      Scenario: Another
        Given answers
        Then all is well is required
"""
)
BIND_ONE = """
from pytest_bdd import scenario

@scenario("small.feature", "All answer in time")
def test_one():
    pass
"""
SHADOW = BIND_ONE + BIND_ONE.replace("All answer in time", "Another").partition("scenario\n")[2]

OF_PYTEST = (
    Case(
        "a fixture that skips",
        "was skipped: no",
        steps="""
        @pytest.fixture(autouse=True)
        def cluster():
            pytest.skip("no")
    """,
    ),
    Case(
        "a fixture that expects to fail",
        "was expected to fail: no",
        steps="""
        @pytest.fixture(autouse=True)
        def cluster():
            pytest.xfail("no")
    """,
    ),
    Case(
        "a plugin that skips everything",
        "was skipped: no",
        steps="""
        def pytest_collection_modifyitems(items):
            for item in items:
                item.add_marker(pytest.mark.skip("no"))
    """,
    ),
    Case(
        "a plugin that expects everything to fail",
        "xpassed",
        steps="""
        def pytest_collection_modifyitems(items):
            for item in items:
                item.add_marker(pytest.mark.xfail(strict=False))
    """,
    ),
    Case(
        "a plugin that drops everything",
        "was not run",
        steps="""
        def pytest_collection_modifyitems(items):
            items.clear()
    """,
    ),
    Case(
        "a plugin that calls everything passed",
        "no probe has the sentence “the moon”",
        scenario_of("Given answers", "And the moon", "Then all is well is required"),
        steps="""
        @pytest.hookimpl(wrapper=True, tryfirst=True)
        def pytest_runtest_makereport():
            report = yield
            report.outcome, report.longrepr = "passed", None
            return report
    """,
    ),
    Case(
        "a plugin that ends the session well",
        "was not run",
        options=("-k", "nothing"),
        steps="""
        @pytest.hookimpl(trylast=True)
        def pytest_sessionfinish(session):
            session.exitstatus = 0
    """,
    ),
    Case(
        "a plugin that tries twice",
        "it ran 2 times in one session",
        steps="""
        def pytest_runtest_protocol(item, nextitem):
            from _pytest.runner import runtestprotocol
            for _ in range(2):
                runtestprotocol(item, nextitem=nextitem, log=False)
            return True
    """,
    ),
    Case("no conftest", "no probe has the sentence “answers”", options=("--noconftest",)),
    Case("a glob that is ignored", "was not run", options=("--ignore-glob=*test_features*",)),
    Case("marks that nothing has", "was not run", options=("-m", "week1 and not week1")),
    Case(
        "a module that binds one scenario of two",
        "was not run",
        TWO,
        files={"features/test_features.py": BIND_ONE},
    ),
    Case(
        "a test that shadows another",
        "was not run",
        TWO,
        files={"features/test_features.py": SHADOW},
    ),
    Case(
        "a module that binds nothing", "was not run", files={"features/test_features.py": "x = 1\n"}
    ),
    Case(
        "a module with a syntax error", "was not run", files={"features/test_features.py": "x = \n"}
    ),
)
OF_FILES = (
    Case(
        "a scenario that is commented out",
        "it has no steps",
        GOOD.replace("      ", "      # ").replace("# Scenario", "# Scenario"),
    ),
    Case(
        "a feature with nothing but a background",
        "it has no steps",
        """
    @week1 @req:W1-A
    Feature: Answers
      Background:
        Given answers
    """,
    ),
    Case(
        "a requirement in small letters", "no scenario proves it yet", GOOD.replace("W1-A", "w1-a")
    ),
    Case(
        "a rule with an empty scenario",
        "it has no steps",
        """
    @week1 @req:W1-A
    Feature: Answers
      Rule: Soon
        Scenario: All answer in time
    """,
    ),
    Case(
        "an outline with one bad row",
        "no check is named",
        """
    @week1 @req:W1-A
    Feature: Answers
      Scenario Outline: All answer
        Given answers
        Then <what>
        Examples:
          | what                                |
          | answers are fast enough is required |
          | the moon is full                    |
    """,
    ),
    Case(
        "a feature that is not named as one",
        "no scenario proves it yet",
        GOOD.replace("@req:W1-A", ""),
        files={"features/other.feature.txt": GOOD},
    ),
    Case(
        "a feature of a part that is absent",
        "there is no ingress here",
        GOOD.replace("@week1", "@week1 @needs:ingress"),
    ),
    Case(
        "a waiver that has expired",
        "its waiver expired on 01 February 2026",
        GOOD.replace("@req:W1-A", ""),
        files=waiver(),
    ),
    Case(
        "a waiver that has not begun",
        "its waiver begins on 01 January 2050",
        GOOD.replace("@req:W1-A", ""),
        files=waiver(created="2050-01-01T00:00:00Z", expires="2050-02-01T00:00:00Z"),
    ),
    Case(
        "a waiver of another cluster",
        "no scenario proves it yet",
        GOOD.replace("@req:W1-A", ""),
        files=waiver(
            cluster="large", created="2026-11-01T00:00:00Z", expires="2027-01-01T00:00:00Z"
        ),
    ),
)

CASES = (*OF_PYTEST, *OF_FILES)
