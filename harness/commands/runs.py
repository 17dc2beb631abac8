"""The commands that make a run: ``./cutover gate``, ``drill``, ``soak`` and ``replay``."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from harness.commands.output import (
    AllowDisruption,
    AsJson,
    Cluster,
    say,
    say_json,
    say_list,
    say_progress,
)
from harness.commands.pytest_run import DISRUPTING, run_features
from harness.core.errors import ConfigError, NotProven
from harness.core.interrupts import end_like_ctrl_c
from harness.core.model import Exit
from harness.drill.schedule import shrunk
from harness.faults.preflight import may_disrupt
from harness.record.history import chosen_turns, run_folder
from harness.settings import ROOT, load_gates, load_profile
from harness.settings.drills import SOAK_REQUIREMENT as SOAK
from harness.settings.drills import drill_names, load_drill, seconds

_ONLY_DRILLS = "--only=W9-DRILLS"
_ONLY_SOAK = f"--only={SOAK}"


def gate(
    week: Annotated[
        int | None, typer.Argument(help="The week, 1 to 10.", show_default=False)
    ] = None,
    cluster: Cluster = "lab",
    only: Annotated[
        list[str] | None, typer.Option(help="Prove only this requirement; may be repeated.")
    ] = None,
    resume: Annotated[
        str | None, typer.Option(help="Go on with this run: keep what it saw, run what is missing.")
    ] = None,
    signing_key: Annotated[
        Path | None,
        typer.Option(
            envvar="CUTOVER_SIGNING_KEY",
            help="Sign the evidence with this Ed25519 key (PEM); by default with this machine's.",
        ),
    ] = None,
    without_evidence: Annotated[
        bool,
        typer.Option("--without-evidence", help="Collect no evidence when something is red."),
    ] = False,
    allow_disruption: AllowDisruption = False,
    as_json: AsJson = False,
) -> None:
    """Prove every requirement due by WEEK, the earlier ones too.

    Example: ./cutover gate 1 --cluster lab --only W1-ETCD

    With --json, stdout holds the verdict, and stderr one event a line.

    Ends with 0 (GO), 1 (NO-GO), 2 (wrong usage), 3 (NOT-PROVEN), 4 (REFUSED) or 5 (UNHEALED).
    """
    options = _week_or_run(week, resume, only or ())
    options += [f"--only={requirement}" for requirement in only or []]
    options += ["--without-evidence"] if without_evidence else []
    options += ["--allow-disruption"] if allow_disruption else []
    options += [f"--signing-key={signing_key.resolve()}"] if signing_key is not None else []
    raise typer.Exit(run_features(cluster, options, as_json=as_json))


def _week_or_run(week: int | None, resume: str | None, only: Sequence[str]) -> list[str]:
    if week is None and resume is None:
        raise ConfigError("which week?", remedy="for example: ./cutover gate 1")
    if week is not None:
        load_gates(ROOT / "scenarios/gates").require_due(only, week)
    if resume is not None:
        run_folder(ROOT / "reports", resume)
    options = ["--week", str(week)] if week is not None else []
    return [*options, *(["--resume", resume] if resume is not None else [])]


def drill(
    name: Annotated[
        str | None, typer.Argument(help="A drill, such as lose-machine.", show_default=False)
    ] = None,
    cluster: Cluster = "lab",
    machine: Annotated[
        list[str] | None,
        typer.Option("--machine", help="On this machine instead of the drill's own; repeatable."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Draw every choice from this number, to repeat a run.")
    ] = None,
    allow_disruption: AllowDisruption = False,
    show: Annotated[bool, typer.Option("--list", help="List the drills, and do nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Run one failover drill: steady state, ledger, fault, heal, steady state again.

    Example: ./cutover drill lose-machine --machine vmi2887103 --allow-disruption

    `./cutover plan lose-machine` shows the drill beforehand and touches nothing. Ctrl-C undoes the
    fault and ends with a verdict; `./cutover heal` undoes what a killed run left.

    Ends with 0 (survived), 1 (it did not), 2 (wrong usage), 3 (not proven), 4 (refused; nothing was
    touched) or 5 (the fault could not be undone).
    """
    if show:
        say_list("drills", [load_drill(it) for it in drill_names()], as_json=as_json)
        raise typer.Exit(int(Exit.GO))
    if name is None:
        raise ConfigError("which drill?", remedy="./cutover drill --list")
    load_drill(name)
    profile = load_profile(cluster)
    profile.require_machines(machine or ())
    may_disrupt(profile, allowed=allow_disruption)
    options = [*DISRUPTING, _ONLY_DRILLS, f"--drill={name}"]
    options += [f"--machine={it}" for it in machine or ()]
    options += [f"--seed={seed}"] if seed is not None else []
    raise typer.Exit(run_features(cluster, options, as_json=as_json))


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
    options = [*DISRUPTING, f"--soak-for={duration}"]
    options += [f"--seed={seed}"] if seed is not None else []
    # The journal of a resumed run already has its options.
    options += [f"--resume={resume}"] if resume is not None else [_ONLY_SOAK]
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
    options = [*DISRUPTING, _ONLY_SOAK, f"--replay={run}", f"--turns={','.join(map(str, wanted))}"]
    raise typer.Exit(run_features(cluster, options, as_json=as_json))


def _shrink(run: str, numbers: Sequence[int], cluster: str, *, as_json: bool) -> None:
    def still(part: Sequence[int]) -> bool:
        words = f"turns {', '.join(map(str, part))}"
        say_progress(f"{words}: taking them again")
        failed = fails(run, part, cluster)
        say_progress(f"{words}: {'fail' if failed else 'pass'}")
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
    judged = {it["id"]: it for it in verdict.get("requirements", ())}.get(SOAK)
    if status == Exit.UNHEALED or (judged and judged["verdict"] == "fail"):
        return True
    # A few turns never last as long as the gate wants: NOT PROVEN, with the last result.
    if not judged or not judged["measured"]:
        raise NotProven(
            f"turns {turns} were not taken again to their end: the replay ended with {status}",
            remedy="see its output above; ./cutover heal undoes what is left",
        )
    return False


def inner(*words: str) -> tuple[int, str]:
    """Run ``./cutover WORDS`` to its end; its exit status and its output.

    On Ctrl-C or a signal from CI, this process forwards each signal once and waits: the inner
    command undoes its fault and reports first. Then it raises KeyboardInterrupt.
    """
    return to_its_end([sys.executable, "-m", "harness", *words])


def to_its_end(command: Sequence[str]) -> tuple[int, str]:
    """The same for any command; its diagnostics go to this process's stderr."""
    end_like_ctrl_c()
    interrupted = False
    # In its own session: a terminal would send Ctrl-C too, and the command would count it twice.
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        while True:
            try:
                printed, _ = process.communicate()
                break
            except KeyboardInterrupt:
                interrupted = True
                process.send_signal(signal.SIGINT)
    if interrupted:
        raise KeyboardInterrupt
    return process.returncode, printed
