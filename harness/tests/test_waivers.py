"""Waivers in a verdict: what they cover, and what becomes of them afterwards."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from harness.gate import Judgement
from harness.model import Decision, Exit
from harness.tests.stage import manifest, play, require, running, waiver


def _waived(folder: Path, check: str, **changes: Any) -> Judgement:
    now = datetime.now(UTC)
    times = {"created": f"{now - timedelta(days=9)}", "expires": f"{now + timedelta(days=9)}"}
    plan = manifest(waivers=(waiver(**{**times, **changes}),))
    with running(folder, plan) as recorded:
        play(recorded.run, require(check))
    return recorded.judged()


@pytest.mark.parametrize("check", ["nothing is well", "nobody knows"])
def test_a_waiver_in_force_covers_what_blocks_and_names_who_answers(
    tmp_path: Path, check: str
) -> None:
    judgement = _waived(tmp_path / "run", check)
    assert judgement.decision is Decision.GO_WITH_WAIVERS
    assert judgement.exit is Exit.GO
    assert "waived until" in judgement.judged[0].reason
    assert "by Grace: a faster disk is on its way" in judgement.judged[0].reason


def test_an_expired_waiver_turns_red_and_says_since_when(tmp_path: Path) -> None:
    ended = datetime.now(UTC) - timedelta(days=3, hours=1)
    created = ended - timedelta(days=30)
    judgement = _waived(
        tmp_path / "run", "nothing is well", created=f"{created}", expires=f"{ended}"
    )
    assert judgement.decision is Decision.NO_GO
    assert f"expired on {ended:%d %B %Y}, 3 days ago" in judgement.judged[0].reason


def test_a_waiver_that_has_not_begun_covers_nothing(tmp_path: Path) -> None:
    begins = datetime.now(UTC) + timedelta(days=1)
    judgement = _waived(tmp_path / "run", "nothing is well", created=f"{begins}")
    assert judgement.decision is Decision.NO_GO
    assert "its waiver begins on" in judgement.judged[0].reason


def test_a_waiver_that_nothing_needs_is_a_warning(tmp_path: Path) -> None:
    judgement = _waived(tmp_path / "run", "all is well")
    assert judgement.decision is Decision.GO
    assert "the waiver for W1-A is not needed: remove it" in judgement.warnings
