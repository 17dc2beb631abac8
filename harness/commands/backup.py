"""``./cutover backup …``: what must survive the migration, recorded and compared."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import typer

from harness.backup import manifest as kept
from harness.checks import equality
from harness.commands.output import AllowDisruption, AsJson, Cluster, say, say_json, say_progress
from harness.commands.pytest_run import DISRUPTING, run_features
from harness.core.errors import ConfigError, Refused
from harness.core.interrupts import end_like_ctrl_c
from harness.core.model import Case, Exit, Observation, Outcome, merge
from harness.drill.restore import customer_of
from harness.facts.databases import DATABASES
from harness.facts.schema import dump
from harness.faults.preflight import may_disrupt
from harness.probes.databases import compare
from harness.probes.legacy import making
from harness.settings import Legacy, Profile, load_profile
from harness.settings.restore import PROVES
from harness.transport import connect

_EXACTLY_EQUAL = {"differences_count": 0.0}
_EXITS = {Outcome.PASS: Exit.GO, Outcome.FAIL: Exit.NO_GO, Outcome.NOT_PROVEN: Exit.NOT_PROVEN}

backup = typer.Typer(
    help="What must survive: a baseline of the existing storage; equal databases; backups that "
    "restore."
)


@backup.command()
def baseline(
    cluster: Cluster = "lab",
    replace: Annotated[
        bool,
        typer.Option("--replace", help="Move the existing baseline aside, then record."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Record the content of the existing storage before the work begins; changes nothing in it.

    Example: ./cutover backup baseline --cluster contabo

    An interrupted recording continues within a day. Ends with 0 (recorded), 2 (the profile declares
    no existing storage), 3 (it could not be read, or not all of it) or 4 (there is a baseline
    already).
    """
    end_like_ctrl_c()
    profile = load_profile(cluster)
    legacy = _legacy(profile)
    if legacy.baseline.exists() and not replace:
        raise Refused(
            f"there is a baseline already: {legacy.baseline}",
            remedy="it shows the state before the work; --replace moves it aside",
        )
    with connect(profile) as reach:
        one = making(reach, legacy, f"baseline-{profile.name}")
        one.make(_tell)
        if legacy.baseline.exists():
            # The old baseline has both names until the new one is complete: a failure keeps the old
            # one.
            aside = f"{legacy.baseline.name}.until-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
            legacy.baseline.with_name(aside).hardlink_to(legacy.baseline)
        recorded = kept.record_baseline(one.lines(), legacy.baseline)
        one.drop()
    sums, sha256 = recorded.sums, recorded.sha256
    doubts = sums["errors"] + sums["unstable"]
    if as_json:
        path = str(legacy.baseline)
        say_json({"schema": 1, "baseline": path, "sha256": sha256, "sums": dict(sums)})
    else:
        say(f"{legacy.path} as {one.tree.machine} sees it: {_words(sums)}")
        say(f"baseline  {legacy.baseline}")
        say(f"sha256    {sha256}")
        if doubts:
            say(f"! {sums['errors']} could not be read, {sums['unstable']} changed meanwhile: what")
            say("  of these is not excepted in the profile (legacy.except) will be NOT PROVEN")
    raise typer.Exit(int(Exit.NOT_PROVEN if doubts else Exit.GO))


@backup.command()
def equal(
    cluster: Cluster = "lab",
    database: Annotated[
        list[str] | None,
        typer.Option(
            "--database",
            help="Compare this one alone; PAIR/DATABASE if its pair has a name. May be repeated.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare the databases of the old and the new platform; changes nothing in either.

    Example: ./cutover backup equal --cluster contabo --database auth

    Ends with 0 (they hold the same), 1 (they differ), 2 (the profile declares no databases) or 3
    (something could not be compared). `gate 5` compares them too, and keeps what it saw.
    """
    end_like_ctrl_c()
    profile = load_profile(cluster)
    if not profile.equality:
        raise ConfigError(
            f"the profile {profile.name} declares no databases",
            remedy="say in `equality:` where both sides are; contabo.yaml shows how",
        )
    begun = time.monotonic()
    with connect(profile) as reach:
        found = dump(compare(reach, tuple(database or ()), say_progress))
    look = Observation(
        probe=DATABASES.name,
        target=profile.name,
        at=time.time(),
        took_s=time.monotonic() - begun,
        value=found,
    )
    case = Case(cluster=profile.cluster(), targets=_EXACTLY_EQUAL, observations=[look])
    verdicts = {name: check(case) for name, check in equality.CHECKS.items()}
    if as_json:
        say_json({"schema": 1, "verdicts": {name: asdict(it) for name, it in verdicts.items()}})
    else:
        for name, it in verdicts.items():
            say(f"{it.outcome.value:<11} {name}: {it.reason}")
    raise typer.Exit(int(_EXITS[merge([it.outcome for it in verdicts.values()])]))


@backup.command()
def drill(
    cluster: Cluster = "lab",
    customer: Annotated[
        str | None,
        typer.Option(help="Restore this customer's backup, not that of the profile's first."),
    ] = None,
    allow_disruption: AllowDisruption = False,
    as_json: AsJson = False,
) -> None:
    """Have a backup made, restore it elsewhere under another name, and compare it with its source.

    Example: ./cutover backup drill --cluster contabo --customer demo --allow-disruption

    The platform may stop the customer while it makes the backup; nothing is restored over what is
    there. Proves W5-RESTORE and W9-BACKUP. Ctrl-C removes what was restored, and ends with a
    verdict.

    Ends with 0 (it came back whole and in time), 1 (it did not), 2 (wrong usage), 3 (not proven) or
    4 (refused; nothing was touched).
    """
    profile = load_profile(cluster)
    _, name = customer_of(profile, customer)
    may_disrupt(profile, allowed=allow_disruption)
    options = [*DISRUPTING, f"--customer={name}", *(f"--only={it}" for it in PROVES)]
    raise typer.Exit(run_features(cluster, options, as_json=as_json))


def _legacy(profile: Profile) -> Legacy:
    if profile.legacy is None:
        raise ConfigError(
            f"the profile {profile.name} declares no existing storage",
            remedy="say in `legacy:` where it is; scenarios/clusters/contabo.yaml shows how",
        )
    return profile.legacy


def _words(sums: Mapping[str, int]) -> str:
    return f"{sums['files']} files, {sums['bytes'] / 1e9:.1f} GB"


def _tell(sums: Mapping[str, int]) -> None:
    say_progress(f"read so far: {_words(sums)}")
