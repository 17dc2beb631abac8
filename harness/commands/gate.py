"""``./cutover gate WEEK``: prove every requirement that is due by that week."""

from __future__ import annotations

import io
import os
import signal
import sys
from contextlib import AbstractContextManager, nullcontext, redirect_stdout
from pathlib import Path
from typing import Annotated

import pytest
import typer

from harness.commands.output import AsJson, Cluster, say, say_json
from harness.commands.progress import Events, Progress, Teller
from harness.errors import ConfigError
from harness.gate import Judgement
from harness.lab import held
from harness.redaction import Redactor, secrets_of
from harness.report import summary_lines
from harness.settings import ROOT, Profile, load_gates, load_profile


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
        typer.Option(
            "--without-evidence", help="When something is red, judge only: collect nothing of it."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Prove every requirement due by WEEK, the earlier ones too.

    Example: ./cutover gate 1 --cluster lab --only W1-ETCD

    With --json, stdout holds the verdict, and stderr one event a line.

    Ends with 0 (GO), 1 (NO-GO), 2 (wrong usage), 3 (NOT-PROVEN), 4 (REFUSED) or 5 (UNHEALED).
    """
    options = [*_what(week, resume), "--cluster", cluster]
    options += [f"--only={requirement}" for requirement in only or []]
    options += ["--without-evidence"] if without_evidence else []
    options += [f"--signing-key={signing_key.resolve()}"] if signing_key is not None else []
    profile = load_profile(cluster)
    progress: Teller = Events() if as_json else Progress()
    outcome = _Outcome()
    with _up(profile, progress):
        redactor = Redactor(secrets_of(profile))
        status = _pytest([*options, str(ROOT / "features")], outcome, progress, redactor)
    if outcome.judgement is not None and outcome.folder is not None:
        if as_json:
            say_json(outcome.judgement.document())
        else:
            for line in summary_lines(outcome.judgement, outcome.folder):
                say(line)
    raise typer.Exit(status)


def _what(week: int | None, resume: str | None) -> list[str]:
    if week is None and resume is None:
        raise ConfigError("which week?", remedy="for example: ./cutover gate 1")
    if week is not None:
        load_gates().due(week)
    options = ["--week", str(week)] if week is not None else []
    return [*options, *(["--resume", resume] if resume is not None else [])]


def _up(profile: Profile, progress: Teller) -> AbstractContextManager[None]:
    """The lab, up and kept up, when the profile is one's; any other cluster is as it is."""
    return nullcontext() if profile.lab is None else held(profile, progress=progress.tell)


class _Outcome:
    """What the run came to, as the gate tells its plugins."""

    def __init__(self) -> None:
        self.judgement: Judgement | None = None
        self.folder: Path | None = None

    def pytest_gate_opened(self, folder: Path) -> None:
        self.folder = folder

    def pytest_gate_judged(self, judgement: Judgement) -> None:
        self.judgement = judgement


def _pytest(arguments: list[str], outcome: _Outcome, progress: Teller, redactor: Redactor) -> int:
    """Run pytest in this process, with nothing that a shell's settings would add.

    Its own words go to a file beside the journal, or to stderr when there is no journal.
    """
    words = io.StringIO()
    for leftover in ("PYTEST_ADDOPTS", "PYTEST_PLUGINS"):
        os.environ.pop(leftover, None)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with redirect_stdout(words), progress:
        status = int(pytest.main(["-p", "no:cacheprovider", *arguments], [outcome, progress]))
    if outcome.folder is not None:
        log = redactor.text(words.getvalue())
        (outcome.folder / "pytest.log").write_text(log, encoding="utf-8")
    if outcome.judgement is None:
        sys.stderr.write(redactor.text(words.getvalue()))
    return status
