"""A run that ended in every way, for tests of what is drawn of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.gate import Manifest
from harness.record.records import Kind
from harness.tests.stage import (
    FakeProbe,
    Recorded,
    manifest,
    play,
    require,
    requirement,
    running,
    scenario,
)


def one_of_each(folder: Path, *more: tuple[str, str, Mapping[str, Any]]) -> Recorded:
    """Recorded in that folder, ``more`` records (kind, subject, data) too; nothing is drawn yet."""
    probe = FakeProbe({"one": 3, "two": 42})
    with running(folder, _plan(), probes=[probe]) as recorded:
        play(
            recorded.run,
            require("answers are fast enough"),
            which=scenario("Slow <ones>"),
        )
        play(recorded.run, require("all is well"), which=scenario("Others", proves="W1-C"))
        for kind, subject, data in more:
            recorded.run.write(Kind(kind), subject, data)
    return recorded


def _plan() -> Manifest:
    """One of each: failed, not proven, proven, not applicable, and words that need escaping."""
    return manifest(
        due=4,
        requirements=(
            requirement(risk="Something answers <late> & slowly"),
            requirement("W1-B"),
            requirement("W1-C", targets={}),
            requirement("W1-D", needs=["ingress"]),
        ),
        scenarios=(scenario("Slow <ones>"), scenario("Others", proves="W1-C")),
        past=(
            {
                "run": "20261117T120000Z-week01-aaaa",
                "week": 1,
                "ended": "2026-11-17T12:41:00Z",
                "decision": "GO",
                "requirements": {"W1-A": "pass", "W1-C": "fail", "W1-D": "not_applicable"},
            },
        ),
    )
