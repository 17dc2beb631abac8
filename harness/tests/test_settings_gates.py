"""Gate files and waivers: what a person may write, and what is refused with its place."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from harness.core.errors import ConfigError
from harness.settings import Target, load_gates, load_waivers, unit_of
from harness.tests.stage import REQUIREMENT, requirement, waiver


def test_every_week_of_the_plan_has_its_requirements_and_carries_the_earlier_ones() -> None:
    gates = load_gates()
    due = [len(gates.due(week)) for week in range(1, 11)]
    assert due == sorted(due)
    assert (due[0], due[-1]) == (10, len(gates.requirements))


@pytest.mark.parametrize("week", [0, -1, 11])
def test_a_week_outside_the_plan_is_refused(week: int) -> None:
    with pytest.raises(ConfigError, match=f"no gate for week {week}"):
        load_gates().due(week)


def test_every_requirement_says_what_a_manager_and_an_engineer_need() -> None:
    for it in load_gates().requirements:
        for text in (it.title, it.risk, it.effect, it.remedy, it.owner, it.runbook):
            assert len(text) > 3, it.id
        assert it.effect.endswith("."), it.id
        assert not it.title.endswith("."), it.id


@pytest.mark.parametrize("key", ["answer", "ms", "answer_furlongs", "answerms", "Answer_ms"])
def test_a_target_without_a_unit_is_refused(key: str) -> None:
    with pytest.raises(ValidationError):
        requirement(targets={key: {"at_most": 1, "words": "Answer"}})


@pytest.mark.parametrize(
    "bounds", [{}, {"at_most": 1, "at_least": 0}, {"at_most": 1, "exactly": 1}, {"atmost": 1}]
)
def test_a_target_has_exactly_one_bound(bounds: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        Target.model_validate({"words": "Answer", **bounds})


@pytest.mark.parametrize(
    ("bound", "met", "missed"),
    [("at_most", (9, 10), (10.1,)), ("at_least", (10, 11), (9.9,)), ("exactly", (10,), (9, 11))],
)
def test_a_bound_holds_at_its_own_number(
    bound: str, met: tuple[float, ...], missed: tuple[float, ...]
) -> None:
    target = Target.model_validate({"words": "Answer", bound: 10})
    assert all(target.met_by(number) for number in met)
    assert not any(target.met_by(number) for number in missed)


def test_the_last_word_of_a_key_is_its_unit() -> None:
    assert unit_of("wal_fsync_p99_ms") == "ms"
    assert unit_of("members") is None


def _gate_file(folder: Path, name: str, **changes: Any) -> None:
    gate = {"schema": 1, "title": "T", "weeks": [1, 2], "requirements": [dict(REQUIREMENT)]}
    (folder / name).write_text(yaml.safe_dump({**gate, **changes}))


def test_an_id_that_comes_twice_is_refused(tmp_path: Path) -> None:
    _gate_file(tmp_path, "week01.yaml")
    _gate_file(tmp_path, "week02.yaml")
    with pytest.raises(ConfigError, match="declares twice: W1-A"):
        load_gates(tmp_path)


def test_a_requirement_in_the_file_of_another_week_is_refused(tmp_path: Path) -> None:
    _gate_file(tmp_path, "week03.yaml", weeks=[3, 4])
    with pytest.raises(ConfigError, match="W1-A is not due in week 3"):
        load_gates(tmp_path)


def test_a_misspelled_key_is_an_error_with_its_place(tmp_path: Path) -> None:
    _gate_file(tmp_path, "week01.yaml", requirements=[{**REQUIREMENT, "tilte": "x"}])
    with pytest.raises(ConfigError, match=re.escape("requirements.0.tilte")):
        load_gates(tmp_path)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"approver": "Ada"}, "two people"),
        ({"expires": "2019-12-01T00:00:00Z"}, "before it was created"),
        ({"expires": "2020-04-01T00:00:00Z"}, "longer than 90 days"),
        ({"expires": "2020-01-20T00:00:00"}, "timezone"),
        ({"reason": "no"}, "at least 10"),
        ({"until": "2020-01-20"}, "not permitted"),
    ],
)
def test_a_waiver_without_an_answerable_end_is_refused(changes: dict[str, str], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        waiver(**changes)


def test_a_waiver_given_in_another_time_zone_ends_at_its_moment_in_utc() -> None:
    given = waiver(expires="2020-01-20T01:00:00+01:00")
    assert given.expires == datetime(2020, 1, 20, tzinfo=UTC)
    assert f"{given.expires:%d}" == "20"
    assert not given.covers(datetime(2020, 1, 20, tzinfo=UTC))


def test_only_the_waivers_of_this_cluster_count(tmp_path: Path) -> None:
    for cluster in ("small", "other"):
        text = waiver(cluster=cluster).model_dump_json(by_alias=True)
        (tmp_path / f"{cluster}.yaml").write_text(text)
    assert [it.cluster for it in load_waivers("small", {"W1-A"}, tmp_path)] == ["small"]


def test_a_waiver_for_an_unknown_requirement_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(waiver().model_dump_json(by_alias=True))
    with pytest.raises(ConfigError, match="unknown requirement: W1-A"):
        load_waivers("small", {"W1-B"}, tmp_path)
