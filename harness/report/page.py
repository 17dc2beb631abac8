"""report.html: one self-contained page, first for decision makers, then for engineers; and its PDF.

This module provides the content; ``reports/templates/report.html`` provides the layout.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from itertools import pairwise
from pathlib import Path

import jinja2

from harness.core.errors import NotProven
from harness.core.model import Outcome, merge
from harness.gate import Collected, Judged, Judgement, PastRun, RunState, ScenarioSeen
from harness.pytest_gate.catalogue import Scenario
from harness.report.charts import bars, timeline
from harness.report.first_page import (
    BARS,
    DRILL_ROWS,
    RISKS,
    ROWS,
    began,
    day,
    is_news,
    risk_of,
    row_of,
    since,
    split,
    way_back,
    weeks,
)
from harness.report.load_charts import load_charts
from harness.report.readiness import COLUMNS, readiness
from harness.report.shift_table import shift_rows
from harness.report.summary import again
from harness.report.trends import trends
from harness.report.words import (
    DECISIONS,
    OUTCOMES,
    Word,
    account,
    blocking,
    bound,
    clip,
    duration,
    headline,
    printable,
    with_unit,
)
from harness.settings import ROOT
from harness.transport import browser

TEMPLATES = ROOT / "reports/templates"

_WITHIN_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StepLine:
    """A step of a scenario: ``style`` is passed, failed or unreached."""

    keyword: str
    text: str
    style: str
    took: str
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioDetail:
    """How a scenario went, step by step."""

    word: Word
    name: str
    place: str
    took: str
    lines: tuple[StepLine, ...]
    says: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RequirementDetail:
    """Everything about a requirement, for engineers."""

    word: Word
    id: str
    title: str
    severity: str
    is_open: bool
    says: tuple[str, ...]
    expected: tuple[str, ...]
    observed: tuple[str, ...]
    where: str
    took: str
    looked: str
    since: str
    first_run: str
    flakes: str
    remedy: str
    runbook: str
    again: str
    evidence: tuple[tuple[str, str], ...]
    scenarios: tuple[ScenarioDetail, ...]


def page(judgement: Judgement) -> str:
    """The whole page as HTML."""
    return template("report.html").render(**_content(judgement))


@cache
def template(name: str) -> jinja2.Template:
    """A template, compiled once a process: compiling takes longer than drawing a small page."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
        finalize=_shown,
    )
    return environment.get_template(name)


def _shown(value: object) -> object:
    """Text for a page: characters that HTML forbids, or that turn text around, are replaced."""
    if not isinstance(value, str):
        return value
    return type(value)(printable(value))


