"""A session of the gate: usage, interruption, resumption, selection, and what it leaves behind."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness import transport
from harness.core.errors import ConfigError
from harness.pytest_gate import plugin
from harness.pytest_gate.evidence import Piece
from harness.record.bundle import Signer
from harness.settings import config_dir
from harness.tests.project import ARGUMENTS, GOOD, PLUGINS, REQUIRED, Project, scenario_of
from harness.tests.stage import REQUIREMENT


@pytest.mark.parametrize(
    "option",
    [
        *("--collect-only", "--setup-only", "--setup-plan", "--generate-missing", "--cache-show"),
        *("--fixtures", "--fixtures-per-test", "--markers"),
    ],
)
def test_an_option_that_runs_nothing_is_wrong_usage(
    project: Project, option: str, capfd: pytest.CaptureFixture[str]
) -> None:
    project.write()
    assert project.refuse(option) == 2
    assert "proves nothing" in capfd.readouterr().err
    assert not project.reports.exists()


def test_a_week_alone_with_an_option_that_runs_nothing_is_wrong_usage_too(
    project: Project,
) -> None:
    project.write()
    project.pytester.makeini("[pytest]\ntestpaths = tests\n")
    (project.pytester.path / "tests").mkdir()
    options = ("--cluster", "scenarios/clusters/small.yaml", "-m", "week1", "--fixtures")
    assert pytest.main([*PLUGINS, *options]) == 2
    assert not project.reports.exists()


@pytest.mark.parametrize("option", ["--help", "-VV"])
def test_to_ask_how_it_is_used_begins_no_run(project: Project, option: str) -> None:
    project.write()
    assert project.pytester.runpytest_inprocess(*ARGUMENTS, option).ret == 0
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


def test_a_week_alone_means_its_features(project: Project) -> None:
    project.write()
    project.pytester.makeini("[pytest]\ntestpaths = tests\n")
    (project.pytester.path / "tests").mkdir()
    options = ("--cluster", "scenarios/clusters/small.yaml", "-m", "week1")
    result = project.pytester.runpytest_inprocess(*PLUGINS, *options)
    assert result.ret == 0
    assert "GO: 1 of 1 requirement is proven." in result.stdout.str()


def test_an_interrupted_run_leaves_a_verdict(project: Project) -> None:
    project.write(
        scenario_of(*REQUIRED, "And somebody presses Ctrl-C"),
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
    assert "GO for 1 of 2 requirements of week 1" in (gate.folder / "summary.md").read_text()


def test_asking_for_a_requirement_that_is_not_due_is_wrong_usage(
    project: Project, capfd: pytest.CaptureFixture[str]
) -> None:
    project.write()
    assert project.refuse("--only", "W3-A") == 2
    assert "not due by week 1: W3-A" in capfd.readouterr().err


def test_allure_shows_steps_tables_evidence_and_what_was_not_reached(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    piece = Piece(target="one", what="the log", text="password=c4n4ry-5up3r-s3cr3t")
    monkeypatch.setattr(plugin, "collect", lambda _: [piece])
    table = "\n          | machine | disk |\n          | one     | sda2 |"
    project.write(
        scenario_of(
            f"Given answers{table}",
            "Then nothing is well is required",
            "And all is well is required",
            "When nothing happens",
        )
    )
    gate = project.run()
    (path,) = gate.folder.glob("allure-results/*-result.json")
    result = json.loads(path.read_text())
    assert result["name"] == "All answer in time"
    assert result["status"] == "failed"
    assert [(step["name"], step["status"]) for step in result["steps"]] == [
        ("Given answers", "passed"),
        ("Then nothing is well is required", "failed"),
        ("And all is well is required", "passed"),
        ("When nothing happens", "skipped"),
    ]

    def attached(to: Any) -> list[tuple[str, str]]:
        read = (gate.folder / "allure-results" / it["source"] for it in to["attachments"])
        names = (it["name"] for it in to["attachments"])
        return [(name, path.read_text()) for name, path in zip(names, read, strict=True)]

    assert attached(result["steps"][0]) == [("table", "machine,disk\none,sda2\n")]
    ((name, text),) = [it for it in attached(result) if it[0] == "one: the log"]
    assert text.startswith("password=‹redacted:"), name


def test_the_next_run_remembers_the_last(project: Project) -> None:
    project.write()
    project.run()
    project.answers["one"] = 42
    gate = project.run()
    assert "▼ was proven" in (gate.folder / "report.html").read_text()


def test_a_cluster_that_cannot_be_entered_leaves_no_run_behind(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def connect(_: object) -> None:
        raise ConfigError("the network namespace is missing")

    monkeypatch.setattr(transport, "connect", connect)
    project.write()
    assert project.refuse() == 2
    assert not project.reports.exists()


def test_a_verdict_that_cannot_be_drawn_proves_nothing(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise KeyError("a hole in the template")

    monkeypatch.setattr(plugin, "draw", broken)
    project.write()
    gate = project.run()
    assert gate.status == 3
    assert "the verdict could not be drawn and signed" in gate.printed
    assert "a hole in the template" in gate.printed


CANARY = "c4n4ry-5up3r-s3cr3t"


def files_with_the_canary(project: Project) -> list[Path]:
    files = [path for path in project.reports.rglob("*") if path.is_file()]
    assert files
    return [path for path in files if CANARY.encode() in path.read_bytes()]


def test_a_secret_in_an_error_reaches_no_file_of_the_run(project: Project) -> None:
    project.write()
    project.answers["two"] = OSError(f"login failed: password={CANARY}")
    gate = project.run()
    assert "password=‹redacted:" in gate.reason
    assert files_with_the_canary(project) == []


def test_a_secret_that_a_later_piece_of_evidence_names_is_in_no_earlier_one(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    pieces = [
        Piece(target="one", what="processes", text=f"psql {CANARY}"),
        Piece(target="one", what="clock", error=f"it said {CANARY}"),
        Piece(target="two", what="the log", text=f"password={CANARY}"),
    ]
    monkeypatch.setattr(plugin, "collect", lambda _: pieces)
    project.write()
    project.answers["two"] = 42
    gate = project.run()
    assert files_with_the_canary(project) == []
    texts = [path.read_text() for path in gate.folder.glob("evidence/*.txt")]
    assert any(text.startswith("psql ‹redacted:") for text in texts)


def test_evidence_that_came_before_ctrl_c_is_kept(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(_: object) -> Any:
        yield Piece(target="one", what="the log", text="it was late")
        raise KeyboardInterrupt

    monkeypatch.setattr(plugin, "collect", stopped)
    project.write()
    project.answers["two"] = 42
    gate = project.run()
    assert "it was late" in [path.read_text() for path in gate.folder.glob("evidence/*.txt")]


def test_the_key_that_signs_reaches_no_file_of_the_run(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    Signer.load()
    _, line, _ = (config_dir() / "signing.key").read_text().splitlines()
    piece = Piece(target="one", what="the log", text=f"it was {line}")
    monkeypatch.setattr(plugin, "collect", lambda _: [piece])
    project.write()
    project.answers["two"] = 42
    gate = project.run()
    (text,) = (path.read_text() for path in gate.folder.glob("evidence/*.txt"))
    assert text.startswith("it was ‹redacted:")


@pytest.mark.parametrize("said", ["password={}", "Authorization: Bearer {}", "token: {}"])
def test_a_secret_that_a_step_says_in_passing_reaches_no_file_of_the_run(
    project: Project, said: str
) -> None:
    project.write(
        scenario_of(*REQUIRED, "And it talks"),
        steps=f"""
        import allure, logging, sys

        @then("it talks")
        def talks():
            allure.attach(b"\\xff {CANARY}", "an early look", "image/png")
            print("{said.format(CANARY)}")
            print("it was {CANARY}", file=sys.stderr)
            logging.getLogger().warning("{said.format(CANARY)}")
        """,
    )
    gate = project.run()
    assert gate.status == 0
    assert files_with_the_canary(project) == []
    attached = [path.read_bytes() for path in gate.folder.glob("allure-results/*-attachment*")]
    assert sum("‹redacted:".encode() in content for content in attached) == 4
    assert any(content.startswith(b"\xff ") for content in attached)
