"""The trends of a soak in its report: one small chart for all that may leak or slow down."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.gate import RunState
from harness.record.journal import JournalReader
from harness.record.records import Kind
from harness.report import draw
from harness.report.trends import HEIGHT, WIDTH, Trend, trends
from harness.tests import clean_drills
from harness.tests.clean_cluster import NAMES
from harness.tests.stage import CHECKS, play, require, running


def soaked(folder: Path, **changes: Any) -> RunState:
    """A run with one part of a soak, except for these changes."""
    value = {**clean_drills.soak(), **changes}
    with running(folder) as recorded:
        recorded.run.write(Kind.LOOK, "soak", {"targets": ["part 1"]})
        seen = {"target": "part 1", "at": 1.0, "took_s": 9.0, "value": value, "error": None}
        recorded.run.write(Kind.OBSERVATION, "soak", seen)
        play(recorded.run, require("all is well"))
    return RunState.of(JournalReader(folder), CHECKS)


def growing(**steps: int) -> list[dict[str, Any]]:
    """Nine looks in eight hours; these kinds grow by so much from one to the next."""
    first = clean_drills.footprint()
    machine = first[NAMES[0]]
    return [
        {
            "at_s": 3600.0 * n,
            "seen": {
                **first,
                NAMES[0]: {
                    **machine,
                    **{kind: machine[kind] + n * by for kind, by in steps.items()},
                },
            },
        }
        for n in range(9)
    ]


def lines(folder: Path, **changes: Any) -> tuple[Trend, ...]:
    ((name, found),) = trends(soaked(folder, **changes))
    assert name == "part 1"
    return found


def test_what_grew_most_comes_first_with_its_slope(tmp_path: Path) -> None:
    found = lines(tmp_path / "run", footprints=growing(files=400, processes=1))
    assert found[0].words == f"{NAMES[0]}: files"
    assert found[0].says == "4,000 to 7,200, +400.0 an hour, in 8.0 h"
    assert found[1].words == f"{NAMES[0]}: processes"
    assert not any("available" in it.words for it in found)


def test_a_line_begins_at_zero_and_fills_the_time(tmp_path: Path) -> None:
    found = lines(tmp_path / "run", footprints=growing(files=500))
    places = [tuple(map(float, it.split(","))) for it in found[0].points.split()]
    assert places[0] == (0.0, HEIGHT - (HEIGHT - 2) / 2)  # half as many at the start
    assert places[-1] == (WIDTH, 2.0)
    assert len(places) == 9


def test_answers_are_drawn_by_quarter(tmp_path: Path) -> None:
    quarters = [{"postgres": 10.0 + n} for n in range(4)]
    found = lines(tmp_path / "run", latency_ms=quarters)
    assert (found[-1].words, found[-1].says) == ("postgres: answers, ms", "10 to 13 by quarter")


def test_one_look_and_one_that_failed_draw_no_line(tmp_path: Path) -> None:
    one = [
        {"at_s": 0.0, "seen": {"API": "no answer"}},
        {"at_s": 9.0, "seen": {"two": {"files": 1}}},
    ]
    assert trends(soaked(tmp_path / "run", footprints=one, latency_ms=[])) == ()


def test_the_page_draws_them_with_words_for_those_who_do_not_see(tmp_path: Path) -> None:
    soaked(tmp_path / "run", footprints=growing(files=400))
    draw(tmp_path / "run", CHECKS)
    page = (tmp_path / "run/report.html").read_text(encoding="utf-8")
    assert "Trends of the soak, part 1" in page
    assert f'aria-label="{NAMES[0]}: files: 4,000 to 7,200, +400.0 an hour, in 8.0 h"' in page
