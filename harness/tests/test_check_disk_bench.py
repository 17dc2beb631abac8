"""Checks of how fast the disks commit, and which stored measurement a gate may believe."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.checks import CHECKS
from harness.core.errors import NotProven
from harness.core.model import Outcome
from harness.probes.disks import newest
from harness.tests.clean_case import case, clean
from harness.tests.clean_cluster import NAMES

FAST, BEFORE = "each disk commits fast enough", "each disk is as fast as its baseline"
TWO = NAMES[1]
CASES: list[tuple[str, dict[str, Any], Outcome, str]] = [
    (FAST, {"iops": 499.0}, Outcome.FAIL, "expected 500 committed writes/s, seen 499"),
    (FAST, {"iops": 19.9, "ended": False}, Outcome.FAIL, "seen fewer than 20"),
    (FAST, {"p99_ms": 11.0}, Outcome.FAIL, "expected a sync p99 within 10 ms, seen 11.0 ms"),
    (FAST, {"iops": 0.0}, Outcome.NOT_PROVEN, "measured nothing"),
    (FAST, {"age_days": 15.0}, Outcome.NOT_PROVEN, "15 days ago"),
    (FAST, {"age_days": 13.0}, Outcome.PASS, "the slowest disk"),
    (BEFORE, {"age_days": 15.0}, Outcome.NOT_PROVEN, "15 days ago"),
    (BEFORE, {"iops": 1590.0}, Outcome.FAIL, "baseline of 2000 writes/s, seen 1590"),
    (BEFORE, {"iops": 1290.0, "noise_percent": 35.0}, Outcome.FAIL, "at most 35 % below its"),
    (BEFORE, {"iops": 1310.0, "noise_percent": 35.0}, Outcome.PASS, "34 % below its baseline"),
    (BEFORE, {"noise_percent": 100.0}, Outcome.NOT_PROVEN, "that is no baseline"),
    (BEFORE, {"baseline_iops": None}, Outcome.NOT_PROVEN, "no baseline was recorded"),
    (BEFORE, {"iops": 9000.0}, Outcome.PASS, "5 % below its baseline"),
    (BEFORE, {"iops": 1610.0}, Outcome.PASS, "20 % below its baseline"),
]


@pytest.mark.parametrize(("check", "change", "outcome", "words"), CASES)
def test_a_disk_is_judged_by_what_it_did_on_its_machine(
    check: str, change: dict[str, Any], outcome: Outcome, words: str
) -> None:
    seen = clean()
    seen["disk-bench"][TWO].update(change)
    verdict = CHECKS[check](case(seen))
    assert (verdict.outcome, words in verdict.reason) == (outcome, True), verdict.reason
    assert verdict.where == (() if outcome is Outcome.PASS else (TWO,))


def test_what_is_reported_is_the_disk_nearest_to_its_own_limit_and_that_limit() -> None:
    seen = clean()
    seen["disk-bench"][TWO].update({"iops": 1310.0, "noise_percent": 60.0})
    seen["disk-bench"][NAMES[0]].update({"iops": 1620.0})
    verdict = CHECKS[BEFORE](case(seen))
    assert verdict.outcome is Outcome.PASS
    assert verdict.measured["osd_bench_deviation_percent"] == pytest.approx(19.0)
    assert verdict.target["osd_bench_deviation_percent"] == 20.0


def result(folder: Path, name: str, **changes: Any) -> None:
    one = {"machine": TWO, "iops": 900.0, "p99_ms": 4.0, "unproven": ""}
    told = {"measured": "raw", "length": "full", "at": "2026-11-25T00:00:00+00:00"}
    document = {**told, "results": [one | changes.pop("one", {})], **changes}
    (folder / f"{name}.json").write_text(json.dumps(document))


def test_the_newest_whole_measurement_of_a_raw_disk_speaks(tmp_path: Path) -> None:
    result(tmp_path, "1", one={"iops": 800.0})
    result(tmp_path, "2")
    result(tmp_path, "3", length="quick")
    result(tmp_path, "4", measured="osd")
    result(tmp_path, "5", one={"unproven": "interrupted"})
    found = newest(tmp_path, TWO, now=1_795_651_200.0)
    assert (found.iops, found.p99_ms) == (900.0, 4.0)
    assert found.age_days == pytest.approx(1.0, abs=1.0)


def test_a_raw_disk_that_was_never_measured_is_not_proven(tmp_path: Path) -> None:
    with pytest.raises(NotProven, match="never measured completely"):
        newest(tmp_path, TWO, now=0.0)


def test_an_osd_whose_latencies_nobody_measures_is_judged_by_its_writes() -> None:
    seen = clean()
    for name in NAMES:
        seen["disk-bench"][name]["p99_ms"] = None
    verdict = CHECKS[FAST](case(seen))
    assert verdict.outcome is Outcome.PASS
    assert "sync_p99_ms" not in verdict.target
