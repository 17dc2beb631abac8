"""The command that a report gives to do it again is one that can do it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from harness.record.records import Kind
from harness.report.summary import again
from harness.tests import clean_drills
from harness.tests.stage import manifest, requirement, running, scenario

RUN = "20261124T120000Z-week01-7f3a"
NO_TURNS: Mapping[str, Any] = {**clean_drills.soak(), "turns": [], "wanted_s": 5400.0}


def _again(
    folder: Path, only: str | None = None, *, soaked: Mapping[str, Any] | None = None, **plan: Any
) -> str:
    """The command after a run of a plain scenario, and of three that act on the platform."""
    acting = ("W7-INSTANCE", "W9-DRILLS", "W9-SOAK")
    whole = manifest(
        requirements=tuple(map(requirement, ("W1-A", *acting))),
        scenarios=(scenario(), *(scenario(it, proves=it, begins="When") for it in acting)),
        week=9,
        **plan,
    )
    with running(folder, whole) as recorded:
        if soaked is not None:
            seen = {"target": "soak", "at": 1.7e9, "took_s": 9.0, "value": soaked, "error": None}
            recorded.run.write(Kind.LOOK, "soak", {"targets": ["soak"]})
            recorded.run.write(Kind.OBSERVATION, "soak", seen)
    return again(recorded.judged(), only)


@pytest.mark.parametrize(
    ("only", "command"),
    [
        (None, "gate 9 --cluster small --allow-disruption"),
        ("W1-A", "gate 9 --cluster small --only W1-A"),
        ("W7-INSTANCE", "gate 9 --cluster small --only W7-INSTANCE --allow-disruption"),
        ("W9-DRILLS", "gate 9 --cluster small --only W9-DRILLS --allow-disruption"),
        ("W9-SOAK", "soak --cluster small --allow-disruption"),
    ],
)
def test_what_acts_on_the_platform_is_done_again_with_the_permission(
    tmp_path: Path, only: str | None, command: str
) -> None:
    assert _again(tmp_path / "run", only) == f"./cutover {command}"


@pytest.mark.parametrize(
    ("soaked", "command"),
    [
        (clean_drills.soak(), f"replay {RUN} --cluster small --allow-disruption"),
        (NO_TURNS, "soak --for 5400s --cluster small --allow-disruption"),
    ],
)
def test_a_soak_is_done_again_turn_by_turn(
    tmp_path: Path, soaked: Mapping[str, Any], command: str
) -> None:
    assert _again(tmp_path / "run", "W9-SOAK", soaked=soaked) == f"./cutover {command}"


def test_a_soak_that_was_killed_is_done_again_turn_by_turn(tmp_path: Path) -> None:
    soak = scenario("Soak", proves="W9-SOAK", begins="When")
    plan = manifest(requirements=(requirement("W9-SOAK"),), scenarios=(soak,), only=["W9-SOAK"])
    with running(tmp_path / "run", plan) as recorded:
        (turn, *_) = clean_drills.soak()["turns"]
        recorded.run.write(Kind.SOAKED, "soak", {"event": "turn begun", "turn": turn})
        recorded.run.write(Kind.SESSION, plan.run, {})
    expected = f"./cutover replay {RUN} --cluster small --allow-disruption"
    assert again(recorded.judged()) == expected
