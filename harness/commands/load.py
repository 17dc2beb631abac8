"""``./cutover load``: one load on the new platform, beside the old one; or recorded there."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Annotated

import typer

from harness.commands.output import AllowDisruption, AsJson, Cluster, Progress, say, say_list
from harness.commands.pytest_run import lab_up, run_features
from harness.core.errors import ConfigError, NotProven
from harness.core.model import Exit
from harness.faults.preflight import may_disrupt, permitted
from harness.load import comparison
from harness.load.running import work_for
from harness.settings import Profile, load_profile
from harness.settings.loads import find_load, load_names
from harness.transport import connect

_GATE = ("--week=9", "--only=W9-LOAD")
Name = Annotated[str | None, typer.Argument(help="A load, such as busy-hour.", show_default=False)]
Show = Annotated[bool, typer.Option("--list", help="List the loads, and do nothing.")]
Baseline = Annotated[
    Path | None, typer.Option(help="Compare with these recorded runs of the old platform.")
]
Recorded = Annotated[
    Path | None,
    typer.Option(help="Offer it to the old platform alone, and record the runs here."),
]
WorkerCount = Annotated[
    int | None, typer.Option(min=1, help="Let so many workers offer it, not this computer.")
]
Listen = Annotated[
    str | None,
    typer.Option(help="The address to which the workers come.", show_default="127.0.0.1"),
]
Master = Annotated[
    str | None,
    typer.Option(help="Be a worker: take shares of the loads of the master at ADDRESS[:PORT]."),
]


def load(
    name: Name = None,
    cluster: Cluster = "lab",
    show: Show = False,
    baseline: Baseline = None,
    record: Recorded = None,
    workers: WorkerCount = None,
    listen: Listen = None,
    master: Master = None,
    allow_disruption: AllowDisruption = False,
    as_json: AsJson = False,
) -> None:
    """Offer one load to the ingress, judge the answers, and compare them with the old platform's.

    Example: ./cutover load busy-hour --cluster lab --allow-disruption

    From two other computers: ./cutover load busy-hour --workers 2 --listen 10.0.0.9 here, and
    ./cutover load --master 10.0.0.9 on each of them, before or after.

    Requests come at the planned rate, whether earlier ones were answered or not. Rates, stages and
    the time in which 99 % must be answered are in scenarios/load; the profile's `load_baseline:`
    says how the old platform is reached. While that is live, it gets a load only with
    --allow-disruption.

    Ends with 0 (it held), 1 (it did not), 2 (wrong usage), 3 (not proven: a generator that was
    late, a limit of the ingress, or no comparison with the old platform) or 4 (refused).
    """
    if show:
        say_list("loads", [find_load(it) for it in load_names()], as_json=as_json)
        raise typer.Exit(int(Exit.GO))
    if master is not None:
        raise typer.Exit(int(_work(master)))
    if name is None:
        raise ConfigError("which load?", remedy="./cutover load --list")
    if not find_load(name).stages:
        raise ConfigError(
            f"the load {name} has no `stages:`, so it has no end: it is for drills and soaks",
            remedy="give it `stages:`, or name another: ./cutover load --list",
        )
    profile = load_profile(cluster).offered_by(workers, listen)
    if record is not None:
        _record(name, profile, record, allow_disruption=allow_disruption)
        raise typer.Exit(int(Exit.GO))
    file = None if baseline is None else baseline.resolve()
    if file is not None:
        comparison.recorded_in(file)
    given = {"load": name, "baseline": file, "workers": workers, "listen": listen}
    options = [f"--{option}={value}" for option, value in given.items() if value is not None]
    options += ["--allow-disruption"] if allow_disruption else []
    raise typer.Exit(run_features(cluster, [*_GATE, *options], as_json=as_json))


def _work(master: str) -> Exit:
    """Take shares of the loads of a master, until none comes for five minutes."""
    host, _, port = master.partition(":")
    if not host or not (port or "5557").isdecimal():
        raise ConfigError(
            f"--master {master}: expected ADDRESS or ADDRESS:PORT",
            remedy="for example 10.0.0.9, or 10.0.0.9:5557",
        )
    if work_for(host, int(port or 5557), say):
        return Exit.GO
    raise NotProven(
        f"no load came from {master} in five minutes",
        remedy="start the master there first, with --workers and --listen",
    )


def _record(name: str, profile: Profile, file: Path, *, allow_disruption: bool) -> None:
    """Record the old platform's runs, under the disruption lock of the new one."""
    if file.exists():
        raise ConfigError(
            f"{file} exists: recorded runs are not replaced", remedy="name another file"
        )
    may_disrupt(profile, allowed=allow_disruption)
    holder = f"load-{secrets.token_hex(4)}"
    with (
        Progress() as progress,
        lab_up(profile, progress),
        connect(profile) as reach,
        permitted(reach, holder, allowed=allow_disruption, progress=progress.tell) as lock,
    ):
        recorded = comparison.record(name, profile, progress.tell, lock.confirm)
    comparison.write(file, recorded)
    say(f"{len(recorded.runs)} runs of {name} on the old platform: {file}")
