"""Mistakes in tags and names of scenarios: no gate runs them, or runs them for nothing."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from harness.core.model import Severity
from harness.pytest_gate.catalogue import Scenario
from harness.pytest_gate.lint.mistake import Mistake, at
from harness.settings import Gates, Profile

_PLAIN_TAGS = {f"week{week}" for week in range(1, 11)} | {"destructive"}
_PREFIXES = ("req:", "severity:", "needs:", "owner:")


def lint(gates: Gates, scenarios: Sequence[Scenario], profile: Profile) -> Iterator[Mistake]:
    """Scenarios without a requirement, unknown tags, names that two scenarios share."""
    requirements = {requirement.id for requirement in gates.requirements}
    cluster = profile.cluster()
    first: dict[str, Scenario] = {}
    for scenario in scenarios:
        if scenario.id in first:
            says = f"{at(first[scenario.id])} has the same name: only one of them would run"
            yield Mistake(where=at(scenario), says=says)
        first.setdefault(scenario.id, scenario)
        yield from _tags(scenario, requirements, cluster.parts | cluster.absent.keys())


def unbound(root: Path) -> Iterator[Mistake]:
    """Features that no test module passes to pytest."""
    for path in sorted((root / "features").glob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(func=ast.Name(id="scenarios"), args=[ast.Constant(value=".")]):
                    return
    yield Mistake(
        where="features/test_features.py:1",
        says='no module says scenarios("."): pytest would not find the features',
    )


def _tags(
    scenario: Scenario, requirements: Collection[str], parts: Collection[str]
) -> Iterator[Mistake]:
    known = {"req:": requirements, "needs:": parts, "severity:": set(Severity)}
    if not scenario.requirements:
        yield Mistake(where=at(scenario), says="it proves no requirement: no gate would run it")
    for tag in scenario.tags:
        prefix = next((it for it in _PREFIXES if tag.startswith(it)), None)
        if prefix is None and tag not in _PLAIN_TAGS:
            yield Mistake(where=at(scenario), says=f"unknown tag @{tag}")
        elif prefix in known and tag.removeprefix(prefix or "") not in known[prefix or ""]:
            yield Mistake(where=at(scenario), says=f"@{tag} names something unknown")
    for requirement in scenario.requirements:
        week = f"week{requirement[1:].partition('-')[0]}"
        if requirement in requirements and week not in scenario.tags:
            says = f"it proves {requirement} but has no tag @{week}: pytest -m {week} misses it"
            yield Mistake(where=at(scenario), says=says)
