"""Finds parts of features, steps, gate files and waivers that pass without proving anything.

An error is a way to a green gate that proves less than it says; it makes ``./cutover lint`` fail. A
note is a gap that the gate itself reports, or a leftover.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from harness.checks import CHECKS
from harness.faults.kinds import FAULTS
from harness.pytest_gate.catalogue import read_features
from harness.pytest_gate.lint import features, files
from harness.pytest_gate.lint.mistake import Mistake
from harness.settings import Profile, load_gates

__all__ = ["Mistake", "lint"]


def lint(root: Path, profile: Profile) -> list[Mistake]:
    """Every mistake in a project's files, without running any of it.

    While a gate file or a waiver is wrong, lint reports only those mistakes: other files cannot be
    compared with an unreadable one. ConfigError for a feature that is not Gherkin.
    """
    broken = [*files.unread(root), *files.gates(root), *files.waivers(root)]
    if any(it.where.startswith("scenarios/gates/") for it in broken):
        return broken
    return broken + list(_rest(root, profile))


def _rest(root: Path, profile: Profile) -> Iterator[Mistake]:
    gates = load_gates(root / "scenarios/gates")
    scenarios = read_features(root / "features")
    yield from features.tags(gates, scenarios, profile)
    yield from features.unbound(root)
    yield from features.sentences(scenarios, root)
    yield from files.unproven(root, scenarios)
    yield from files.unhealable(FAULTS, root)
    yield from files.drills(root, scenarios, FAULTS)
    yield from files.never_red(CHECKS, root)
