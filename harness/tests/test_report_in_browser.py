"""The page in Debian's Chromium: quick to open, narrow or wide, and open to everybody."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from harness.core.model import Case, Outcome, Verdict
from harness.record.records import Kind
from harness.report import draw
from harness.report.runbook import night
from harness.report.runbook import page as runbook_page
from harness.settings import load_gates, load_profile
from harness.settings.drills import drill_names, load_drill
from harness.settings.files import cache_dir
from harness.settings.runbook import load_runbook
from harness.tests.browser import number, show
from harness.tests.drilled import carried_out, drill_scenario
from harness.tests.stage import (
    CHECKS,
    manifest,
    play,
    require,
    requirement,
    running,
    scenario,
    waiver,
)
from harness.transport.browser import Page, opened

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("chromium") is None, reason="there is no Chromium here"),
]


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


_IS_DRAWN = """document.querySelector('#W1-R20 div.scenario').checkVisibility(
    {contentVisibilityAuto: true})"""
_SCENARIOS_DRAWN = """[...document.querySelectorAll('div.scenario')].filter(
    it => it.checkVisibility({contentVisibilityAuto: true})).length"""


def test_what_is_far_below_is_not_drawn_before_somebody_looks(shown: Page, large: Path) -> None:
    show(shown, large, width=1200)
    assert number(shown, _SCENARIOS_DRAWN) < 5
    assert not shown.run(_IS_DRAWN)
    shown.run("document.querySelector('#W1-R20').scrollIntoView()")
    frame = "new Promise(seen => requestAnimationFrame(() => requestAnimationFrame(seen)))"
    shown.run(frame)
    assert shown.run(_IS_DRAWN)
    assert number(shown, _SCENARIOS_DRAWN) < 20


def test_on_paper_everything_is_drawn(shown: Page, large: Path) -> None:
    show(shown, large, width=800, paper=True)
    assert number(shown, _SCENARIOS_DRAWN) == 40


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a run with everything that a page can have: faults, evidence, warnings, notes."""
    now = datetime.now(UTC)
    times = {"created": f"{now - timedelta(days=9)}", "expires": f"{now + timedelta(days=9)}"}
    names = tuple(f"W1-{letter}" for letter in "ABCDEFGHIJ")
    long = "Every machine keeps what it was given, and gives it back when it is asked for it"
    plan = manifest(
        only=names,
        due=18,
        uncommitted=True,
        requirements=(
            *(requirement(name, title=long) for name in names[:9]),
            requirement("W1-J", needs=["ingress"]),
        ),
        scenarios=tuple(scenario(f"Proves {name}", proves=name) for name in names),
        waivers=(waiver(requirement="W1-B", **times),),
        past=(
            {
                "run": "20261117T120000Z-week01-aaaa",
                "week": 1,
                "ended": "2026-11-17T12:41:00Z",
                "decision": "GO",
                "requirements": {"W1-A": "pass", "W1-C": "fail", "W1-D": "not_proven"},
            },
        ),
    )
    fault = {"event": "injected", "fault": "cut-off-machine", "target": "machine-number-one"}
    piece = {"what": "journal of rke2-server", "file": "evidence/ab", "bytes": 3, "error": None}
    with running(tmp_path_factory.mktemp("full") / "run", plan) as recorded:
        run = recorded.run
        checks = ("nothing is well", "nobody knows", "all is well")
        for one, check in zip(plan.scenarios, checks, strict=False):
            play(run, require(check), which=one)
        run.write(Kind.FAULT, "f1", fault)
        for event in ("active", "healed", "heal-proved"):
            run.write(Kind.FAULT, "f1", {"event": event})
        run.write(Kind.COLLECT, "red: W1-A", {})
        run.write(Kind.COLLECTED, "one", piece)
        run.write(Kind.COLLECTED, "one", {**piece, "file": None, "error": "it did not answer"})
    draw(recorded.folder, CHECKS)
    return recorded.folder / "report.html"


