"""The runbook: the declared steps of the cutover night, with what this cluster's runs tell."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import yaml
from typer.testing import CliRunner

from harness.commands.cli import app
from harness.core.errors import ConfigError
from harness.gate import Manifest
from harness.pytest_gate.lint.runbook import mistakes, unknown_command
from harness.record.records import VerdictDocument
from harness.report.runbook import Night, RunbookStep, document, markdown, night, page
from harness.settings import ROOT, Gates, load_gates, load_profile
from harness.settings.runbook import RUNBOOK, Runbook, filled, load_runbook, placeholders
from harness.tests.stage import manifest

STEP: Mapping[str, Any] = {
    "title": "Compare on {manager}",
    "why": "Only what is equal may be switched.",
    "commands": ["./cutover backup equal --cluster {cluster}"],
    "go": "They hold the same.",
    "requirements": ["W5-EQUAL"],
    "back": {"words": "Start again.", "commands": ["./cutover heal --cluster {cluster}"]},
}
LAST: Mapping[str, Any] = {
    "title": "Send the first invoice",
    "why": "From here on there is no way back.",
    "owner": "Business",
    "back": {"words": "There is none."},
    "no_return": True,
}
OPTIONS = {"backup equal": {"--cluster"}, "heal": {"--cluster"}}


def runbook(*steps: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    """A runbook with these steps before the point of no return."""
    phase = {"title": "Night", "when": "At night", "steps": [*map(dict, steps), dict(LAST)]}
    return {"schema": 1, "title": "The night", "remembers": 3, "phases": [phase], **changes}


def of_contabo(*past: tuple[Manifest, VerdictDocument], **changes: Any) -> RunbookStep:
    """The first step, as it is written for the real cluster after these runs."""
    return whole(*past, **changes).steps[0]


def whole(*past: tuple[Manifest, VerdictDocument], **changes: Any) -> Night:
    told = Runbook.model_validate(runbook({**STEP, **changes}))
    return night(told, load_profile("contabo"), "contabo", load_gates(), past)


def run(
    took_s: float,
    *,
    decision: str = "GO",
    week: int = 5,
    only: Sequence[str] = (),
    cluster: str = "contabo",
    requirements: Sequence[Mapping[str, Any]] = (),
) -> tuple[Manifest, VerdictDocument]:
    """A run of the past, that took so many seconds."""
    plan = manifest(week=week, only=only)
    plan = plan.model_copy(update={"cluster": replace(plan.cluster, name=cluster)})
    minutes, seconds = divmod(int(took_s), 60)
    verdict = {
        "run": "r1",
        "week": week,
        "decision": decision,
        "requirements": list(requirements),
        "started": "2026-11-29T10:00:00Z",
        "ended": f"2026-11-29T10:{minutes:02d}:{seconds:02d}Z",
    }
    return plan, cast("VerdictDocument", verdict)


def test_a_step_that_was_never_rehearsed_says_so() -> None:
    step = of_contabo(rehearsed={"gate": 5})
    assert step.expected is not None
    assert step.expected.words == "never rehearsed"
    written = whole(rehearsed={"gate": 5})
    assert [it.number for it in written.unrehearsed] == [1]
    assert written.account == "None of its 1 timed steps has been rehearsed on this cluster."


def test_median_and_worst_come_from_the_newest_runs_that_succeeded() -> None:
    past = [run(1200), run(300), run(900, decision="NO-GO"), run(500, decision="GO-WITH-WAIVERS")]
    expected = of_contabo(*past, rehearsed={"gate": 5}).expected
    assert expected is not None
    assert expected.took_s == (300.0, 500.0)
    assert expected.words == "7 min, at worst 8 min (2 of 3 rehearsals succeeded)"


def test_rehearsals_that_all_failed_give_no_time() -> None:
    past = [run(300, decision="NO-GO"), run(2, decision="REFUSED")]
    expected = of_contabo(*past, rehearsed={"gate": 5}).expected
    assert expected is not None
    assert expected.words == "unknown: none of 2 rehearsals succeeded"


@pytest.mark.parametrize(
    "other",
    [{"cluster": "lab"}, {"week": 6}, {"only": ["W5-EQUAL"]}],
    ids=["another cluster", "another week", "a part of the gate"],
)
def test_a_run_of_something_else_is_no_rehearsal(other: Mapping[str, Any]) -> None:
    expected = of_contabo(run(300, **other), rehearsed={"gate": 5}).expected
    assert expected is not None
    assert expected.tries == 0


def test_a_run_for_these_requirements_alone_is_a_rehearsal() -> None:
    past = [run(60, only=["W5-EQUAL"]), run(900, only=["W5-EQUAL", "W5-RESTORE"]), run(800)]
    expected = of_contabo(*past, rehearsed={"only": ["W5-EQUAL"]}).expected
    assert expected is not None
    assert expected.took_s == (60.0,)


def test_a_measured_number_counts_where_its_requirement_is_proven() -> None:
    def seen(verdict: str, number: float) -> tuple[Manifest, VerdictDocument]:
        told = {"id": "W5-EQUAL", "verdict": verdict, "measured": {"freeze_s": number}}
        return run(900, requirements=[told])

    past = [seen("pass", 11.0), seen("fail", 3.0), run(900)]
    expected = of_contabo(*past, rehearsed={"number": "W5-EQUAL/freeze_s"}).expected
    assert expected is not None
    assert (expected.took_s, expected.tries) == ((11.0,), 2)


def test_commands_owners_and_limits_are_those_of_the_cluster() -> None:
    step = of_contabo()
    assert step.title == "Compare on vmi2887102"
    assert step.commands == ("./cutover backup equal --cluster contabo",)
    assert step.back_commands == ("./cutover heal --cluster contabo",)
    assert step.owner == "Platform"
    assert step.limits == ("W5-EQUAL: Differences between old and new = 0",)


def test_the_profile_names_the_person_behind_an_owner() -> None:
    profile = load_profile("contabo").model_copy(update={"owners": {"Platform": "Ada, 112"}})
    told = Runbook.model_validate(runbook(STEP))
    assert night(told, profile, "contabo", load_gates(), ()).steps[0].owner == "Platform: Ada, 112"


def test_what_the_profile_does_not_say_is_named_and_not_invented() -> None:
    profile = load_profile("contabo").model_copy(update={"swarm_manager": None})
    told = Runbook.model_validate(runbook(STEP))
    step = night(told, profile, "contabo", load_gates(), ()).steps[0]
    assert step.title == "Compare on ‹manager: the profile does not say it›"


@pytest.mark.parametrize(
    ("steps", "before", "past"), [([1, 10, 50, 100], "1,10,50", "100"), ([100], "0", "100")]
)
def test_the_shares_of_the_shift_are_those_before_and_past_the_point_of_no_return(
    steps: list[int], before: str, past: str
) -> None:
    contabo = load_profile("contabo")
    shift = SimpleNamespace(steps=tuple(steps), no_return=SimpleNamespace(from_share=100))
    values = placeholders(contabo.model_copy(update={"shift": shift}), "contabo")
    assert (values["shares"], values["last_shares"]) == (before, past)
    assert filled("--to {shares}", placeholders(contabo, "contabo")).startswith("--to ‹shares")


def test_a_step_without_its_part_is_left_out_with_the_reason() -> None:
    written = whole(needs=["rook-cluster"], rehearsed={"gate": 5})
    assert [it.title for it in written.steps] == ["Send the first invoice"]
    assert written.unrehearsed == ()
    reason = "Ceph still runs outside Kubernetes"
    assert f"Not on this cluster: {reason}" in markdown(written)
    assert f"Not on this cluster: {reason}" in page(written)


def test_a_step_stays_whose_part_the_profile_only_forgot_to_declare() -> None:
    written = whole(needs=["equality"], rehearsed={"gate": 5})
    assert len(written.steps) == 2
    assert [it.expected.words for it in written.unrehearsed if it.expected] == ["never rehearsed"]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"planned": True}, "No scenario proves it yet"),
        ({"missing": ["MariaDB"]}, "No scenario proves yet: MariaDB"),
    ],
)
def test_a_go_point_says_what_no_scenario_proves_yet(changes: Mapping[str, Any], says: str) -> None:
    of_week5 = next(file for file in load_gates().files if file.weeks[0] == 5)
    wanted = next(it for it in of_week5.requirements if it.id == "W5-EQUAL")
    file = of_week5.model_copy(update={"requirements": (wanted.model_copy(update=changes),)})
    told = Runbook.model_validate(runbook(STEP))
    step = night(told, load_profile("contabo"), "contabo", Gates(files=(file,)), ()).steps[0]
    assert says in step.limits[-1]


def test_page_markdown_and_data_hold_every_step_and_load_nothing() -> None:
    profile = load_profile("contabo")
    written = night(load_runbook(), profile, "contabo", load_gates(), ())
    drawn, told, data = page(written), markdown(written), document(written)
    assert not re.search(r"(https?:)?//|@import|url\(|<script|<link|<img|<iframe", drawn)
    assert "@media print" in drawn
    assert drawn.count("Point of no return</p>") == told.count("POINT OF NO RETURN") == 1
    for step in written.steps:
        for command in (*step.commands, *step.back_commands):
            assert command in told
            assert json.dumps(command, ensure_ascii=False) in json.dumps(data, ensure_ascii=False)
    assert drawn.count('class="step') == len(load_runbook().steps)


def test_the_command_writes_both_files(tmp_path: Path) -> None:
    folder = tmp_path / "paper"
    ran = CliRunner().invoke(app, ["runbook", "--cluster", "contabo", "--out", str(folder)])
    assert ran.exit_code == 0
    assert {it.name for it in folder.iterdir()} == {"runbook-contabo.html", "runbook-contabo.md"}
    assert f"runbook  {folder}/runbook-contabo.html" in ran.output


def test_a_folder_that_cannot_be_written_to_is_a_wrong_usage(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ran = CliRunner().invoke(app, ["runbook", "--cluster=contabo", f"--out={tmp_path / 'file'}"])
    assert isinstance(ran.exception, ConfigError)
    assert "cannot write to" in str(ran.exception)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"title": "On {nowhere}"}, "there is no placeholder nowhere"),
        ({"no_return": True}, "exactly one step is the point of no return"),
        ({"requirements": []}, "has no owner"),
        ({"go": None}, "say in `go:` what they decide"),
        ({"rehearsed": {}}, "exactly one of gate, only and number"),
        ({"rehearsed": {"gate": 5, "only": ["W5-EQUAL"]}}, "exactly one of gate, only and number"),
    ],
)
def test_a_runbook_that_could_not_be_followed_is_refused(
    changes: Mapping[str, Any], says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        Runbook.model_validate(runbook({**STEP, **changes}))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"commands": ["./cutover fly --cluster x"]}, "there is no command ./cutover fly"),
        ({"commands": ["./cutover heal --all"]}, "./cutover heal --all: there is no option --all"),
        ({"requirements": ["W5-NONE"]}, "there is no requirement W5-NONE"),
        ({"rehearsed": {"only": ["W5-NONE"]}}, "there is no requirement W5-NONE"),
        ({"owner": "Nobody"}, "no gate file has the owner Nobody"),
        ({"needs": ["luck"]}, "no profile has a part luck"),
    ],
)
def test_lint_finds_what_does_not_exist(
    changes: Mapping[str, Any], says: str, tmp_path: Path
) -> None:
    (tmp_path / "scenarios/runbook").mkdir(parents=True)
    for name in ("gates", "clusters"):
        (tmp_path / "scenarios" / name).symlink_to(ROOT / "scenarios" / name)
    told = yaml.safe_dump(runbook({**STEP, **changes}))
    (tmp_path / "scenarios/runbook/cutover.yaml").write_text(told)
    (found,) = mistakes(tmp_path, OPTIONS)
    assert says in found.says
    assert not found.note
    assert re.fullmatch(r"scenarios/runbook/cutover\.yaml:\d+", found.where)


def test_another_programs_command_is_the_operators() -> None:
    assert unknown_command(["docker", "service", "ls"], OPTIONS) == ""
    assert unknown_command(["./cutover", "backup", "equal", "--cluster=x"], OPTIONS) == ""


def test_the_runbook_of_the_project_is_read_from_its_file() -> None:
    assert load_runbook(RUNBOOK).steps[0].commands
