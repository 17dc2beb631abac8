"""The verdict in short: for a terminal, as Markdown for a merge request, and as JUnit XML for CI.

In JUnit, each requirement and each scenario is a test case.
"""

from __future__ import annotations

import html
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from harness.core.model import Outcome, merge
from harness.facts.drills import SOAK
from harness.facts.switch import MOVES
from harness.gate import Ground, Judged, Judgement, Manifest, RunState
from harness.pytest_gate.catalogue import Scenario
from harness.report.readiness import COLUMNS, readiness
from harness.report.words import (
    OUTCOMES,
    account,
    at_stake,
    blocking,
    clip,
    duration,
    headline,
    if_we_went_ahead,
    next_step,
    printable,
    with_unit,
)
from harness.settings import drills, restore

# Characters with a meaning in Markdown; a backslash before one makes it plain.
_MARKUP = re.compile(r"[\\`*_\[\]|~!]")

_NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def summary_lines(judgement: Judgement, folder: Path) -> list[str]:
    """The verdict for a terminal; the decision comes last, where a reader looks first."""
    lines = []
    for judged in judgement.judged:
        word = OUTCOMES[judged.outcome]
        text = judged.requirement.title if judged.outcome is Outcome.PASS else judged.reason
        lines.append(f"{word.icon} {judged.requirement.id:<14} {word.text:<15} {clip(text, 160)}")
    lines.append("")
    lines += [f"! {warning}" for warning in judgement.warnings]
    lines += [
        f"report   {folder / 'report.html'}",
        f"again    {again(judgement)}",
        "",
        f"{judgement.decision.value}: {account(judgement)}",
    ]
    return lines


def again(judgement: Judgement, only: str | None = None) -> str:
    """The command that runs the same again, or one requirement of it.

    A command that breaks things shows the permission for it. A soak with turns is replayed turn by
    turn: a new soak has other turns and could not show the same.
    """
    run_state = judgement.run_state
    manifest = run_state.manifest
    selected = (only,) if only is not None else manifest.only
    at = f"--cluster {manifest.cluster_argument}"
    allowed = " --allow-disruption" if _disrupts(manifest, selected) else ""
    if manifest.drill in MOVES:
        return f"./cutover rehearse {manifest.drill} {at} --allow-disruption"
    if manifest.drill is not None:
        return f"./cutover drill {manifest.drill} {at} --allow-disruption"
    if manifest.only and set(selected) <= set(restore.PROVES):
        of = f"--customer {manifest.customer} " if manifest.customer else ""
        return f"./cutover backup drill {of}{at} --allow-disruption"
    if selected == (drills.SOAK_REQUIREMENT,):
        return f"./cutover {_soak_again(run_state)} {at}{allowed}"
    options = "".join(f" --only {requirement}" for requirement in selected)
    return f"./cutover gate {manifest.week} {at}{options}{allowed}"


def _soak_again(run_state: RunState) -> str:
    """``replay RUN`` for a soak with turns, else ``soak`` for its requested time."""
    parts = dict(run_state.soaks) | dict(run_state.observed(SOAK))
    values = [done.outcome.value for done in parts.values()]
    broken_off = [event for events in run_state.broken_off.values() for event in events]
    if any(it["turns"] for it in values) or any("turn" in event for event in broken_off):
        return f"replay {run_state.manifest.run}"
    wanted_s = max((it["wanted_s"] for it in values), default=0.0)
    return f"soak --for {wanted_s:.0f}s" if wanted_s else "soak"


def _disrupts(manifest: Manifest, selected: Sequence[str]) -> bool:
    """True if a scenario that proves one of these requirements, or any, acts on the platform."""
    return any(
        step.keyword == "When"
        for scenario in manifest.scenarios
        if not selected or set(selected) & set(scenario.requirements)
        for step in scenario.steps
    )


def markdown(judgement: Judgement) -> str:
    """The verdict as Markdown."""
    manifest = judgement.run_state.manifest
    first, last = judgement.run_state.first, judgement.run_state.last
    lines = [
        f"# {plain(headline(judgement))}",
        "",
        plain(account(judgement)),
        "",
        f"Cluster **{plain(manifest.cluster.name)}** · commit `{manifest.commit[:12]}` · "
        f"{first.moment:%d %B %Y %H:%M} UTC, "
        f"{duration((last.moment - first.moment).total_seconds())} · run `{manifest.run}`",
        "",
    ]
    if blocking(judgement):
        lines += ["## What stands in the way", ""]
    for judged in blocking(judgement):
        requirement, word = judged.requirement, OUTCOMES[judged.outcome]
        lines += [
            f"- {word.icon} **{plain(at_stake(judged))}** (`{requirement.id}`, "
            f"{word.text.lower()}, {plain(requirement.owner)}): {plain(clip(judged.reason, 300))}",
            f"  - If we went ahead: {plain(if_we_went_ahead(judged))}",
            f"  - Next: {plain(next_step(judged))}",
        ]
    lines += _drills(judgement)
    lines += ["", "## Requirements", "", "| | Id | In words | Measured |", "|-|-|-|-|"]
    for judged in judgement.judged:
        word = OUTCOMES[judged.outcome]
        targets = judged.requirement.targets
        measured = ", ".join(
            f"{targets[key].words} {with_unit(value, key)}"
            for key, value in judged.measured.items()
            if key in targets
        )
        lines.append(
            f"| {word.icon} {word.text} | `{judged.requirement.id}` "
            f"| {plain(judged.requirement.title)} | {plain(measured)} |"
        )
    if judgement.warnings:
        lines += ["", "## Warnings", ""]
        lines += [f"- {plain(clip(it, 300))}" for it in judgement.warnings]
    return "\n".join(lines) + "\n"


