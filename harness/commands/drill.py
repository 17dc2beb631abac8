"""``./cutover drill NAME``: break one thing on purpose, and check that everything else goes on."""

from __future__ import annotations

from typing import Annotated

import typer

from harness.commands.output import AllowDisruption, AsJson, Cluster, say, say_json
from harness.commands.running import run_features
from harness.core.errors import ConfigError
from harness.core.model import Exit
from harness.faults.preflight import may_disrupt
from harness.settings import load_profile
from harness.settings.drills import drill_names, load_drill

_WEEK = 9
_REQUIREMENT = "W9-DRILLS"


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
        _list(as_json=as_json)
        raise typer.Exit(int(Exit.GO))
    if name is None:
        raise ConfigError("which drill?", remedy="./cutover drill --list")
    load_drill(name)
    profile = load_profile(cluster)
    profile.require_machines(machine or ())
    may_disrupt(profile, allowed=allow_disruption)
    options = [f"--week={_WEEK}", f"--only={_REQUIREMENT}", f"--drill={name}"]
    options += ["--allow-disruption", *(f"--machine={it}" for it in machine or ())]
    options += [f"--seed={seed}"] if seed is not None else []
    raise typer.Exit(run_features(cluster, options, as_json=as_json))


def _list(*, as_json: bool) -> None:
    drills = [load_drill(name) for name in drill_names()]
    if as_json:
        rows = [it.model_dump(mode="json", by_alias=True) for it in drills]
        say_json({"schema": 1, "drills": rows})
        return
    for it in drills:
        say(f"{it.name:<22} {it.title}")