def _content(judgement: Judgement) -> dict[str, object]:
    manifest, run_state = judgement.run_state.manifest, judgement.run_state
    first, last = run_state.first.moment, run_state.last.moment
    before = manifest.past[-1] if manifest.past else None
    risks = [risk_of(judged, judgement) for judged in blocking(judgement)]
    rows = [row_of(judged, before) for judged in judgement.judged]
    drills = readiness(judgement)
    room = DRILL_ROWS if drills else 0  # the matrix takes the place of other rows
    return {
        "headline": headline(judgement),
        "word": DECISIONS[judgement.decision],
        "account": account(judgement),
        "manifest": manifest,
        "left_out": manifest.due - len(manifest.requirements),
        "uid": run_state.uid,
        "when": f"{first:%d %b %Y %H:%M} UTC, {duration((last - first).total_seconds())}",
        "before": f"{day(before)}: {before.decision}" if before else None,
        "since": f"Since {day(before)}" if before else None,
        "risks": split(risks, lambda _: True, RISKS - bool(drills)),
        "bars": split(bars(judgement), lambda _: True, BARS - room),
        "drill_columns": list(COLUMNS.values()),
        "drills": split(drills, lambda _: True, DRILL_ROWS),
        "drills_in_the_way": sum(row.stands_in_the_way for row in drills),
        "weeks": weeks(judgement),
        "way_back": way_back(judgement),
        "rows": split(rows, is_news, ROWS - room),
        "warnings": [clip(warning, 400) for warning in judgement.warnings],
        "owners": list(dict.fromkeys(it.requirement.owner for it in judgement.judged)),
        "details": [_detail(judged, judgement) for judged in judgement.judged],
        "faults": list(run_state.faults.values()),
        "timeline": timeline(judgement.run_state),
        "loads": load_charts(judgement.run_state),
        "shift": shift_rows(judgement.run_state),
        "trends": trends(judgement.run_state),
        "again": again(judgement),
        "evidence": _evidence(run_state),
        "collected_for": ", ".join(name.partition(": ")[2] for name in run_state.collections),
        "redacted": sum(run_state.redacted["places"].values()),
        "secrets": len(run_state.redacted["tokens"]),
        "signer": run_state.signer,
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetEvidence:
    """The evidence from one target: links with words, and the missing pieces with their reasons."""

    target: str
    links: tuple[tuple[str, str], ...]
    missing: tuple[str, ...]


def _evidence(run_state: RunState) -> tuple[TargetEvidence, ...]:
    targets = dict.fromkeys(piece.target for piece in run_state.collected)
    return tuple(
        TargetEvidence(
            target=target,
            links=tuple((it.file, it.what) for it in found if it.file is not None),
            missing=tuple(
                f"{it.what}: {clip(it.error, 200)}" for it in found if it.error is not None
            ),
        )
        for target in targets
        if (found := sorted((p for p in run_state.collected if p.target == target), key=_name_of))
    )


def _name_of(piece: Collected) -> str:
    return piece.what


def _flakes(judged: Judged, past: Sequence[PastRun]) -> str:
    """How often the verdict changed from one run to the next."""
    name = judged.requirement.id
    said = [run.requirements[name] for run in past if name in run.requirements]
    said.append(judged.outcome.value)
    changes = sum(one != other for one, other in pairwise(said))
    times = "once" if changes == 1 else f"{changes} times"
    return f"changed {times} in {len(said)} runs" if len(said) > 1 else ""


def _looked(judged: Judged) -> str:
    """When the newest judged observation was made."""
    looked = max((it.looked for it in judged.evaluations if it.looked), default=None)
    return f"{datetime.fromtimestamp(looked, UTC):%d %b %Y %H:%M:%S} UTC" if looked else ""


def _detail(judged: Judged, judgement: Judgement) -> RequirementDetail:
    requirement, run_state = judged.requirement, judgement.run_state
    scenarios = run_state.manifest.proving(requirement.id)
    seen = [run_state.scenarios[it.id] for it in scenarios if it.id in run_state.scenarios]
    where = dict.fromkeys(
        place
        for evaluation in judged.evaluations
        if evaluation.verdict.outcome is not Outcome.PASS
        for place in evaluation.verdict.where
    )
    return RequirementDetail(
        word=OUTCOMES[judged.outcome],
        id=requirement.id,
        title=requirement.title,
        severity=requirement.severity.value,
        is_open=judged.outcome in (Outcome.FAIL, Outcome.NOT_PROVEN),
        says=tuple(judged.reason.split("; ")),
        expected=tuple(f"{t.words} {bound(t, key)}" for key, t in requirement.targets.items()),
        observed=tuple(_observed(judged)),
        where=", ".join(where),
        took=f"{sum(it.took_s for it in seen):.1f} s in {len(seen)} scenarios" if seen else "",
        looked=_looked(judged),
        since=since(judged, judgement),
        first_run=began(judged, judgement)[1],
        flakes=_flakes(judged, run_state.manifest.past),
        remedy=requirement.remedy,
        runbook=requirement.runbook.strip(),
        again=again(judgement, requirement.id),
        evidence=tuple(_link(name) for name in judged.evidence),
        scenarios=tuple(_scenario(it, judged, run_state.scenarios.get(it.id)) for it in scenarios),
    )


def _observed(judged: Judged) -> Iterator[str]:
    targets = judged.requirement.targets
    for key, value in judged.measured.items():
        words = targets[key].words if key in targets else key.rpartition("_")[0].replace("_", " ")
        yield f"{words} {with_unit(value, key)}"


def _link(name: str) -> tuple[str, str]:
    """A link to a piece of evidence: its place and its name."""
    file, _, lines = name.partition("#")
    if lines:
        numbers = lines.replace("-", "–").replace("L", "")
        return file, f"journal, {'lines' if '–' in numbers else 'line'} {numbers}"
    return file, f"{file[:21]}…"


def _scenario(scenario: Scenario, judged: Judged, seen: ScenarioSeen | None) -> ScenarioDetail:
    grounds = [it for it in judged.grounds if it.scenario == scenario.id]
    outcome = merge(it.outcome for it in grounds) if grounds else judged.outcome
    explained = any(step.error for step in seen.steps) if seen else False
    return ScenarioDetail(
        word=OUTCOMES[outcome],
        name=scenario.id.partition(": ")[2],
        place=f"features/{scenario.file}:{scenario.line}",
        took=f"{seen.took_s:.1f} s" if seen else "",
        lines=tuple(_lines(scenario, seen)),
        says=() if explained else tuple(dict.fromkeys(it.reason for it in grounds)),
    )


def _lines(scenario: Scenario, seen: ScenarioSeen | None) -> Iterator[StepLine]:
    done = seen.steps if seen else []
    for number, step in enumerate(scenario.steps):
        state = done[number] if number < len(done) else None
        yield StepLine(
            keyword=step.keyword,
            text=step.text,
            style=state.state if state else "unreached",
            took=f"{state.took_s:.1f} s" if state and state.took_s >= 0.1 else "",
            error=(state.error or "") if state else "",
        )


def print_pdf(folder: Path) -> Path:
    """Print a run's report.html beside it.

    ConfigError when there is no Chromium; NotProven when it prints nothing within two minutes.
    """
    target = folder / "report.pdf"
    target.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(prefix="cutover-", ignore_cleanup_errors=True) as profile:
        # No sandbox: CI runs as root. The page is generated here, has no script and loads nothing.
        printing = browser.command(profile, f"--print-to-pdf={target}")
        try:
            done = subprocess.run(
                [*printing, (folder / "report.html").resolve().as_uri()],
                capture_output=True,
                text=True,
                timeout=_WITHIN_S,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise NotProven(
                f"Chromium printed nothing within {_WITHIN_S:g} s",
                remedy="report.html is drawn; print it again when this computer is less busy",
            ) from error
    if not target.exists():
        last = done.stderr.strip().rpartition("\n")[2]
        raise NotProven(f"Chromium printed nothing, and ended with {done.returncode}: {last}")
    return target
