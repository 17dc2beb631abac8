"""``./cutover report RUN``: draw a run's verdict and reports again, from its journal alone."""

from __future__ import annotations

from typing import Annotated

import typer

from harness.checks import CHECKS
from harness.commands.output import AsJson, say, say_json
from harness.record.history import run_folder
from harness.report import draw, summary_lines
from harness.report.page import print_pdf
from harness.settings import ROOT


def report(
    run: Annotated[str, typer.Argument(help="A run's name, its folder, or latest.")] = "latest",
    pdf: Annotated[
        bool, typer.Option("--pdf", help="Print report.pdf too, through Chromium.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Draw verdict.json and every report of RUN again from its journal; ends with its status.

    Example: ./cutover report latest --pdf
    """
    folder = run_folder(ROOT / "reports", run)
    judgement = draw(folder, CHECKS)
    if pdf:
        print_pdf(folder)
    if as_json:
        say_json(judgement.document())
    else:
        for line in summary_lines(judgement, folder):
            say(line)
    raise typer.Exit(int(judgement.exit))
