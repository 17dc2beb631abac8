"""The catalogue and the lint: what feature files say, and what in them would prove nothing."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from harness.core.errors import ConfigError
from harness.pytest_gate.catalogue import Scenario, Step, read_features
from harness.pytest_gate.lint import features
from harness.settings import ROOT, GateFile, Gates, Profile
from harness.tests.stage import PROFILE, REQUIREMENT

FEATURE = """
    @week1 @severity:blocker
    Feature: Answers
      Background:
        Given what every machine says about itself

      @req:W1-A
      Scenario Outline: All answer <how>
        Then <check>
        Examples:
          | how  | check          |
          | fast | all clocks agree |
          | well | every disk has room |

      Rule: Outside
        @req:W1-B @needs:ingress
        Scenario: From outside
          Then swap is off and stays off
"""
OUTLINE = """@req:W1-A
      Scenario Outline: All answer at <time>
        Then swap is off and stays off
"""
EXAMPLES = """        Examples:
          | time |
"""


def _read(folder: Path, text: str) -> tuple[Scenario, ...]:
    (folder / "small.feature").write_text(textwrap.dedent(text))
    return read_features(folder)


def test_scenarios_inherit_tags_and_backgrounds_and_each_row_is_one(tmp_path: Path) -> None:
    first, second, third = _read(tmp_path, FEATURE)
    assert first.id == "small.feature: All answer <how> [how=fast, check=all clocks agree]"
    assert first.name == "All answer fast"
    assert first.tags == ("week1", "severity:blocker", "req:W1-A")
    assert second.steps == (
        Step(keyword="Given", text="what every machine says about itself"),
        Step(keyword="Then", text="every disk has room"),
    )
    assert (third.rule, third.needs, third.requirements) == ("Outside", ("ingress",), ("W1-B",))


def test_what_holds_no_scenario_is_one_without_steps_that_inherits_tags(tmp_path: Path) -> None:
    hollow_one = f"{OUTLINE}        @owner:Ada\n{EXAMPLES}      Rule: Outside"
    text = FEATURE.replace("Rule: Outside", hollow_one)
    (hollow,) = (it for it in _read(tmp_path, text) if not it.steps)
    assert hollow.id == "small.feature: All answer at <time> [no row]"
    assert hollow.tags == ("week1", "severity:blocker", "req:W1-A", "owner:Ada")
    assert textwrap.dedent(text).splitlines()[hollow.line - 1].strip() == "Examples:"


def test_a_file_that_is_not_gherkin_is_refused_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"small\.feature is not valid Gherkin"):
        _read(tmp_path, "Feature: A\n  Scenario: B\n    Given x\n    nonsense\n")


def test_a_file_without_a_feature_has_no_scenarios(tmp_path: Path) -> None:
    assert _read(tmp_path, "# nothing yet\n") == ()


def _lint(folder: Path, text: str) -> list[str]:
    requirements = [dict(REQUIREMENT), {**REQUIREMENT, "id": "W1-B"}]
    gate = {"schema": 1, "title": "T", "weeks": (1, 2), "requirements": requirements}
    gates = Gates(files=(GateFile.model_validate(gate),))
    scenarios = _read(folder, text)
    found = [
        *features.tags(gates, scenarios, Profile.model_validate(PROFILE)),
        *features.sentences(scenarios, ROOT),
    ]
    return [it.says for it in found if not it.note]


def test_a_clean_feature_has_no_mistake(tmp_path: Path) -> None:
    assert _lint(tmp_path, FEATURE) == []


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ("@req:W1-A", "", "it proves no requirement: no gate would run it"),
        ("@req:W1-A", "@req:W1-Z", "@req:W1-Z names something unknown"),
        ("@severity:blocker", "@severity:awful", "@severity:awful names something unknown"),
        ("@needs:ingress", "@needs:magic", "@needs:magic names something unknown"),
        ("@week1", "@week1 @weak1", "unknown tag @weak1"),
        ("@week1", "", "it proves W1-B but has no tag @week1: pytest -m week1 misses it"),
        ("swap is off and stays off", "swap is nice", "no check is named “swap is nice”"),
        ("Then swap is off and", "Given swap is off and", "it has no Then: it asks nothing"),
        (
            "Rule: Outside",
            "@req:W1-A\n      Scenario: Empty\n      Rule: Outside",
            "it has no steps",
        ),
        ("Rule: Outside", "Rule: Inside\n      Rule: Outside", "it has no steps"),
        ("Rule: Outside", f"{OUTLINE}      Rule: Outside", "it has no steps"),
        ("Rule: Outside", f"{OUTLINE}{EXAMPLES}      Rule: Outside", "it has no steps"),
        (
            "      Rule: Outside",
            f"{EXAMPLES}      Rule: Outside",
            "it has no steps",
        ),
        (
            "Rule: Outside",
            "Rule: Outside\n        @req:W1-B\n        Scenario: From outside\n"
            "          Then swap is off and stays off\n",
            "features/small.feature:17 has the same name: only one of them would run",
        ),
    ],
)
def test_a_feature_that_could_prove_nothing_is_found(
    tmp_path: Path, before: str, after: str, says: str
) -> None:
    assert before in FEATURE
    assert says in _lint(tmp_path, FEATURE.replace(before, after, 1))
