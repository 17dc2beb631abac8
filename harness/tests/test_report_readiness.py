"""The readiness matrix: what each drill cost, against its target, for those who decide."""

from __future__ import annotations

from pathlib import Path

from harness.report.page import page
from harness.report.readiness import DrillRow, readiness
from harness.report.summary import markdown
from harness.tests.drilled import drilled


def cells(row: DrillRow) -> list[str]:
    return [cell.measured for cell in row.cells]


def test_what_stands_in_the_way_comes_first_and_what_came_near_its_limit_next(
    tmp_path: Path,
) -> None:
    rows = readiness(
        drilled(
            tmp_path / "run",
            {
                "easy": {},
                "near": {"outage_s": 88.0},
                "broken": None,
                "slow": {"outage_s": 300.0},
                "lossy": {"lost": 3, "rpo_s": 4.5, "examples": {"lost": ["w1"]}},
            },
            without=["never-run"],
        )
    )
    assert [row.drill for row in rows] == [
        *("lossy", "slow", "broken", "never-run"),
        *("near", "easy"),
    ]
    assert [row.word.text for row in rows] == [
        *("Failed", "Failed", "Not proven", "Not proven"),
        *("Proven", "Proven"),
    ]


def test_each_number_stands_beside_its_own_target(tmp_path: Path) -> None:
    judgement = drilled(
        tmp_path / "run", {"one": {}, "lossy": {"lost": 3, "rpo_s": 4.5, "outage_s": 300.0}}
    )
    lossy, one = readiness(judgement)
    assert cells(one) == ["12 s", "0 s", "0", "0", "41 s"]
    assert [cell.target for cell in lossy.cells] == [
        "at most 90 s, missed",
        "at most 0 s, missed",
        "at most 0, missed",
        "at most 0",
        "at most 300 s",
    ]
    assert "3 lost" in lossy.why


def test_a_drill_without_a_result_shows_that_nothing_was_measured_and_why(tmp_path: Path) -> None:
    judgement = drilled(tmp_path / "run", {"one": {}, "two": {}, "broken": None}, without=["other"])
    rows = {row.drill: row for row in readiness(judgement)}
    assert set(cells(rows["broken"])) == {"unknown"}
    assert "the API was silent" in rows["broken"].why
    assert rows["other"].title == "Other"
    assert "it was not run" in rows["other"].why


def test_a_move_that_is_rehearsed_is_no_drill(tmp_path: Path) -> None:
    judgement = drilled(tmp_path / "run", {"one": {}, "two": {}}, moves=["switch"])
    assert [row.drill for row in readiness(judgement)] == ["one", "two"]


def test_one_drill_has_no_matrix(tmp_path: Path) -> None:
    assert readiness(drilled(tmp_path / "run", {"one": {}}, without=["other"])) == ()


def test_page_and_summary_draw_the_matrix_in_words(tmp_path: Path) -> None:
    judgement = drilled(tmp_path / "run", {"one": {}, "slow": {"outage_s": 300.0}})
    drawn = page(judgement).partition('class="engineers"')[0]
    assert "1 of 2 drills stands in the way" in drawn
    assert drawn.index("What slow breaks") < drawn.index("What one breaks")
    assert '<b class="fail">300 s</b><div class="small">at most 90 s, missed</div>' in drawn
    told = markdown(judgement)
    assert "| ✕ Failed | What slow breaks (`slow`): " in told
    assert "| 300 s (at most 90 s, missed) | 0 s (at most 0 s) |" in told


def test_a_run_without_drills_has_no_word_of_them(tmp_path: Path) -> None:
    judgement = drilled(tmp_path / "run", {"one": {}})
    assert "Ready for a failure" not in page(judgement) + markdown(judgement)