@pytest.fixture(scope="module")
def axe() -> str:
    """axe-core, which npm fetches once into the cache of slow builds."""
    folder = cache_dir() / f"axe-core-{_AXE}"
    script = folder / "node_modules/axe-core/axe.min.js"
    npm = shutil.which("npm")
    if not script.exists():
        if npm is None:
            pytest.skip("there is no npm here to fetch axe-core with")
        folder.mkdir(parents=True, exist_ok=True)
        options = ("--no-save", "--ignore-scripts", "--no-audit", "--no-fund")
        done = subprocess.run(
            [npm, "install", "--prefix", folder, *options, f"axe-core@{_AXE}"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if done.returncode != 0:
            pytest.skip(f"npm cannot fetch axe-core: {done.stderr.strip()[-200:]}")
    return script.read_text(encoding="utf-8")


_AXE = "4.14.1"
_OPEN_ALL = "document.querySelectorAll('details').forEach(it => it.open = true)"
_FINDINGS = """axe.run(document, {resultTypes: ['violations']}).then(found => found.violations
    .filter(it => ['serious', 'critical'].includes(it.impact))
    .map(it => `${it.id}: ${it.nodes.map(node => node.target.join(' ')).join(', ')}`))"""
_SHAPES = [(1200, False), (1200, True), (400, False), (400, True)]


@pytest.mark.parametrize(("width", "dark"), _SHAPES)
@pytest.mark.parametrize("which", ["full", "worst", "paper"])
def test_axe_finds_nothing_serious(
    shown: Page, which: str, axe: str, width: int, dark: bool, request: pytest.FixtureRequest
) -> None:
    show(shown, request.getfixturevalue(which), width=width, dark=dark)
    shown.run(_OPEN_ALL)
    shown.run(f"{axe}; null")
    assert shown.run(_FINDINGS) == []


_TOO_WIDE = """(() => {const page = document.documentElement;
    return page.scrollWidth - page.clientWidth})()"""


@pytest.mark.parametrize("width", [1200, 720, 400, 320])
@pytest.mark.parametrize("which", ["full", "worst", "paper"])
def test_nothing_has_to_be_scrolled_sideways(
    shown: Page, which: str, width: int, request: pytest.FixtureRequest
) -> None:
    show(shown, request.getfixturevalue(which), width=width)
    shown.run(_OPEN_ALL)
    assert number(shown, _TOO_WIDE) == 0


def _fails(verdict: Verdict, _: Case) -> Verdict:
    return verdict


@pytest.fixture(scope="module")
def worst(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of the last gate, with its own words, when nothing at all is well."""
    requirements = load_gates().requirements
    plan = manifest(
        week=9,
        requirements=requirements,
        scenarios=(
            *(scenario(f"Proves {it.id}", proves=it.id) for it in requirements),
            *map(drill_scenario, drill_names()),
        ),
    )
    reason = "machine-one answered after 42 s instead of 10 s, and machine-two did not answer " * 4
    checks = {
        it.id: partial(_fails, Verdict(outcome=Outcome.FAIL, reason=reason, measured=it.numbers()))
        for it in requirements
    }
    with running(tmp_path_factory.mktemp("worst") / "run", plan, checks=checks) as recorded:
        for one in plan.scenarios:
            if one.drill is not None:
                carried_out(recorded.run, one.drill, {}, load_drill(one.drill).title)
            play(recorded.run, require(one.requirements[0]), which=one)
    draw(recorded.folder, checks)
    return recorded.folder / "report.html"


@pytest.fixture(scope="module")
def paper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The runbook of the real cluster."""
    written = night(load_runbook(), load_profile("contabo"), "contabo", load_gates(), ())
    file = tmp_path_factory.mktemp("paper") / "runbook.html"
    file.write_text(runbook_page(written), encoding="utf-8")
    return file


_PX_A_MM = 96 / 25.4


def test_what_whoever_decides_has_to_see_and_sign_fits_on_one_sheet(
    shown: Page, worst: Path
) -> None:
    show(shown, worst, width=round((210 - 2 * 12) * _PX_A_MM), paper=True)
    height = number(shown, "document.querySelector('.engineers').getBoundingClientRect().top")
    assert height <= (297 - 2 * 12) * _PX_A_MM


def test_the_timeline_is_printed_though_nobody_opened_it(shown: Page, full: Path) -> None:
    show(shown, full, width=700, paper=True)
    assert shown.run("document.querySelector('.timeline svg').checkVisibility()")
    assert (
        number(shown, "document.querySelector('.timeline svg').getBoundingClientRect().height") > 50
    )
