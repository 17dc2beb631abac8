"""Drills that could not be carried out, or that nobody would, are found beforehand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.faults.kinds import FAULTS
from harness.pytest_gate.catalogue import read_features
from harness.pytest_gate.lint.files import drills
from harness.settings import ROOT
from harness.settings import drills as settings_drills
from harness.settings.drills import drill_names

FEATURE = """
Feature: Drills
  Scenario Outline: It survives
    When the drill <drill> is carried out

    Examples:
      | drill  |
      | stumble |
"""
TARGET = {"at_most": 1, "words": "a number"}
DRILL: dict[str, Any] = {
    "schema": 1,
    "name": "stumble",
    "title": "It stumbles",
    "effect": "Nothing.",
    "where": "a-machine",
    "faults": [{"fault": "lose-packets", "hold_s": 1, "with": {"percent": 10}}],
    "ledger": ["http"],
    "targets": dict.fromkeys(settings_drills.REQUIRED, TARGET),
}
# The drills that the requirement W9-DRILLS names.
REQUIRED = [
    "lose-machine",
    "lose-manager",
    "stop-rke2",
    "rolling-restart",
    "cut-off-machine",
    "cut-one-way",
    "lose-packets",
    "lose-osd",
    "lose-monitor",
    "lose-etcd-member",
    "kill-apiserver",
    "kill-postgres-primary",
    "kill-pods",
    "fill-disk",
    "slow-disk",
    "exhaust-memory",
    "exhaust-cpu",
    "break-dns",
    "lose-ingress",
    "skew-clock",
]


def mistakes(root: Path, **changes: object) -> list[tuple[str, str]]:
    (root / "scenarios/drills").mkdir(parents=True, exist_ok=True)
    (root / "features").mkdir(exist_ok=True)
    (root / "features/drills.feature").write_text(FEATURE)
    text = yaml.safe_dump({**DRILL, **changes}, sort_keys=False)
    (root / "scenarios/drills/stumble.yaml").write_text(text)
    found = drills(root, read_features(root / "features"), FAULTS)
    return [(it.where.rpartition("/")[2], it.says) for it in found]


def test_a_drill_that_is_right_has_no_mistake(tmp_path: Path) -> None:
    assert mistakes(tmp_path) == []


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ({"fault": "lose-face"}, "there is no fault lose-face"),
        ({"with": {"percent": 10, "colour": "red"}}, "lose-packets has no parameter colour"),
        ({"with": {}}, "lose-packets needs percent"),
    ],
)
def test_a_fault_that_could_not_be_planned_is_found_with_its_line(
    tmp_path: Path, fault: dict[str, object], says: str
) -> None:
    planned = {"fault": "lose-packets", "hold_s": 1, "with": {"percent": 10}, **fault}
    assert mistakes(tmp_path, faults=[planned]) == [("stumble.yaml:7", says)]


LOOKS = {"probes": ["swarm"], "during": ["names resolve in pods"], "checks": ["TLS is valid"]}
OTHERS = settings_drills.OF_BYSTANDERS


def test_looks_that_nobody_could_take_are_found(tmp_path: Path) -> None:
    looks = {"probes": ["tea-leaves"], "during": ["all is well"], "checks": ["all is well"]}
    found = mistakes(tmp_path, looks=looks, targets={**DRILL["targets"], OTHERS: TARGET})
    assert [says for _, says in found] == [
        "there is no probe named “tea-leaves”",
        "there is no check named “all is well”",
    ]


@pytest.mark.parametrize(
    ("looks", "target", "words"),
    [
        (LOOKS, None, "looks without bystanders_recovered_s prove nothing"),
        (None, TARGET, "bystanders_recovered_s needs looks"),
        ({**LOOKS, "during": []}, TARGET, "bystanders_recovered_s needs looks during the fault"),
        (
            LOOKS,
            {**TARGET, "at_most": 2},
            "bystanders_recovered_s is longer than the fault holds",
        ),
    ],
)
def test_looks_at_the_others_without_a_number_that_they_can_miss_are_found(
    tmp_path: Path, looks: object, target: object, words: str
) -> None:
    targets = {**DRILL["targets"], **({OTHERS: target} if target else {})}
    ((where, says),) = mistakes(tmp_path, targets=targets, **({"looks": looks} if looks else {}))
    assert where.startswith("stumble.yaml:")
    assert words in says


def test_looks_before_and_afterwards_alone_need_no_number_of_the_others(tmp_path: Path) -> None:
    assert mistakes(tmp_path, looks={**LOOKS, "during": []}) == []


def test_a_load_that_is_not_there_or_not_right_is_found(tmp_path: Path) -> None:
    keys = (*settings_drills.REQUIRED, *settings_drills.OF_LOAD)
    loaded = {"load": "crowd", "targets": dict.fromkeys(keys, TARGET)}
    ((where, says),) = mistakes(tmp_path, **loaded)
    assert (where.partition(":")[0], says) == ("stumble.yaml", "there is no load crowd")
    (tmp_path / "scenarios/load").mkdir()
    load = "{schema: 1, name: NAME, title: t, requests_per_s: RATE, timeout_s: 1, paths: [/]}"
    path = tmp_path / "scenarios/load/crowd.yaml"
    path.write_text(load.replace("NAME", "crowd").replace("RATE", "5"))
    assert mistakes(tmp_path, **loaded) == []
    path.write_text(load.replace("NAME", "mob").replace("RATE", "5"))
    assert mistakes(tmp_path, **loaded) == [("crowd.yaml:1", "crowd calls itself mob")]
    path.write_text(load.replace("NAME", "crowd").replace("RATE", "0"))
    ((where, says),) = mistakes(tmp_path, **loaded)
    assert where == "crowd.yaml:1"
    assert "requests_per_s" in says


@pytest.mark.parametrize(
    ("load", "key", "words"),
    [
        ("crowd", "failed_percent", "a load without failed_percent and again_p99_ms proves"),
        (None, "failed_percent", "failed_percent needs a load"),
    ],
)
def test_a_load_without_its_numbers_and_numbers_without_a_load_are_found(
    tmp_path: Path, load: str | None, key: str, words: str
) -> None:
    targets = dict.fromkeys((*settings_drills.REQUIRED, key), TARGET)
    ((_, says),) = mistakes(tmp_path, load=load, targets=targets)
    assert words in says


def test_a_drill_without_its_numbers_is_found(tmp_path: Path) -> None:
    ((where, says),) = mistakes(tmp_path, targets={"lost_count": TARGET})
    assert where.startswith("stumble.yaml:")
    assert "a drill without outage_s, steady_again_s, whole_again_s proves nothing" in says


def test_a_notice_that_may_take_longer_than_the_fault_is_there_is_found(tmp_path: Path) -> None:
    targets = {**DRILL["targets"], "noticed_by_ceph_s": {"at_most": 2, "words": "Ceph noticed"}}
    ((where, says),) = mistakes(tmp_path, targets=targets)
    assert where.startswith("stumble.yaml:")
    assert says.startswith("noticed_by_ceph_s is longer than the fault holds")


def test_a_drill_that_nobody_carries_out_and_one_without_a_file_are_found(tmp_path: Path) -> None:
    mistakes(tmp_path)
    (tmp_path / "scenarios/drills/stumble.yaml").rename(tmp_path / "scenarios/drills/fall.yaml")
    found = drills(tmp_path, read_features(tmp_path / "features"), FAULTS)
    assert [it.says for it in found] == [
        "there is no drill stumble in scenarios/drills",
        "fall calls itself stumble",
        "no scenario carries out fall",
    ]


def test_every_drill_that_the_requirement_names_is_there_and_right() -> None:
    assert set(REQUIRED) <= set(drill_names())
    assert list(drills(ROOT, read_features(), FAULTS)) == []
