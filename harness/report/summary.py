"""The verdict in a few lines: for a terminal, and as Markdown for a chat or a merge request."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from pathlib import Path

from harness.core.model import Outcome
from harness.facts.drills import SOAK
from harness.gate import Judgement, Manifest, RunState
from harness.report.printable import printable
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
    with_unit,
)
from harness.settings import drills

# Characters with a meaning in Markdown; a backslash before one makes it plain.
_MARKUP = re.compile(r"[\\`*_\[\]|~!]")


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
    if manifest.drill is not None:
        return f"./cutover drill {manifest.drill} {at} --allow-disruption"
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
    """True if a drill or a soak is among the scenarios that prove these requirements, or any."""
    return any(
        scenario.drill is not None or drills.SOAK_REQUIREMENT in scenario.requirements
        for scenario in manifest.scenarios
        if not selected or set(selected) & set(scenario.requirements)
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


def plain(text: str) -> str:
    """Text that Markdown, and the HTML in it, shows unchanged."""
    return _MARKUP.sub(r"\\\g<0>", " ".join(html.escape(printable(text), quote=False).split()))
