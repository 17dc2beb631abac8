"""``./cutover soak`` and ``./cutover replay``: hours of random faults, and the same again."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from harness.commands.inner import inner
from harness.commands.output import AllowDisruption, AsJson, Cluster, say, say_json
from harness.commands.running import run_features
from harness.core.errors import NotProven
from harness.core.model import Exit
from harness.drill.schedule import shrunk
from harness.faults.preflight import may_disrupt
from harness.record.history import chosen_turns, run_folder
from harness.settings import ROOT, load_profile
from harness.settings.drills import SOAK_REQUIREMENT, seconds

_OPTIONS = ("--week=9", "--allow-disruption")
_ONLY = f"--only={SOAK_REQUIREMENT}"


def soak(
    duration: Annotated[str, typer.Option("--for", help="How long: 8h, 90m.")] = "8h",
    seed: Annotated[
        int | None, typer.Option(help="Draw every choice from this number, to repeat a run.")
    ] = None,
    cluster: Cluster = "lab",
    resume: Annotated[
        str | None, typer.Option(help="Go on with this run, which was stopped or killed.")
    ] = None,
    allow_disruption: AllowDisruption = False,
    as_json: AsJson = False,
) -> None:
    """Keep the platform busy for hours while one random fault after the other comes and goes.

    Example: ./cutover soak --for 8h --seed 7 --allow-disruption

    Faults, their weights and pauses are in scenarios/soak/soak.yaml. `./cutover replay RUN` repeats
    the same turns. Ctrl-C undoes the fault, reads back the written data, and ends with a verdict;
    --resume continues, also after a killed harness.

    Ends with 0 (nothing lost, leaked or slower), 1 (something was), 2 (wrong usage), 3 (not proven:
    shorter than the gate wants), 4 (refused) or 5 (a fault could not be undone).
    """
    seconds(duration)
    if resume is not None:
        run_folder(ROOT / "reports", resume)
    may_disrupt(load_profile(cluster), allowed=allow_disruption)
    options = [*_OPTIONS, f"--soak-for={duration}"]
    options += [f"--seed={seed}"] if seed is not None else []
    # The journal of a resumed run already has its options.
    options += [f"--resume={resume}"] if resume is not None else [_ONLY]
    raise typer.Exit(run_features(cluster, options, as_json=as_json))


def replay(
    run: Annotated[str, typer.Argument(help="The run of an earlier soak.")],
    turns: Annotated[
        str | None, typer.Option(help="Replay only these turns, by number: 1,4,5.")
    ] = None,
    shrink: Annotated[
        bool, typer.Option("--shrink", help="Look for fewer turns that still fail; takes long.")
    ] = False,
    cluster: Cluster = "lab",
    allow_disruption: AllowDisruption = False,
    as_json: AsJson = False,
) -> None:
    """Repeat the turns of an earlier soak: the same faults, machines, pauses and durations.

    Example: ./cutover replay 20261126T120000Z-week09-7f3a --shrink --allow-disruption

    Ends as soak does; with --shrink, with 1 when some turns still fail (it says which) and 0 when
    none of them fail any more.
    """
    wanted = [turn.number for turn in chosen_turns(run_folder(ROOT / "reports", run), turns)]
    may_disrupt(load_profile(cluster), allowed=allow_disruption)
    if shrink:
        _shrink(run, wanted, cluster, as_json=as_json)
    options = [*_OPTIONS, _ONLY, f"--replay={run}", f"--turns={','.join(map(str, wanted))}"]
    raise typer.Exit(run_features(cluster, options, as_json=as_json))


def _shrink(run: str, numbers: Sequence[int], cluster: str, *, as_json: bool) -> None:
    def still(part: Sequence[int]) -> bool:
        words = f"turns {', '.join(map(str, part))}"
        sys.stderr.write(f"{words}: taking them again\n")
        failed = fails(run, part, cluster)
        sys.stderr.write(f"{words}: {'fail' if failed else 'pass'}\n")
        return failed

    left = shrunk(numbers, still) if still(numbers) else ()
    if as_json:
        say_json({"schema": 1, "run": run, "turns": list(left), "fails": bool(left)})
    elif left:
        say(f"these still fail: ./cutover replay {run} --turns {','.join(map(str, left))}")
    else:
        say("taken again, none of these turns fails")
    raise typer.Exit(int(Exit.NO_GO if left else Exit.GO))


def fails(run: str, numbers: Sequence[int], cluster: str) -> bool:
    """Whether these turns of a run fail when they run again, as a run of their own.

    A fault that cannot be undone counts as a failure. NotProven when the turns did not end: a
    replay that was refused, or found no machine to ask, says nothing about them.
    """
    turns = ",".join(map(str, numbers))
    options = ("--turns", turns, "--cluster", cluster, "--allow-disruption", "--json")
    status, printed = inner("replay", run, *options)
    try:
        verdict = json.loads(printed)
    except ValueError:
        verdict = {}
    judged = {it["id"]: it for it in verdict.get("requirements", ())}.get(SOAK_REQUIREMENT)
    if status == Exit.UNHEALED or (judged and judged["verdict"] == "fail"):
        return True
    # A few turns never last as long as the gate wants: NOT PROVEN, with the last result.
    if not judged or not judged["measured"]:
        raise NotProven(
            f"turns {turns} were not taken again to their end: the replay ended with {status}",
            remedy="see its output above; ./cutover heal undoes what is left",
        )
    return False