def _drills(judgement: Judgement) -> Iterator[str]:
    """The readiness matrix, if the run has one."""
    rows = readiness(judgement)
    if not rows:
        return
    yield from ("", "## Ready for a failure?", "")
    yield f"| | When this breaks | {' | '.join(COLUMNS.values())} |"
    yield f"|{'-|' * (len(COLUMNS) + 2)}"
    for row in rows:
        cells = [f"{it.measured} ({it.target})" for it in row.cells]
        told = f"{plain(row.title)} (`{row.drill}`){f': {plain(row.why)}' if row.why else ''}"
        yield f"| {row.word.icon} {row.word.text} | {told} | {' | '.join(map(plain, cells))} |"


def plain(text: str) -> str:
    """Text that Markdown, and the HTML in it, shows unchanged."""
    return _MARKUP.sub(r"\\\g<0>", " ".join(html.escape(printable(text), quote=False).split()))


def junit(judgement: Judgement) -> bytes:
    """NOT PROVEN is an error, FAIL a failure, WAIVED and NOT APPLICABLE are skipped.

    Valid against Ant's JUnit schema, the strictest in use, and against Jenkins's.
    """
    manifest, seen = judgement.run_state.manifest, judgement.run_state.scenarios
    root = ET.Element("testsuites")
    requirements = _suite(root, "requirements", judgement)
    for judged in judgement.judged:
        requirement = judged.requirement
        proving = [seen[it.id] for it in manifest.proving(requirement.id) if it.id in seen]
        name = f"{requirement.id} {requirement.title}"
        took_s = sum(scenario.took_s for scenario in proving)
        case = _case(requirements, f"week{requirement.week:02d}", name, took_s)
        _say(case, judged.outcome, judged.reason)
    scenarios = _suite(root, "scenarios", judgement)
    grounds = _by_scenario(judgement)
    for scenario in manifest.scenarios:
        name = f"{' '.join(scenario.requirements)} {scenario.id}"
        took_s = seen[scenario.id].took_s if scenario.id in seen else 0.0
        case = _case(scenarios, scenario.file, name, took_s)
        outcome, reason = _of(scenario, grounds.get(scenario.id, ()), judgement.judged)
        _say(case, outcome, reason)
    for suite in root:
        _finish(suite)
    ET.indent(root)
    text: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return text + b"\n"


def _suite(root: ET.Element, name: str, judgement: Judgement) -> ET.Element:
    manifest = judgement.run_state.manifest
    suite = ET.SubElement(
        root,
        "testsuite",
        name=name,
        package=f"week{manifest.week:02d}",
        id=str(len(root)),
        hostname=_text(manifest.cluster.name),
        timestamp=f"{judgement.run_state.first.moment:%Y-%m-%dT%H:%M:%S}",
    )
    properties = ET.SubElement(suite, "properties")
    for key, value in (
        ("run", manifest.run),
        ("commit", manifest.commit),
        ("decision", judgement.decision.value),
    ):
        ET.SubElement(properties, "property", name=key, value=_text(value))
    return suite


def _case(suite: ET.Element, classname: str, name: str, took_s: float) -> ET.Element:
    return ET.SubElement(
        suite, "testcase", classname=_text(classname), name=_text(name), time=f"{took_s:.3f}"
    )


def _by_scenario(judgement: Judgement) -> Mapping[str, Sequence[Ground]]:
    found: dict[str, list[Ground]] = {}
    for judged in judgement.judged:
        for ground in judged.grounds:
            if ground.scenario is not None:
                found.setdefault(ground.scenario, []).append(ground)
    return found


def _of(
    scenario: Scenario, grounds: Sequence[Ground], judged: Sequence[Judged]
) -> tuple[Outcome, str]:
    if not grounds:
        moot = [it for it in judged if it.requirement.id in scenario.requirements]
        return merge(it.outcome for it in moot), "; ".join(dict.fromkeys(it.reason for it in moot))
    outcome = merge(ground.outcome for ground in grounds)
    reasons = dict.fromkeys(it.reason for it in grounds if it.outcome is outcome)
    return outcome, "; ".join(reasons)


def _say(case: ET.Element, outcome: Outcome, reason: str) -> None:
    tags = {
        Outcome.FAIL: "failure",
        Outcome.NOT_PROVEN: "error",
        Outcome.WAIVED: "skipped",
        Outcome.NOT_APPLICABLE: "skipped",
    }
    if outcome is Outcome.PASS:
        return
    said = ET.SubElement(case, tags[outcome], message=_text(reason))
    if outcome is not Outcome.NOT_APPLICABLE:
        said.set("type", outcome.value)
        said.text = _text(reason)


def _finish(suite: ET.Element) -> None:
    """Add the totals, and the empty outputs that the schema requires."""
    cases = suite.findall("testcase")
    suite.set("tests", str(len(cases)))
    for attribute, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(attribute, str(len(suite.findall(f"testcase/{tag}"))))
    suite.set("time", f"{sum(float(case.get('time', 0)) for case in cases):.3f}")
    for output in ("system-out", "system-err"):
        ET.SubElement(suite, output)


def _text(text: str) -> str:
    return _NOT_XML.sub("�", text)
