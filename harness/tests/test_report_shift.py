"""The steps of a move in a report."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from harness.report.page import page
from harness.report.shift_table import shift_rows
from harness.tests.clean_cluster import CLUSTER
from harness.tests.clean_shift import seen
from harness.tests.reported import one_of_each


def drawn(folder: Path, change: Any = lambda _: None) -> tuple[Any, str]:
    (value,) = seen()["shift"].values()
    change(value)
    at = {"target": CLUSTER.name, "at": time.time(), "took_s": 8.0, "value": value, "error": None}
    records = [("look", "shift", {"targets": [CLUSTER.name]}), ("observation", "shift", at)]
    judged = one_of_each(folder / "run", *records).judged()
    return shift_rows(judged.run_state), page(judged)


def test_each_step_is_a_row_with_its_way_back(tmp_path: Path) -> None:
    rows, text = drawn(tmp_path)
    assert [(it.share, it.measured, it.word) for it in rows] == [
        ("0 %", "0.0 %", "good"),
        ("10 %", "10.0 %", "good"),
        ("100 %", "100.0 %", "good"),
    ]
    assert rows[1].ways_back == ("0 % after 2.0 s, command 0.4 s",)
    assert rows[2].answers == "100000, 0 failed"
    assert "Traffic, step by step" in text
    assert "0 % after 2.0 s, command 0.4 s" in text


def test_a_bad_step_says_how_soon_it_went_back(tmp_path: Path) -> None:
    def sick(it: Any) -> None:
        it["steps"] = it["steps"][:1]
        it["steps"][0].update(quality="sick", shown_s=None)
        it["returns"] = [it["returns"][1] | {"first_error_s": 1.5, "back_s": None}]

    rows, _ = drawn(tmp_path, sick)
    assert (rows[1].word, rows[1].style, rows[1].shown) == ("sick", "fail", "–")
    assert rows[1].ways_back == ("0 % after –, command 0.4 s, first error 1.5 s before",)


def test_going_back_alone_is_a_row_too(tmp_path: Path) -> None:
    def back(it: Any) -> None:
        it.update(before=None, steps=[], returns=it["returns"][:1])

    rows, _ = drawn(tmp_path, back)
    assert [(it.share, it.word) for it in rows] == [("100 %", "not judged")]


def test_a_report_without_a_move_has_no_such_table(tmp_path: Path) -> None:
    assert "Traffic, step by step" not in page(one_of_each(tmp_path / "run").judged())
