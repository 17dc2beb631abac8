"""Reports: everything that is drawn from a verdict and its journal alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from harness.checks import Check
from harness.core.errors import ConfigError
from harness.gate import Judgement, RunState, judge
from harness.record.history import read_manifest
from harness.record.journal import JournalReader
from harness.report.page import page
from harness.report.summary import junit, markdown, summary_lines

__all__ = ["draw", "summary_lines", "verdict_text"]


def draw(folder: Path, checks: Mapping[str, Check]) -> Judgement:
    """Judge a run's journal and write verdict.json and every report beside it.

    NotProven when the journal is damaged, ConfigError when it is empty or the folder is read-only.
    Drawing twice gives the same bytes.
    """
    read_manifest(folder)
    reader = JournalReader(folder)
    run_state = RunState.of(reader, checks)
    run_state.torn_bytes += reader.torn_bytes
    judgement = judge(run_state)
    _write(folder / "verdict.json", verdict_text(judgement).encode())
    _write(folder / "junit.xml", junit(judgement))
    _write(folder / "summary.md", markdown(judgement).encode())
    _write(folder / "report.html", page(judgement).encode())
    return judgement


def verdict_text(judgement: Judgement) -> str:
    """verdict.json, to the byte."""
    return json.dumps(judgement.document(), ensure_ascii=False, indent=2) + "\n"


def _write(path: Path, content: bytes) -> None:
    """Write a report whole or not at all: a reader never finds half of one."""
    partial = path.with_name(f".{path.name}.part")
    try:
        partial.write_bytes(content)
        partial.replace(path)
    except OSError as error:
        raise ConfigError(
            f"cannot write {path}: {error.strerror}",
            remedy=f"make {path.parent} writable, or copy it and name the copy",
        ) from error
