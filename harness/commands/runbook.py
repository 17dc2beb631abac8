"""``./cutover runbook``: the night of the cutover on paper."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.commands.output import AsJson, Cluster, say, say_json
from harness.core.errors import ConfigError
from harness.record.history import finished
from harness.report.runbook import document, markdown, night, page
from harness.settings import ROOT, load_gates, load_profile
from harness.settings.runbook import load_runbook


def runbook(
    cluster: Cluster = "lab",
    out: Annotated[
        Path | None, typer.Option(help="The folder to write to.", show_default="reports")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write the steps of the cutover night for one cluster, as HTML and Markdown to print.

    Example: ./cutover runbook --cluster contabo

    The steps are in scenarios/runbook/cutover.yaml; owners and limits in the gate files; the times
    come from this cluster's own runs. A step that was never rehearsed says so. Nothing is touched.

    Ends with 0 (written) or 2 (a file is not valid, or the folder cannot be written to).
    """
    profile = load_profile(cluster)
    gates = load_gates(ROOT / "scenarios/gates")
    written = night(load_runbook(), profile, cluster, gates, finished(ROOT / "reports"))
    folder = out if out is not None else ROOT / "reports"
    drawn = {"html": page(written), "md": markdown(written)}
    files = [folder / f"runbook-{profile.name}.{ending}" for ending in drawn]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file, text in zip(files, drawn.values(), strict=True):
            file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"cannot write to {folder}: {error.strerror}", remedy="--out names another folder"
        ) from error
    if as_json:
        say_json({"schema": 1, "runbook": document(written), "files": list(map(str, files))})
        return
    for step in written.unrehearsed:
        say(f"? {step.number}. {step.title}: {step.expected.words if step.expected else ''}")
    say(written.account)
    for file in files:
        say(f"runbook  {file}")
