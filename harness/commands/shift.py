"""``./cutover shift``: moves the traffic to the new platform in steps, and leaves it there."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from harness.commands.output import AllowDisruption, AsJson, Cluster
from harness.commands.pytest_run import DISRUPTING, run_features
from harness.core.errors import Refused
from harness.drill.shift import declared_by, order_of
from harness.faults.preflight import may_disrupt
from harness.move.shift import Order
from harness.settings import Profile, load_profile


def shift(
    to: Annotated[
        str | None,
        typer.Option(help="These steps of the profile, such as 1,10,50; 0 brings all back."),
    ] = None,
    past_no_return: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Who agrees to pass the point of no return."),
    ] = None,
    cluster: Cluster = "lab",
    allow_disruption: AllowDisruption = False,
    as_json: AsJson = False,
) -> None:
    """Move the traffic to the new platform step by step, each judged before the next.

    Example: ./cutover shift --to 1,10,50,100 --cluster contabo --allow-disruption

    A step that is not good, has too few answers, or logs a visitor out goes back to the last good
    share; so does a harness that is killed, by itself. The last share stays. `--to 0` brings
    everything back. A step past the point of no return needs the name of the person who agrees,
    here or at the terminal.

    Ends with 0 (every step was good), 1 (one was not), 2 (wrong usage), 3 (not proven: too few
    answers) or 4 (refused; nothing was touched).
    """
    profile = load_profile(cluster)
    steps = to or ",".join(map(str, declared_by(profile).steps))
    order = order_of(profile, steps, past_no_return)
    may_disrupt(profile, allowed=allow_disruption)
    agreed = past_no_return or _agreement(profile, order)
    proves = "W9-ROLLBACK" if order.shares == (0,) else "W9-SHIFT"
    options = [*DISRUPTING, f"--only={proves}", f"--to={steps}"]
    options += [f"--past-no-return={agreed}"] if agreed else []
    raise typer.Exit(run_features(cluster, options, as_json=as_json))


def is_terminal() -> bool:
    """True if a terminal is there, on which an operator can answer."""
    return sys.stdin.isatty()


def _agreement(profile: Profile, order: Order) -> str | None:
    """Who agrees to pass the point of no return, if a step passes it; Refused without a name."""
    declared = declared_by(profile).no_return
    if order.shares[-1] < declared.from_share:
        return None
    events = ", ".join(declared.counts) or "the first invoice or mail of the new platform"
    says = f"{declared.from_share} % passes the point of no return ({events})"
    if is_terminal():
        said = typer.prompt(f"{says}. Type your name to agree", default="", show_default=False)
        if said.strip():
            return str(said.strip())
    raise Refused(
        f"{says}, and no operator agreed to it",
        remedy="--past-no-return NAME, the name of the person who agrees",
    )
