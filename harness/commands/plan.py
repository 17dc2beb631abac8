"""``./cutover plan WEEK|DRILL``: shows what would be proved or broken, and how; touches nothing."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Annotated, TypedDict

import typer

from harness.commands.output import AsJson, Cluster, say, say_json
from harness.drill.order import longest_s, machine_count, place
from harness.drill.planning import FaultPlan, planned
from harness.gate import Manifest
from harness.pytest_gate.launch import Asked, plan_run
from harness.report.words import bound
from harness.settings import Profile, Requirement, load_profile
from harness.settings.drills import drill_names, load_drill
from harness.transport import connect


class PlanRow(TypedDict):
    """A requirement in the plan of a week; ``gap`` is why a run would not prove it."""

    id: str
    severity: str
    owner: str
    title: str
    targets: list[str]
    scenarios: list[str]
    gap: str | None


class DrillRow(TypedDict):
    """A drill in the plan of a week, and how long it may take (minutes)."""

    drill: str
    up_to_min: float


def plan(
    what: Annotated[str, typer.Argument(help="A week, 1 to 10, or a drill.", metavar="WEEK|DRILL")],
    cluster: Cluster = "lab",
    machine: Annotated[
        list[str] | None, typer.Option("--machine", help="A drill's machine; may be repeated.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="A drill's seed: every choice follows.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show what a gate would prove, or what a drill would break and how it would be undone.

    Example: ./cutover plan lose-machine --cluster contabo

    For a week: its targets, scenarios, waivers, gaps, and its drills in their order. For a drill:
    its targets, every command with its undo, the permissions, and the quorum arithmetic; where a
    machine could not be asked, the plan says so. Nothing is touched.

    Ends with 0 (a plan is printed) or 2 (wrong usage).
    """
    profile = load_profile(cluster)
    profile.require_machines(machine or ())
    if what.isdigit():
        _plan_week(int(what), cluster, profile, as_json=as_json)
    else:
        drawn = secrets.randbits(32) if seed is None else seed
        _plan_drill(what, profile, machine or [], drawn, as_json=as_json)


def _plan_drill(
    name: str, profile: Profile, machines: list[str], seed: int, *, as_json: bool
) -> None:
    drill = load_drill(name).changed(profile.drills.get(name))
    with connect(profile) as reach:
        document = planned(drill, reach, seed, machines)
    targets = {key: f"{it.words} {bound(it, key)}" for key, it in drill.targets.items()}
    if as_json:
        say_json({"schema": 1, "cluster": profile.name, **document, "targets": targets})
        return
    say(f"{drill.name} on {profile.name}: {drill.title}")
    say(f"Customers: {drill.effect}")
    for run in document["runs"]:
        say(f"\n{run['machine']}")
        if "unknown" in run:
            say(f"  !         {run['unknown']}")
        if run.get("remedy"):
            say(f"            what to do: {run['remedy']}")
        for fault in run["faults"]:
            _say_fault(fault)
    say(f"\nload {document['load']}")
    say(f"seed {seed}")
    say("must hold")
    for words in targets.values():
        say(f"  {words}")
    say(f"permissions  {', '.join(document['permissions'])}")


def _say_fault(fault: FaultPlan) -> None:
    say(f"  {fault['fault']} of {fault['target']}: {fault['does']}")
    if fault["refused"]:
        say(f"  !         refused: {fault['refused']}")
    if fault["resolved"] != "now":
        say(f"  !         its targets are resolved {fault['resolved']}")
    for act in fault["acts"]:
        say(f"  does      {act['place']}: {act['command']}")
    undo = fault["undo"]
    for command in undo["commands"]:
        say(f"  undo      {undo['place']}: {command} (by itself after {fault['lease_s']:g} s)")
    for line in fault["margins"]:
        say(f"  leaves    {line}")


def _plan_week(week: int, cluster: str, profile: Profile, *, as_json: bool) -> None:
    manifest = plan_run(Asked(cluster=cluster, week=week), profile)
    rows = [_row(requirement, manifest) for requirement in manifest.requirements]
    drills = _drills(manifest, profile)
    if as_json:
        plan_json = {"week": week, "cluster": profile.name, "requirements": rows}
        say_json({"schema": 1, **plan_json, "drills": drills})
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
    _say_drills(drills, profile.drills_within_min)


def _drills(manifest: Manifest, profile: Profile) -> list[DrillRow]:
    """The drills of a gate, in the order in which it runs them."""
    names = {it.drill for it in manifest.scenarios if manifest.why_not_applicable(it) is None}
    drills = [load_drill(name) for name in drill_names() if name in names]
    placed = sorted(drills, key=lambda it: (place(it, machine_count(it, profile)), it.name))
    return [
        {"drill": it.name, "up_to_min": round(longest_s(it, machine_count(it, profile)) / 60, 1)}
        for it in placed
    ]


def _say_drills(drills: Sequence[DrillRow], within_min: float | None) -> None:
    if not drills:
        return
    together = f"together up to {sum(it['up_to_min'] for it in drills):.0f} min"
    declared = "no limit is declared" if within_min is None else f"{within_min:g} min are declared"
    say(f"\nDrills, in this order: {together}, {declared} (drills_within_min)")
    for it in drills:
        say(f"  up to {it['up_to_min']:4.0f} min  {it['drill']}")


def _row(requirement: Requirement, manifest: Manifest) -> PlanRow:
    scenarios = manifest.proving(requirement.id)
    absent = manifest.why_absent(requirement.needs)
    waived = [it for it in manifest.waivers if it.requirement == requirement.id]
    gap = None
    if absent is not None:
        word = "NOT PROVEN" if manifest.is_undeclared(requirement.needs) else "not applicable"
        gap = f"{word}: {absent}"
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
