"""Earlier runs: their verdicts, read from their folders."""

from __future__ import annotations

import itertools
import json
import sys
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from harness.core.errors import ConfigError, HarnessError
from harness.drill.schedule import Turn
from harness.gate import Manifest, PastRun
from harness.record.journal import JournalReader, hand_on
from harness.record.records import Seed, VerdictDocument, read

REMEMBERED = 10  # how many earlier runs a manifest carries


def run_folder(reports: Path, run: str) -> Path:
    """The folder of a run, given its name, ``latest`` or a path; ConfigError when it has none."""
    for folder in (reports / run, Path(run)):
        # A name that is too long, or a folder without read permission, is no run.
        with suppress(OSError, ValueError):
            if (folder / "journal.jsonl").is_file():
                return folder.resolve()
    any_run = next(reports.glob("*/journal.jsonl"), None)
    remedy = "./cutover history lists them" if any_run else "./cutover gate WEEK makes one"
    raise ConfigError(f"there is no run {run} in {reports}", remedy=remedy)


def read_manifest(folder: Path) -> Manifest:
    """The first record of a run's journal; NotProven when it is damaged."""
    found: list[Manifest] = []
    first = itertools.islice(JournalReader(folder), 1)
    hand_on(first, lambda record: found.append(Manifest.model_validate(record.data)))
    if not found:
        raise ConfigError(f"the journal in {folder} is empty")
    return found[0]


def recorded_turns(folder: Path) -> tuple[Turn, ...]:
    """The turns of a run's soak, in order; none when it was no soak, NotProven when damaged."""
    turns: list[Turn] = []
    records = (it for it in JournalReader(folder) if it.kind == "turn")
    hand_on(records, lambda record: turns.append(Turn.model_validate(record.data)))
    return tuple(turns)


def chosen_turns(folder: Path, numbers: str | None) -> tuple[Turn, ...]:
    """The turns of a run's soak with these numbers (``1,4,5``); all turns without numbers.

    ConfigError for a value that is no number, and for a turn that the run did not take.
    """
    turns = {turn.number: turn for turn in recorded_turns(folder)}
    if not turns:
        raise ConfigError(f"{folder.name} took no turns", remedy="name a run of ./cutover soak")
    try:
        wanted = (
            [int(number) for number in numbers.split(",")] if numbers is not None else list(turns)
        )
    except ValueError as error:
        raise ConfigError(f"--turns {numbers}: no numbers", remedy="for example 1,4,5") from error
    if unknown := sorted(set(wanted) - set(turns)):
        raise ConfigError(
            f"{folder.name} took no turn {', '.join(map(str, unknown))}",
            remedy=f"its turns are {min(turns)} to {max(turns)}",
        )
    return tuple(turn for number, turn in turns.items() if number in wanted)


def recorded_seed(folder: Path) -> int | None:
    """The seed of a run's random choices; None when there was nothing to draw."""
    seeds: list[int] = []
    records = (it for it in JournalReader(folder) if it.kind == "seed")
    hand_on(itertools.islice(records, 1), lambda it: seeds.append(read(Seed, it.data)["seed"]))
    return seeds[0] if seeds else None


def finished(reports: Path) -> list[tuple[Manifest, VerdictDocument]]:
    """Manifest and verdict of every run with a verdict, oldest first.

    A folder that cannot be read is skipped: history is an aid, never evidence.
    """
    found = []
    for path in reports.glob("*/verdict.json"):
        if path.parent.is_symlink():
            continue
        try:
            manifest = read_manifest(path.parent)
            verdict = _verdict(path)
        except (HarnessError, ValueError, KeyError, TypeError, OSError, RecursionError) as error:
            sys.stderr.write(f"cutover: {path.parent} is passed over: {_reason(error)}\n")
            continue
        found.append((manifest, verdict))
    return sorted(found, key=lambda pair: str(pair[1]["started"]))


def _verdict(path: Path) -> VerdictDocument:
    """A verdict with all expected keys; ValueError without one of them."""
    verdict = read(VerdictDocument, json.loads(path.read_text(encoding="utf-8")))
    took_s(verdict)
    return verdict


def _reason(error: Exception) -> str:
    says = str(error).splitlines()[0] if str(error) else ""
    return f"{type(error).__name__} {says}".strip()


def took_s(verdict: VerdictDocument) -> float:
    """How long a run took, in seconds."""
    began = datetime.fromisoformat(verdict["started"])
    ended = datetime.fromisoformat(verdict["ended"])
    return round((ended - began).total_seconds(), 1)


def whole_gates(reports: Path, cluster: str) -> tuple[PastRun, ...]:
    """Every whole gate of a cluster, newest last; partial ones say nothing about a week."""
    return tuple(
        PastRun(
            run=verdict["run"],
            week=verdict["week"],
            ended=verdict["ended"],
            decision=verdict["decision"],
            took_s=took_s(verdict),
            requirements={it["id"]: it["verdict"] for it in verdict["requirements"]},
        )
        for manifest, verdict in finished(reports)
        if manifest.cluster.name == cluster and not manifest.only
    )
