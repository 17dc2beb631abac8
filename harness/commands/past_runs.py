"""``./cutover report``, ``history`` and ``verify``: what is done with runs that are over."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Annotated, TypedDict

import typer
from rich.console import Console
from rich.table import Column, Table

from harness.checks import CHECKS
from harness.commands.output import AsJson, say, say_json
from harness.core.model import Exit
from harness.gate import Manifest
from harness.record.bundle import believed, fingerprint, read_public, verify_folder
from harness.record.bundle import verify as verify_bundle
from harness.record.history import finished, run_folder, took_s
from harness.record.records import VerdictDocument
from harness.report import draw, summary_lines
from harness.report.page import print_pdf
from harness.report.words import DECISIONS, OUTCOMES, duration, with_unit
from harness.settings import ROOT

_BARS = "▁▂▃▄▅▆▇█"
_GREEN = ("pass", "waived", "not_applicable", "GO", "GO-WITH-WAIVERS")


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
    printed = print_pdf(folder) if pdf else None
    if as_json:
        say_json(judgement.document())
    else:
        for line in summary_lines(judgement, folder):
            say(line)
        if printed is not None:
            say(f"printed  {printed}")
    raise typer.Exit(int(judgement.exit))


class HistoryRow(TypedDict):
    """A run in the history; ``verdict`` and ``measured`` are those of the requested requirement."""

    run: str
    cluster: str
    week: int
    partial: bool
    decision: str
    took_s: float
    proven: str
    verdict: str | None
    measured: Mapping[str, float]


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
    if not rows:
        of = f" of {cluster}" if cluster else ""
        judged = f" that judged {only}" if only else ""
        say(f"there is no run{of}{judged} in {ROOT / 'reports'}")
        return
    last_column = "Measured" if only else "Proven"
    whole = [Column(name, no_wrap=True) for name in ("Run", "Cluster", "Week", "Says", "Took")]
    table = Table(*whole, last_column, box=None, pad_edge=False)
    for row in rows:
        says = row["verdict"] or row["decision"]
        measured = [f"{key} {with_unit(value, key)}" for key, value in row["measured"].items()]
        last = ", ".join(measured) if only else row["proven"]
        week = f"{row['week']}{' (part)' if row['partial'] else ''}"
        table.add_row(row["run"], row["cluster"], week, says, duration(row["took_s"]), last)
    console = Console(file=sys.stdout, highlight=False)
    console.print(table)
    for line in _story(rows, only):
        console.print(line, soft_wrap=True)


def _story(rows: Sequence[HistoryRow], only: str | None) -> Iterator[str]:
    """Small charts over the runs: first red, and changes of the verdict."""
    said = [row["verdict"] or row["decision"] for row in rows]
    icons = {it.value: word.icon for it, word in (OUTCOMES if only else DECISIONS).items()}
    red = [row["run"] for row, it in zip(rows, said, strict=True) if it not in _GREEN]
    changes = sum(one != other for one, other in pairwise(said))
    yield f"verdicts   {''.join(icons[it] for it in said)}"
    yield f"took       {sparkline([row['took_s'] for row in rows])}"
    for key in dict.fromkeys(key for row in rows for key in row["measured"]):
        values = [row["measured"][key] for row in rows if key in row["measured"]]
        least, most = (with_unit(it, key) for it in (min(values), max(values)))
        yield f"{sparkline(values)}  {key}: {least} to {most}"
    yield f"first red  {red[0] if red else 'never'}"
    yield f"flakes     {changes} changes in {len(rows)} runs"


def sparkline(values: Sequence[float]) -> str:
    """Numbers as bars of eight heights, from the least to the greatest."""
    least, most = min(values), max(values)
    span = (most - least) or 1
    return "".join(_BARS[round((value - least) / span * (len(_BARS) - 1))] for value in values)


def _row(manifest: Manifest, verdict: VerdictDocument, only: str | None) -> HistoryRow:
    requirements = {it["id"]: it for it in verdict["requirements"]}
    asked = requirements.get(only or "")
    applying = [it for it in requirements.values() if it["verdict"] != "not_applicable"]
    proven = sum(it["verdict"] == "pass" for it in applying)
    return {
        "run": verdict["run"],
        "cluster": manifest.cluster.name,
        "week": verdict["week"],
        "partial": bool(manifest.only),
        "decision": verdict["decision"],
        "took_s": took_s(verdict),
        "proven": f"{proven} of {len(applying)}",
        "verdict": asked["verdict"] if asked else None,
        "measured": asked["measured"] if asked else {},
    }


def verify(
    bundle: Annotated[
        str, typer.Argument(help="A bundle.tar.zst; or a run, whose folder is compared too.")
    ] = "latest",
    signer: Annotated[
        Path | None, typer.Option(help="Believe this public key (PEM) and no other.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check that a bundle is as signed, by a pinned key; unpacks nothing.

    Example: ./cutover verify reports/latest/bundle.tar.zst

    Pinned are scenarios/signers/NAME.pub and this machine's own key. Ends with 0 (intact), 1
    (changed, or a file is missing or extra), 2 (there is none), 3 (unsigned, or by an unknown key).
    """
    keys = believed(ROOT / "scenarios/signers")
    if signer is not None:
        keys = {fingerprint(read_public(signer)): signer.stem}
    if _is_file(bundle):
        found = verify_bundle(Path(bundle), keys)
    else:
        found = verify_folder(run_folder(ROOT / "reports", bundle), keys)
    if as_json:
        parts = {"changed": found.changed, "doubts": found.doubts}
        say_json({"schema": 1, "intact": found.is_intact, "signer": found.signer, **parts})
    else:
        for problem in found.changed:
            say(f"✕ {problem}")
        for doubt in found.doubts:
            say(f"? {doubt}; ./cutover verify --help says how keys are pinned")
        if found.is_intact:
            say(f"✓ intact: {found.files} files, signed by {found.signer}")
    status = Exit.NO_GO if found.changed else Exit.NOT_PROVEN if found.doubts else Exit.GO
    raise typer.Exit(int(status))


def _is_file(text: str) -> bool:
    try:
        return Path(text).is_file()
    except OSError:  # the name is too long, or its folder is not readable
        return False
