"""``./cutover gate`` and ``drill``, and how a command makes a run: pytest in this process."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext, redirect_stdout
from pathlib import Path
from typing import Annotated

import pytest
import typer

from harness.commands.output import AllowDisruption, AsJson, Cluster, say, say_json
from harness.commands.progress import Events, Progress, Teller
from harness.core.errors import ConfigError, HarnessError
from harness.core.model import Exit
from harness.core.waiting import end_like_ctrl_c
from harness.faults.preflight import may_disrupt
from harness.gate import Judgement
from harness.lab import held
from harness.record.history import run_folder
from harness.record.redaction import Redactor, secrets_of
from harness.report import summary_lines
from harness.settings import ROOT, Profile, load_gates, load_profile
from harness.settings.drills import drill_names, load_drill

_WEEK = 9
_REQUIREMENT = "W9-DRILLS"

# Other installed plugins must not change a verdict or slow the start.
_PLUGINS = ("pytest_bdd.plugin", "allure_pytest.plugin", "no:cacheprovider")
_ALONE = ("--disable-plugin-autoload", *(f"-p{name}" for name in _PLUGINS))


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


def run_features(cluster: str, options: Sequence[str], *, as_json: bool) -> int:
    """Run the features with these options of pytest and print the verdict; its exit status."""
    profile = load_profile(cluster)
    progress: Teller = Events() if as_json else Progress()
    outcome = RunOutcome()
    with up(profile, progress):
        redactor = Redactor(secrets_of(profile))
        arguments = ["--cluster", cluster, *options, str(ROOT / "features")]
        status = run_pytest(arguments, outcome, progress, redactor)
    if outcome.judgement is not None and outcome.folder is not None:
        if as_json:
            say_json(outcome.judgement.document())
        else:
            for line in summary_lines(outcome.judgement, outcome.folder):
                say(line)
    return status


def up(profile: Profile, progress: Teller) -> AbstractContextManager[None]:
    """Keep the lab up while the body runs, if the profile is a lab; touch no other cluster."""
    return nullcontext() if profile.lab is None else held(profile, progress=progress.tell)


class RunOutcome:
    """The run's result, as the gate reports it to its plugins."""

    def __init__(self) -> None:
        self.judgement: Judgement | None = None
        self.folder: Path | None = None
        self.error: HarnessError | None = None

    def pytest_gate_not_opened(self, error: HarnessError) -> None:
        self.error = error

    def pytest_gate_opened(self, folder: Path) -> None:
        self.folder = folder

    def pytest_gate_judged(self, judgement: Judgement) -> None:
        self.judgement = judgement


def run_pytest(
    arguments: list[str], outcome: RunOutcome, progress: Teller, redactor: Redactor
) -> int:
    """Run pytest in this process, without the settings of a shell.

    Its output goes to a file beside the journal, or to stderr when there is no journal. Raises the
    error that kept the run from being opened.
    """
    words = io.StringIO()
    for leftover in ("PYTEST_ADDOPTS", "PYTEST_PLUGINS"):
        os.environ.pop(leftover, None)
    end_like_ctrl_c()
    with redirect_stdout(words), progress:
        status = int(pytest.main([*_ALONE, *arguments], [outcome, progress]))
    if outcome.folder is not None:
        log = redactor.text(words.getvalue())
        (outcome.folder / "pytest.log").write_text(log, encoding="utf-8")
    if outcome.error is not None:
        raise outcome.error
    if outcome.judgement is None:
        sys.stderr.write(redactor.text(words.getvalue()))
    return status
