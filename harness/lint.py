"""What in features, gate files and steps could pass without proving anything.

An error is a way to a green gate that proves less than it says; it makes ``./cutover lint`` fail.
A note is a gap that the gate itself reports.
"""

from __future__ import annotations

import ast
import inspect
import pkgutil
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from pytest_bdd.steps import StepFunctionContext, step_function_context_registry

import steps
from harness.catalogue import Scenario
from harness.checks import CHECKS
from harness.model import Severity
from harness.probes import PROBES
from harness.settings import Gates, Profile

_PLAIN_TAGS = {f"week{week}" for week in range(1, 11)} | {"destructive"}
_PREFIXES = ("req:", "severity:", "needs:", "owner:")
_SAME_AS_BEFORE = ("And", "But", "*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """Something that is wrong, and where; a ``note`` is only worth knowing."""

    where: str
    says: str
    note: bool = False


def lint(gates: Gates, scenarios: Sequence[Scenario], profile: Profile) -> list[Mistake]:
    """Everything that is wrong with what is written, without running any of it."""
    for module in pkgutil.iter_modules(steps.__path__):
        import_module(f"steps.{module.name}")
    requirements = {requirement.id for requirement in gates.requirements}
    cluster = profile.cluster()
    found = list(_names(scenarios))
    for scenario in scenarios:
        found += _tags(scenario, requirements, cluster.parts | cluster.absent.keys())
        found += _sentences(scenario)
    found += _unproven(gates, scenarios)
    found += _unknown_words(Path(next(iter(steps.__path__))))
    return found


def _at(scenario: Scenario) -> str:
    return f"features/{scenario.file}:{scenario.line}"


def _names(scenarios: Sequence[Scenario]) -> Iterator[Mistake]:
    for name, count in Counter(scenario.id for scenario in scenarios).items():
        if count > 1:
            yield Mistake(where=name, says=f"{count} scenarios have this name: only one would run")


def _tags(
    scenario: Scenario, requirements: Collection[str], parts: Collection[str]
) -> Iterator[Mistake]:
    known = {"req:": requirements, "needs:": parts, "severity:": set(Severity)}
    if not scenario.requirements:
        yield Mistake(where=_at(scenario), says="it proves no requirement: no gate would run it")
    for tag in scenario.tags:
        prefix = next((it for it in _PREFIXES if tag.startswith(it)), None)
        if prefix is None and tag not in _PLAIN_TAGS:
            yield Mistake(where=_at(scenario), says=f"unknown tag @{tag}")
        elif prefix in known and tag.removeprefix(prefix or "") not in known[prefix or ""]:
            yield Mistake(where=_at(scenario), says=f"@{tag} names something unknown")
    for requirement in scenario.requirements:
        week = f"week{requirement[1:].partition('-')[0]}"
        if requirement in requirements and week not in scenario.tags:
            says = f"it proves {requirement} but has no tag @{week}: pytest -m {week} misses it"
            yield Mistake(where=_at(scenario), says=says)


def _sentences(scenario: Scenario) -> Iterator[Mistake]:
    if not scenario.steps:
        yield Mistake(where=_at(scenario), says="it has no steps")
        return
    kind = "Given"
    kinds = set()
    for step in scenario.steps:
        kind = kind if step.keyword in _SAME_AS_BEFORE else step.keyword
        kinds.add(kind)
        found = _definitions(step.text, kind.lower())
        if not found:
            yield Mistake(where=_at(scenario), says=f"no step definition for “{step.text}”")
        elif len(found) > 1:
            yield Mistake(where=_at(scenario), says=f"{len(found)} definitions for “{step.text}”")
        elif inspect.iscoroutinefunction(found[0].step_func):
            yield Mistake(where=_at(scenario), says=f"“{step.text}” is a coroutine: it never runs")
    if "Then" not in kinds:
        yield Mistake(where=_at(scenario), says="it has no Then: it asks nothing")


def _definitions(sentence: str, kind: str) -> list[StepFunctionContext]:
    return [
        context
        for context in step_function_context_registry.values()
        if context.type in (None, kind) and context.parser.is_matching(sentence)
    ]


def _unproven(gates: Gates, scenarios: Sequence[Scenario]) -> Iterator[Mistake]:
    """Requirements without a scenario, in the weeks of which something is built."""
    proven = {name for scenario in scenarios for name in scenario.requirements}
    built = {requirement.week for requirement in gates.requirements if requirement.id in proven}
    for requirement in gates.requirements:
        if requirement.week in built and requirement.id not in proven:
            yield Mistake(where=requirement.id, says="no scenario proves it yet", note=True)


def _unknown_words(folder: Path) -> Iterator[Mistake]:
    """Probes and checks that a step asks for by a name that nothing has."""
    tables = {"observe": PROBES, "require": CHECKS}
    for path in sorted(folder.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(
                    func=ast.Attribute(value=ast.Name(id="run"), attr=verb),
                    args=[ast.Constant(value=str(name)), *_],
                ) if verb in tables and name not in tables[verb]:
                    kind = "probe" if verb == "observe" else "check"
                    where = f"steps/{path.name}:{node.lineno}"
                    yield Mistake(where=where, says=f"there is no {kind} named “{name}”")
