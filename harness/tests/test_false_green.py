"""The false-green corpus: projects that look green to pytest, and must not be green to the gate.

Each is a whole small project, run by pytest in this process as ``pytest features -m week1`` would.
"""

from __future__ import annotations

import pytest

from harness import checks
from harness.tests.false_green import CORPUS
from harness.tests.false_green.case import Case
from harness.tests.project import Project
from harness.tests.stage import CHECKS


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


def test_the_good_project_is_green_ten_times_in_a_row(project: Project) -> None:
    project.write()
    assert [project.run().verdict["decision"] for _ in range(10)] == ["GO"] * 10


def test_the_corpus_is_large_and_its_names_differ() -> None:
    assert len({case.name for case in CORPUS}) == len(CORPUS) >= 60


@pytest.mark.parametrize("case", [pytest.param(it, id=it.name) for it in CORPUS])
def test_it_is_not_green(project: Project, monkeypatch: pytest.MonkeyPatch, case: Case) -> None:
    project.write(case.feature, steps=case.steps)
    for name, text in case.files.items():
        path = project.pytester.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    if case.answers is not None:
        project.answers.clear()
        project.answers.update(case.answers)
    monkeypatch.setattr(checks, "CHECKS", {**CHECKS, **case.checks})
    gate = project.run(*case.options)
    assert gate.status in (1, 3), gate.printed
    assert case.why in gate.reason, gate.reason
    assert gate.outcome in ("not_proven", "fail", "not_applicable")
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
