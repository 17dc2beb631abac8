"""Runs the features for a command: brings the lab up, runs pytest here, prints the verdict."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext, redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from harness.commands.output import Events, Progress, Teller, say, say_json
from harness.core.errors import HarnessError
from harness.core.interrupts import end_like_ctrl_c
from harness.gate import Judgement
from harness.lab import held
from harness.record.redaction import Redactor, secrets_of
from harness.report import summary_lines
from harness.settings import ROOT, Profile, load_profile

# The options of every run that breaks things; `--only` names what it proves.
DISRUPTING = ("--week=9", "--allow-disruption")
# Other installed plugins must not change a verdict or slow the start.
_PLUGINS = ("pytest_bdd.plugin", "allure_pytest.plugin", "no:cacheprovider")
_ALONE = ("--disable-plugin-autoload", *(f"-p{name}" for name in _PLUGINS))


def run_features(cluster: str, options: Sequence[str], *, as_json: bool) -> int:
    """Run the features with these options of pytest and print the verdict; its exit status."""
    profile = load_profile(cluster)
    progress: Teller = Events() if as_json else Progress()
    outcome = RunOutcome()
    with lab_up(profile, progress):
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


def lab_up(profile: Profile, progress: Teller) -> AbstractContextManager[None]:
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
    error that kept the run from being opened, which pytest then does not print as well.
    """
    words, hints = io.StringIO(), io.StringIO()
    for leftover in ("PYTEST_ADDOPTS", "PYTEST_PLUGINS"):
        os.environ.pop(leftover, None)
    end_like_ctrl_c()
    with redirect_stdout(words), redirect_stderr(hints), progress:
        status = int(pytest.main([*_ALONE, *arguments], [outcome, progress]))
    if outcome.folder is not None:
        log = redactor.text(words.getvalue())
        (outcome.folder / "pytest.log").write_text(log, encoding="utf-8")
    if outcome.error is not None:
        raise outcome.error
    sys.stderr.write(redactor.text(hints.getvalue()))
    if outcome.judgement is None:
        sys.stderr.write(redactor.text(words.getvalue()))
    return status
