"""``./cutover plan WEEK``: what a gate would prove, and how; touches nothing."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from harness.commands.output import AsJson, Cluster, say, say_json
from harness.gate import Manifest
from harness.launch import Asked, plan_run
from harness.report.words import bound
from harness.settings import Requirement, load_profile


def plan(
    week: Annotated[int, typer.Argument(help="The week, 1 to 10.")],
    cluster: Cluster = "lab",
    as_json: AsJson = False,
) -> None:
    """Say what the gate of WEEK would prove on a cluster: targets, scenarios, waivers, gaps.

    Example: ./cutover plan 4 --cluster contabo
    """
    profile = load_profile(cluster)
    manifest = plan_run(Asked(cluster=cluster, week=week), profile)
    rows = [_row(requirement, manifest) for requirement in manifest.requirements]
    if as_json:
        say_json({"schema": 1, "week": week, "cluster": profile.name, "requirements": rows})
        return
    say(f"Week {week} on {profile.name}: {profile.title}")
    machines = ", ".join(f"{it.name} ({it.address})" for it in manifest.cluster.machines)
    say(f"Machines: {machines}")
    for row in rows:
        say(f"\n{row['id']} ({row['severity']}, {row['owner']})  {row['title']}")
        for target in row["targets"]:
            say(f"  target    {target}")
        for scenario in row["scenarios"]:
            say(f"  scenario  {scenario}")
        if row["gap"]:
            say(f"  !         {row['gap']}")


def _row(requirement: Requirement, manifest: Manifest) -> dict[str, Any]:
    scenarios = manifest.proving(requirement.id)
    absent = manifest.why_absent(requirement.needs)
    waived = [it for it in manifest.waivers if it.requirement == requirement.id]
    gap = None
    if absent is not None:
        gap = f"not applicable: {absent}"
    elif not scenarios:
        gap = "no scenario proves it yet: NOT PROVEN"
    elif waived:
        gap = f"a waiver covers it until {waived[0].expires:%d %B %Y}"
    return {
        "id": requirement.id,
        "severity": requirement.severity.value,
        "owner": requirement.owner,
        "title": requirement.title,
        "targets": [f"{it.words} {bound(it, key)}" for key, it in requirement.targets.items()],
        "scenarios": [scenario.id for scenario in scenarios],
        "gap": gap,
    }
