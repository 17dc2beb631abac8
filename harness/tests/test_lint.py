"""Every mistake that the lint is for is found, with its file and line."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from harness.pytest_gate.catalogue import read_features
from harness.pytest_gate.lint import Mistake, code, features, files
from harness.pytest_gate.lint.features import unbound
from harness.settings.files import SCENARIOS
from harness.tests.stage import CHECKS, REQUIREMENT, fast_enough, write_project

WAIVER = """schema: 1
requirement: W1-A
cluster: small
owner: Ann
approver: Bob
reason: it will be better soon
created: 2026-11-01T00:00:00Z
expires: 2026-12-01T00:00:00Z
"""
FEATURE = "@week1 @req:W1-A\nFeature: A\n  Scenario: B\n    Given answers\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A small project without a mistake."""
    write_project(tmp_path, feature=FEATURE, requirements=[REQUIREMENT])
    (tmp_path / "scenarios/waivers").mkdir()
    return tmp_path


def waived(root: Path, old: str = "", new: str = "") -> list[Mistake]:
    assert old in WAIVER
    (root / "scenarios/waivers/a.yaml").write_text(WAIVER.replace(old, new, 1))
    return list(files.waivers(root, now=datetime(2026, 11, 24, tzinfo=UTC)))


def test_a_project_in_order_has_no_mistake(root: Path) -> None:
    assert waived(root) == list(files.gates(root)) == list(unbound(root)) == []


@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        ("W1-A", "W1-Z", 2, "there is no requirement W1-Z"),
        ("small", "large", 3, "there is no cluster profile large"),
        ("W1-A", "W1-A\nclause: gone", 3, "there is no check named “gone”"),
        ("2026-12-01", "2026-11-20", 8, "it expired on 20 November 2026"),
        ("2026-12-01", "2027-12-01", 1, "it lasts longer than 90 days"),
        ("approver: Bob\n", "", 1, "approver: Field required"),
        ("owner: Ann", "owner: [", 6, "not valid YAML"),
    ],
)
def test_a_waiver_that_waives_nothing_is_found(
    root: Path, old: str, new: str, line: int, says: str
) -> None:
    (mistake,) = waived(root, old, new)
    assert mistake.where == f"scenarios/waivers/a.yaml:{line}"
    assert says in mistake.says


@pytest.mark.parametrize(
    "name",
    ["waivers/a.yml", "waivers/a.YAML", "gates/week03.yml", "gates/third.yaml", "drills/a.yml"],
)
def test_a_file_that_nobody_reads_because_of_its_name_is_found(root: Path, name: str) -> None:
    assert list(files.unread(root)) == []
    path = root / "scenarios" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(WAIVER)
    (mistake,) = files.unread(root)
    assert mistake.where == f"scenarios/{name}:1"
    assert "it is never read" in mistake.says


def test_a_profile_that_names_no_journeys_and_journeys_that_are_wrong_are_found(
    root: Path,
) -> None:
    for folder in ("clusters", "journeys"):
        (root / "scenarios" / folder).mkdir(exist_ok=True)
        text = (SCENARIOS / folder / "contabo.yaml").read_text(encoding="utf-8")
        (root / "scenarios" / folder / "a.yaml").write_text(text)
    assert list(files.clusters(root)) == []
    (root / "scenarios/clusters/a.yaml").write_text("schema: 1\njourneys: nowhere\n")
    (root / "scenarios/journeys/a.yaml").write_text("leftovers: 1\ninstances: {}\n")
    found = {it.where: it.says for it in files.clusters(root) if "Field required" not in it.says}
    assert found.keys() == {
        f"scenarios/{it}" for it in ("clusters/a.yaml:2", "journeys/a.yaml:1", "journeys/a.yaml:2")
    }
    assert "there are: contabo, lab" in found["scenarios/clusters/a.yaml:2"]
    assert "instances: there is no such key" in found["scenarios/journeys/a.yaml:2"]


def test_two_waivers_of_one_risk_are_found(root: Path) -> None:
    (root / "scenarios/waivers/b.yaml").write_text(WAIVER)
    (mistake,) = waived(root)
    assert (mistake.where, mistake.says) == (
        "scenarios/waivers/b.yaml:1",
        "scenarios/waivers/a.yaml waives the same",
    )


@pytest.mark.parametrize(
    ("targets", "says"),
    [
        ({"answer": {"at_most": 1, "words": "x"}}, "does not end in a unit"),
        ({"answer_ms": {"words": "x"}}, "exactly one of at_most"),
        ({"answer_ms": {"at_most": 1}}, "words: Field required"),
    ],
)
def test_a_target_that_cannot_be_met_is_found_at_its_line(
    root: Path, targets: Mapping[str, object], says: str
) -> None:
    requirement = {**REQUIREMENT, "targets": targets}
    write_project(root, feature=FEATURE, requirements=[requirement])
    (mistake,) = files.gates(root)
    file, _, line = mistake.where.rpartition(":")
    assert says in mistake.says
    assert next(iter(targets)) in (root / file).read_text().splitlines()[int(line) - 1]


def test_an_id_that_comes_twice_is_found(root: Path) -> None:
    write_project(root, feature=FEATURE, requirements=[REQUIREMENT, REQUIREMENT])
    (mistake,) = files.gates(root)
    assert mistake.says.startswith("W1-A is at scenarios/gates/week01.yaml:")


