"""``./cutover rehearse MOVE``: how the databases move, rehearsed between the real servers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated

import typer

from harness.commands.output import AllowDisruption, AsJson, Cluster
from harness.commands.pytest_run import DISRUPTING, run_features
from harness.core.errors import ConfigError
from harness.drill import dump, switch
from harness.facts.switch import MOVES
from harness.faults.preflight import may_disrupt
from harness.settings import Profile, load_profile

_DECLARED: Mapping[str, Callable[[Profile], object]] = {
    "switch": switch.declared,
    "dump": dump.declared,
}


def rehearse(
    move: Annotated[str, typer.Argument(help="What to rehearse: switch, or dump.")],
    cluster: Cluster = "lab",
    seed: Annotated[
        int | None, typer.Option(help="Draw every choice from this number, to repeat a run.")
    ] = None,
    allow_disruption: AllowDisruption = False,
    as_json: AsJson = False,
) -> None:
    """Rehearse how the databases move to the new platform, between the real servers.

    Example: ./cutover rehearse switch --cluster contabo --allow-disruption

    `switch` moves by logical replication while writers go on: streams in both directions, freeze,
    sequences, switch, first write, and the same way back. `dump` dumps one snapshot of a declared
    database, restores it, and compares all of it. Each makes a database of its own,
    cutover_rehearsal; customers' databases are read at most. Ctrl-C removes it, and ends with a
    verdict; `./cutover heal` removes what a killed run left.

    Ends with 0 (nothing was lost, and writers were stopped only briefly), 1 (it was not so), 2
    (wrong usage), 3 (not proven) or 4 (refused; nothing was touched).
    """
    if move not in MOVES:
        raise ConfigError(f"there is no {move} to rehearse", remedy=f"rehearse {', '.join(MOVES)}")
    profile = load_profile(cluster)
    _DECLARED[move](profile)
    may_disrupt(profile, allowed=allow_disruption)
    options = [*DISRUPTING, "--only=W5-DURABLE", f"--drill={move}"]
    options += [f"--seed={seed}"] if seed is not None else []
    raise typer.Exit(run_features(cluster, options, as_json=as_json))
