"""Plans a drill: its machines, its faults, and what would be left meanwhile. Read only."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from random import Random
from typing import NotRequired, TypedDict

from pydantic import ValidationError

from harness.core.errors import ConfigError, HarnessError, Refused
from harness.faults import observers, undo_store
from harness.faults.budget import Margin, margins
from harness.faults.cluster_state import current_state, pod_margins, swarm_margins
from harness.faults.fault import Fault
from harness.faults.kinds import FAULTS
from harness.faults.kinds.pods import primary_machine
from harness.faults.preflight import DISRUPTION
from harness.ledger.targets import LEDGER_PERMISSIONS
from harness.load.spec import load_spec, why_none
from harness.probes import ceph, swarm
from harness.probes.permissions import PERMISSIONS
from harness.settings.drills import Drill, Planned
from harness.settings.loads import find_load
from harness.transport import Reach
from harness.transport.reading import reading

# The programs that plan sends to machines only read.
_SCRIPTS = (ceph.SCRIPT, swarm.SCRIPT, undo_store.AGENT, observers.ASKING)
_LEASE_S = 30.0
# The plan's placeholder for the ledger's namespace, which exists only during the drill.
LEDGER_SPACE = "‹the ledger's›"


class ActPlan(TypedDict):
    place: str
    command: str


class UndoPlan(TypedDict):
    place: str
    commands: list[str]


class FaultPlan(TypedDict):
    """One fault of a drill: its commands, its undo, and what it would leave (``margins``)."""

    fault: str
    target: str
    does: str
    refused: str | None
    resolved: str
    acts: list[ActPlan]
    undo: UndoPlan
    lease_s: float
    margins: list[str]


class RunPlan(TypedDict):
    """The faults on one machine, or why they are not known, and what to do about it."""

    machine: str
    faults: list[FaultPlan]
    unknown: NotRequired[str]
    remedy: NotRequired[str]


class DrillPlan(TypedDict):
    """A drill as it would run, for people and as JSON."""

    drill: str
    title: str
    effect: str
    seed: int
    load: str
    runs: list[RunPlan]
    permissions: list[str]


def planned(drill: Drill, reach: Reach, seed: int, machines: Sequence[str] = ()) -> DrillPlan:
    """The drill as it would run now; any command that would change something is refused."""
    watched = reading(reach, _SCRIPTS)
    draw = Random(f"{seed}/{drill.name}")
    claims = PERMISSIONS["claims"] if drill.claims else ()
    chosen = machines or machines_of(drill, watched, draw)
    return {
        "drill": drill.name,
        "title": drill.title,
        "effect": drill.effect,
        "seed": seed,
        "load": _load(drill, reach),
        "runs": [_run(drill, machine, watched, draw) for machine in chosen],
        "permissions": [str(it) for it in sorted({*DISRUPTION, *LEDGER_PERMISSIONS, *claims})],
    }


def _load(drill: Drill, reach: Reach) -> str:
    """The load on the ingress meanwhile, or why there is none."""
    if drill.load is None:
        return "none"
    try:
        spec = load_spec(find_load(drill.load), reach.profile, lasts_s=0)
    except HarnessError as error:
        return f"not known: {str(error).partition(chr(10))[0]}"
    return f"none: {why_none(reach.profile)}" if spec is None else f"{drill.load}: {spec}"


def _run(drill: Drill, machine: str, reach: Reach, draw: Random) -> RunPlan:
    try:
        faults = plan(drill, machine, reach, draw) or sketch(drill, machine, reach, draw)
        return {"machine": machine, "faults": [_fault(it, reach) for it in faults]}
    except HarnessError as error:
        why = str(error).partition("\n")[0]
        return {"machine": machine, "faults": [], "unknown": why, "remedy": error.remedy}


def _fault(fault: Fault, reach: Reach) -> FaultPlan:
    place, commands = fault.undo(reach)
    later = getattr(fault, "namespace", None) == LEDGER_SPACE
    try:
        sums = [str(it) for it in margins(current_state(reach), fault.machine, fault.blast_radius)]
        sums += [str(it) for it in swarm_margins(reach, fault)]
        sums += _of_pods(pod_margins(reach, fault))
    except HarnessError as error:
        sums = [f"not known: {str(error).partition(chr(10))[0]}"]
    return {
        "fault": fault.name,
        "target": fault.target,
        "does": (type(fault).__doc__ or "").partition("\n")[0],
        # The harness knows whether a fault is refused once its choices are made.
        "refused": None if later else fault.refuse(reach),
        "resolved": "when the ledger is kept" if later else "now",
        "acts": [{"place": it.place, "command": shlex.join(it.argv)} for it in fault.acts(reach)],
        "undo": {"place": place, "commands": [shlex.join(it) for it in commands]},
        "lease_s": _LEASE_S,
        "margins": sums,
    }


def _of_pods(lines: Sequence[Margin]) -> Sequence[str]:
    """The sums of sets of pods that do not hold, and the number that do: there may be hundreds."""
    enough = sum(line.holds for line in lines)
    held = [f"sets of several pods on it, and their budgets: {enough} of {len(lines)} hold"]
    return [*(str(line) for line in lines if not line.holds), *(held if lines else ())]


def machines_of(drill: Drill, reach: Reach, draw: Random) -> Sequence[str]:
    """The machines that a drill runs on; ConfigError when the cluster has no such machine."""
    cluster = reach.profile.cluster()
    if drill.where == "swarm-manager":
        return [_swarm_manager(reach)]
    if drill.where == "postgres-primary":
        return [primary_machine(reach)]
    servers = drill.where in ("each-server", "a-server")
    names = [it.name for it in (cluster.servers if servers else cluster.machines)]
    if not names:
        raise ConfigError(
            f"the drill {drill.name} needs a server, and {cluster.name} declares none",
            remedy="give at least one of `machines:` the role server",
        )
    if drill.where.startswith("each-"):
        return names
    drawn = draw.sample(names, len(names))
    return [next((it for it in drawn if _can_be_hit(drill, it, reach)), drawn[0])]


def must_be_there(drill: Drill, machine: str, reach: Reach) -> None:
    """Refused if the database's primary, which the drill is to hit, is on another machine.

    It may have moved while the steady state was waited for.
    """
    if drill.where == "postgres-primary" and (now := primary_machine(reach)) != machine:
        raise Refused(
            f"expected the primary of PostgreSQL on {machine}, seen on {now}",
            remedy=f"./cutover drill {drill.name}: without --machine it takes the primary's",
        )


def _can_be_hit(drill: Drill, machine: str, reach: Reach) -> bool:
    """True if the machine has the drill's target: not every machine runs a name server."""
    return not any(fault.refuse(reach) for fault in plan(drill, machine, reach, Random(0)))


