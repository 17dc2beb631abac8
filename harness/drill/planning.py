"""What a drill would do, and what would be left meanwhile; nothing is touched."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from random import Random
from typing import Any

from harness.drill.runner import LEDGER_SPACE, machines_of, plan, sketch
from harness.errors import HarnessError
from harness.faults import reachability, undo_store
from harness.faults.budget import Margin, margins
from harness.faults.cluster_state import current_state, pod_margins
from harness.faults.fault import Fault
from harness.faults.permissions import DISRUPTION
from harness.faults.swarm_budget import swarm_margins
from harness.ledger.permissions import LEDGER
from harness.load.aim import aimed, why_none
from harness.probes import ceph, swarm
from harness.probes.permissions import PERMISSIONS
from harness.settings.drills import Drill
from harness.settings.load import find_load
from harness.transport import Reach
from harness.transport.reading import reading

# The programs that plan sends to machines only read.
_SCRIPTS = (ceph.SCRIPT, swarm.SCRIPT, undo_store.AGENT, reachability.ASKING)
_LEASE_S = 30.0


def planned(drill: Drill, reach: Reach, seed: int, machines: Sequence[str] = ()) -> dict[str, Any]:
    """The drill as it would be carried out now; whatever would change anything is refused."""
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
        "targets": {
            key: f"{it.words} {it.sign} {it.number:g}" for key, it in drill.targets.items()
        },
        "permissions": [str(it) for it in sorted({*DISRUPTION, *LEDGER, *claims})],
    }


def _load(drill: Drill, reach: Reach) -> str:
    """What is asked of the ingress meanwhile, or why nothing is."""
    if drill.load is None:
        return "none"
    try:
        order = aimed(find_load(drill.load), reach.profile, lasts_s=0)
    except HarnessError as error:
        return f"not known: {str(error).partition(chr(10))[0]}"
    return f"none: {why_none(reach.profile)}" if order is None else f"{drill.load}: {order}"


def _run(drill: Drill, machine: str, reach: Reach, draw: Random) -> dict[str, Any]:
    try:
        faults = plan(drill, machine, reach, draw) or sketch(drill, machine, reach, draw)
        return {"machine": machine, "faults": [_fault(it, reach) for it in faults]}
    except HarnessError as error:
        return {"machine": machine, "faults": [], "unknown": str(error).partition("\n")[0]}


def _fault(fault: Fault, reach: Reach) -> dict[str, Any]:
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
        # Whether it is too much is known when its choices are made.
        "refused": None if later else fault.refuse(reach),
        "resolved": "when the ledger is kept" if later else "now",
        "acts": [{"place": it.place, "command": shlex.join(it.argv)} for it in fault.acts(reach)],
        "undo": {"place": place, "commands": [shlex.join(it) for it in commands]},
        "lease_s": _LEASE_S,
        "margins": sums,
    }


def _of_pods(lines: Sequence[Margin]) -> Sequence[str]:
    """The sums of sets of pods that do not hold, and how many do: there may be hundreds."""
    enough = sum(line.holds for line in lines)
    held = [f"sets of several pods on it, and their budgets: {enough} of {len(lines)} hold"]
    return [*(str(line) for line in lines if not line.holds), *(held if lines else ())]
