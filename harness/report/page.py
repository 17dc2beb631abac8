"""report.html."""

from __future__ import annotations

from harness.gate import Judgement


def page(judgement: Judgement) -> str:
    return ""