def _swarm_manager(reach: Reach) -> str:
    if reach.profile.swarm_manager is None:
        raise ConfigError(
            f"the profile {reach.profile.name} declares no Swarm manager",
            remedy="set `swarm_manager:` in the profile",
        )
    return reach.profile.swarm_manager


def plan(
    drill: Drill, machine: str, reach: Reach, draw: Random, space: str | None = None
) -> Sequence[Fault]:
    """The faults of a drill on one machine, with every choice made; ConfigError for unknown ones.

    Empty while one of them targets the ledger's own pods and their namespace (``space``) is not
    known: it exists only while the ledger runs.
    """
    if space is None and any(it.hits_ledger for it in drill.faults):
        return []
    return [fault_of(planned, machine, reach, draw, space) for planned in drill.faults]


def fault_of(
    planned: Planned, machine: str, reach: Reach, draw: Random, space: str | None = None
) -> Fault:
    """A planned fault on a machine, with every choice made; ConfigError for an unknown fault."""
    return _of(planned, machine, draw, space).resolved(reach, draw)


def sketch(drill: Drill, machine: str, reach: Reach, draw: Random) -> Sequence[Fault]:
    """The faults of a drill before its ledger runs.

    Faults that target the ledger's own pods have no choices made yet.
    """
    return [
        _of(it, machine, draw, LEDGER_SPACE).sketched()
        if it.hits_ledger
        else fault_of(it, machine, reach, draw)
        for it in drill.faults
    ]


def _of(planned: Planned, machine: str, draw: Random, space: str | None) -> Fault:
    if planned.fault not in FAULTS:
        raise ConfigError(
            f"there is no fault {planned.fault}", remedy=f"there are: {', '.join(sorted(FAULTS))}"
        )
    name = f"{draw.getrandbits(32):08x}"
    kind = FAULTS[planned.fault]
    parameters = dict(planned.parameters)
    if planned.hits_ledger:
        parameters["namespace"] = space
    try:
        return kind(id=name, machine=machine, **parameters)
    except ValidationError as error:
        raise ConfigError(f"the fault {planned.fault} has wrong parameters: {error}") from error
