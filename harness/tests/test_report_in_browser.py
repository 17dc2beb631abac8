"""The page in Debian's Chromium: quick to open, narrow or wide, and open to everybody."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.report import draw
from harness.tests.browser import Page, opened
from harness.tests.stage import (
    CHECKS,
    manifest,
    play,
    require,
    requirement,
    running,
    scenario,
)

pytestmark = pytest.mark.skipif(
    shutil.which("chromium") is None, reason="there is no Chromium here"
)


@pytest.fixture(scope="module")
def shown() -> Iterator[Page]:
    with opened() as page:
        yield page


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a run in which forty scenarios are red."""
    names = [f"W1-R{number}" for number in range(40)]
    plan = manifest(
        requirements=tuple(map(requirement, names)),
        scenarios=tuple(scenario(f"Proves {name}", proves=name) for name in names),
    )
    with running(tmp_path_factory.mktemp("large") / "run", plan) as recorded:
        for one in plan.scenarios:
            play(recorded.run, require("nothing is well"), which=one)
    draw(recorded.folder, CHECKS)
    return recorded.folder / "report.html"


_SCENARIOS_DRAWN = """[...document.querySelectorAll('.scenario')].filter(
    it => it.checkVisibility({contentVisibilityAuto: true})).length"""


def test_what_is_far_below_is_not_drawn_before_somebody_looks(shown: Page, large: Path) -> None:
    shown.open(large, width=1200)
    assert shown.run(_SCENARIOS_DRAWN) == 0
    shown.run("document.querySelector('#W1-R20').scrollIntoView()")
    frame = "new Promise(seen => requestAnimationFrame(() => requestAnimationFrame(seen)))"
    shown.run(frame)
    assert 1 <= shown.run(_SCENARIOS_DRAWN) < 20


def test_on_paper_everything_is_drawn(shown: Page, large: Path) -> None:
    shown.open(large, width=800, paper=True)
    assert shown.run(_SCENARIOS_DRAWN) == 40
