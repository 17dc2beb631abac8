"""``./cutover gate WEEK``: prove every requirement that is due by that week."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from harness.commands.output import AllowDisruption, AsJson, Cluster
from harness.commands.running import run_features
from harness.core.errors import ConfigError
from harness.record.history import run_folder
from harness.settings import ROOT, load_gates


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
    options = _what(week, resume, only or ())
    options += [f"--only={requirement}" for requirement in only or []]
    options += ["--without-evidence"] if without_evidence else []
    options += ["--allow-disruption"] if allow_disruption else []
    options += [f"--signing-key={signing_key.resolve()}"] if signing_key is not None else []
    raise typer.Exit(run_features(cluster, options, as_json=as_json))


def _what(week: int | None, resume: str | None, only: Sequence[str]) -> list[str]:
    if week is None and resume is None:
        raise ConfigError("which week?", remedy="for example: ./cutover gate 1")
    if week is not None:
        load_gates(ROOT / "scenarios/gates").require_due(only, week)
    if resume is not None:
        run_folder(ROOT / "reports", resume)
    options = ["--week", str(week)] if week is not None else []
    return [*options, *(["--resume", resume] if resume is not None else [])]
