"""The charts of loads in a report: every load of a run, with its stages and active faults."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.gate import Judgement
from harness.report.load_charts import HEIGHT, LEFT, WIDTH, LoadChart, load_charts
from harness.report.page import page
from harness.tests.clean_case import clean
from harness.tests.clean_cluster import CLUSTER
from harness.tests.clean_drills import DRILL
from harness.tests.reported import one_of_each

BEGAN = time.time()


def moment(**known: Any) -> dict[str, Any]:
    usual = {"planned": 40, "answered": 40, "failed": 0, "limited": 0}
    return {**usual, "p50_ms": 10.0, "p95_ms": 40.0, "p99_ms": 100.0, **known}


def course(*moments: Mapping[str, Any], **known: Any) -> dict[str, Any]:
    marks = {"stage 1, 20/s": 0.0, "stage 2, 60/s": 4.0}
    return {"began": BEGAN, "every_s": 2, "marks": marks, "moments": list(moments), **known}


STALLED = course(
    moment(),
    moment(answered=10, failed=20, limited=10, p50_ms=None, p95_ms=None, p99_ms=None),
    moment(p99_ms=1000.0),
    moment(),
)


def judged(folder: Path, *seen: tuple[str, str, Any], fault: bool = False) -> Judgement:
    """A run with these observations: probe, target and value."""
    records: list[tuple[str, str, Mapping[str, Any]]] = []
    for probe, target, value in seen:
        records.append(("look", probe, {"targets": [target]}))
        one = {"target": target, "at": BEGAN, "took_s": 8.0, "value": value, "error": None}
        records.append(("observation", probe, one))
    if fault:
        told = {"event": "injected", "fault": "lose-osd", "target": "one"}
        records.append(("fault", "f1", told))
    return one_of_each(folder / "run", *records).judged()


def offered(name: str, **known: Any) -> Any:
    value = clean()["loads"][CLUSTER.name]["busy-hour"]["value"]
    return {name: {"value": {**value, "course": STALLED, **known}}}


def drawn(folder: Path, *seen: tuple[str, str, Any], fault: bool = False) -> LoadChart:
    (chart,) = load_charts(judged(folder, *seen, fault=fault).run_state)
    return chart


def test_rate_answer_times_and_errors_are_drawn_over_one_time(tmp_path: Path) -> None:
    chart = drawn(tmp_path, ("loads", "contabo", offered("busy-hour")))
    assert chart.words == "busy-hour"
    assert [list(it.lines) for it in chart.panels] == [
        ["planned", "answered"],
        ["p50", "p95", "p99"],
        ["failed", "limited (429)"],
    ]
    rate, _, errors = chart.panels
    # Twenty requests a second are the top of their panel, and ten errors that of theirs.
    assert {it.partition(",")[2] for it in rate.lines["planned"][0].split()} == {f"{rate.y}"}
    assert [words for _, words in rate.ticks] == ["0", "20"]
    assert [words for _, words in errors.ticks] == ["0", "10"]
    failed = [float(it.partition(",")[2]) for it in errors.lines["failed"][0].split()]
    assert failed[:4] == [errors.y + HEIGHT, errors.y, errors.y + HEIGHT, errors.y + HEIGHT]


def test_a_percentile_that_nobody_knows_is_a_gap_and_no_zero(tmp_path: Path) -> None:
    chart = drawn(tmp_path, ("loads", "contabo", offered("busy-hour")))
    before, after = chart.panels[1].lines["p99"]
    assert len(before.split()) == 2  # one point, as a dot
    assert len(after.split()) == 3
    assert [words for _, words in chart.panels[1].ticks] == ["1", "10", "100", "1000"]


def test_stages_and_faults_are_marked_where_they_were(tmp_path: Path) -> None:
    """The load lasts 40 minutes, in which the fault is injected now."""
    marks = {"stage 1, 20/s": 0.0, "stage 2, 60/s": 1200.0}
    long = {**STALLED, "began": time.time() - 60, "every_s": 600, "marks": marks}
    chart = drawn(tmp_path, ("loads", "contabo", offered("busy-hour", course=long)), fault=True)
    assert chart.marks == ((LEFT, "stage 1, 20/s"), (LEFT + WIDTH / 2, "stage 2, 60/s"))
    ((x, width, words),) = chart.faults
    assert words == "lose-osd on one"
    assert LEFT < x <= x + width <= chart.width
    assert len(chart.times) == 5


def test_a_fault_of_another_time_is_not_marked(tmp_path: Path) -> None:
    long_ago = offered("busy-hour", course={**STALLED, "began": BEGAN - 3600})
    assert drawn(tmp_path, ("loads", "contabo", long_ago), fault=True).faults == ()


def test_both_platforms_drills_and_soaks_have_their_charts(tmp_path: Path) -> None:
    compared = clean()["load-comparison"][CLUSTER.name]["busy-hour"]["value"]
    for side in ("old", "new"):
        compared[side][0]["course"] = STALLED
    drill = clean()["drills"][DRILL]
    drill["runs"] = drill["runs"][:1]
    drill["runs"][0]["load"]["course"] = {**STALLED, "marks": {"during": 4.0}}
    machine = drill["runs"][0]["machine"]
    seen = (
        ("load-comparison", "contabo", {"busy-hour": {"value": compared}}),
        ("drills", DRILL, drill),
    )
    judgement = judged(tmp_path, *seen)
    assert [it.words for it in load_charts(judgement.run_state)] == [
        "busy-hour, first run on the old platform",
        "busy-hour, first run on the new platform",
        f"{DRILL}/{machine}",
    ]
    text = page(judgement)
    assert text.count("<summary>Load: ") == 3
    assert ">during</text>" in text


def test_what_cannot_be_drawn_is_left_out(tmp_path: Path) -> None:
    """A load without an answer, one that broke off, and facts of another version."""
    for number, value in enumerate(
        (
            offered("empty", course=course()),
            {"broken": {"error": "no request was answered"}},
            {"other": {"value": {"stages": {}}}},
        )
    ):
        judgement = judged(tmp_path / str(number), ("loads", "contabo", value))
        assert load_charts(judgement.run_state) == ()
        assert "<summary>Load: " not in page(judgement)
