"""``./cutover history``: what earlier runs concluded, how long they took, what they measured."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Column, Table

from harness.commands.output import AsJson, say_json
from harness.gate import Manifest
from harness.history import finished, took_s
from harness.report.words import duration, with_unit
from harness.settings import ROOT


def history(
    cluster: Annotated[str | None, typer.Option(help="Only runs of this cluster.")] = None,
    only: Annotated[
        str | None, typer.Option(help="This requirement's verdicts and measured values.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Verdicts, durations and measured values over runs, oldest first.

    Example: ./cutover history --cluster lab --only W1-ETCD
    """
    rows = [
        _row(manifest, verdict, only)
        for manifest, verdict in finished(ROOT / "reports")
        if cluster in (None, manifest.cluster.name)
    ]
    rows = [row for row in rows if only is None or row["verdict"] is not None]
    if as_json:
        say_json({"schema": 1, "runs": rows})
        return
    last_column = "Measured" if only else "Proven"
    run_column = Column("Run", no_wrap=True)
    table = Table(run_column, "Cluster", "Week", "Says", "Took", last_column, box=SIMPLE_HEAD)
    for row in rows:
        says = row["verdict"] if only else row["decision"]
        measured = [f"{key} {with_unit(value, key)}" for key, value in row["measured"].items()]
        last = ", ".join(measured) if only else row["proven"]
        week = f"{row['week']}{' (part)' if row['partial'] else ''}"
        table.add_row(row["run"], row["cluster"], week, says, duration(row["took_s"]), last)
    Console(file=sys.stdout, highlight=False).print(table)


def _row(manifest: Manifest, verdict: dict[str, Any], only: str | None) -> dict[str, Any]:
    requirements = {it["id"]: it for it in verdict["requirements"]}
    asked = requirements.get(only or "", {})
    proven = sum(it["verdict"] == "pass" for it in requirements.values())
    return {
        "run": verdict["run"],
        "cluster": manifest.cluster.name,
        "week": verdict["week"],
        "partial": bool(manifest.only),
        "decision": verdict["decision"],
        "took_s": took_s(verdict),
        "proven": f"{proven} of {len(requirements)}",
        "verdict": asked.get("verdict"),
        "measured": asked.get("measured", {}),
    }