def unproven(root: Path, **other: object) -> list[Mistake]:
    """What is said of two requirements, of which a scenario proves the first."""
    requirements = [REQUIREMENT, {**REQUIREMENT, "id": "W1-B", **other}]
    write_project(root, feature=FEATURE, requirements=requirements)
    return list(files.unproven(root, read_features(root / "features")))


def test_a_requirement_that_no_scenario_proves_is_found_at_its_line(root: Path) -> None:
    (mistake,) = unproven(root)
    assert not mistake.note
    assert mistake.says == "no scenario proves W1-B"
    file, _, line = mistake.where.rpartition(":")
    assert (root / file).read_text().splitlines()[int(line) - 1].startswith("- ")


def test_requirements_are_missed_also_in_a_week_without_any_scenario(root: Path) -> None:
    unproven(root)
    (root / "features/small.feature").unlink()
    says = [it.says for it in files.unproven(root, read_features(root / "features"))]
    assert says == ["no scenario proves W1-A", "no scenario proves W1-B"]


def test_a_requirement_that_is_still_planned_is_only_a_note(root: Path) -> None:
    (mistake,) = unproven(root, planned=True)
    assert mistake.note
    assert mistake.says == "no scenario proves W1-B yet"


def test_what_no_scenario_proves_of_a_requirement_yet_is_a_note(root: Path) -> None:
    (mistake,) = unproven(root, id="W1-A", missing=["the rest"])
    assert mistake.note
    assert mistake.says == "no scenario proves of W1-A yet: the rest"


def test_a_requirement_that_is_proven_is_not_planned_any_more(root: Path) -> None:
    (mistake,) = unproven(root, id="W1-A", planned=True)
    assert not mistake.note
    assert mistake.says == "a scenario proves W1-A: it is not only planned any more"


def test_features_that_nothing_binds_are_found(root: Path) -> None:
    (root / "features/test_features.py").write_text("import pytest_bdd\n")
    assert [it.where for it in unbound(root)] == ["features/test_features.py:1"]


async def a_coroutine() -> None:
    """Never awaited."""


def returns_a_value() -> bool:
    return True


def returns_nothing() -> None:
    def inner() -> int:
        return 1

    assert inner()


def test_steps_that_would_pass_in_silence_are_found() -> None:
    def says(kind: str, function: object) -> list[str]:
        return [it.says for it in features.definition(kind, function, Path("/"))]  # type: ignore[arg-type]

    assert "it is a coroutine" in says("given", a_coroutine)[0]
    assert "a Then step returns a value" in says("then", returns_a_value)[0]
    assert says("given", returns_a_value) == says("then", returns_nothing) == []


def test_a_step_that_asks_for_the_unknown_is_found(tmp_path: Path) -> None:
    (tmp_path / "odd.py").write_text('def a(run):\n    run.observe("x")\n    run.require("y")\n')
    assert [(it.where, it.says) for it in features.unknown_words(tmp_path)] == [
        ("steps/odd.py:2", "there is no probe named “x”"),
        ("steps/odd.py:3", "there is no check named “y”"),
    ]


class Whole:
    def refuse(self) -> None: ...
    def arm(self) -> None: ...
    def inject(self) -> None: ...
    def active(self) -> None: ...
    def heal(self) -> None: ...
    def healed(self) -> None: ...


class NoWayBack:
    def refuse(self) -> None: ...
    def inject(self) -> None: ...
    def active(self) -> None: ...


def test_a_fault_without_an_undo_is_found() -> None:
    (mistake,) = code.unhealable({"pause": Whole(), "doom": NoWayBack()}, Path(__file__).parent)
    assert mistake.where.startswith("test_lint.py:")
    assert mistake.says == "the fault “doom” cannot arm, heal, healed"


def write_defects(root: Path, text: str) -> None:
    path = root / "harness/tests/lab/test_week01_defects.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_a_check_that_was_never_seen_red_is_found(root: Path) -> None:
    names = ", ".join(repr(name) for name in CHECKS if name != "answers are fast enough")
    write_defects(root, f"@pytest.mark.defect({names}, 'gone')\ndef test_a(): ...\n")
    gone, unseen = code.never_red(CHECKS, root)
    assert gone.where == "harness/tests/lab/test_week01_defects.py:1"
    assert gone.says == "there is no check named “gone”"
    assert unseen.says.endswith("./cutover test turns the check “answers are fast enough” red")
    assert unseen.where.endswith(f"stage.py:{fast_enough.__code__.co_firstlineno}")


def test_a_defect_that_is_left_out_as_long_counts_for_nothing(root: Path) -> None:
    *others, last = (repr(name) for name in CHECKS)
    always = f"@pytest.mark.defect({', '.join(others)})\ndef test_a(): ...\n"
    write_defects(
        root, f"{always}@pytest.mark.long\n@pytest.mark.defect({last})\ndef test_b(): ...\n"
    )
    (unseen,) = code.never_red(CHECKS, root)
    assert last.strip("'") in unseen.says


def test_one_note_stands_for_a_project_that_marks_no_defect(root: Path) -> None:
    write_defects(root, "def test_a(): ...\n")
    (mistake,) = code.never_red(CHECKS, root)
    assert mistake.note
    assert "5 checks were never red" in mistake.says
