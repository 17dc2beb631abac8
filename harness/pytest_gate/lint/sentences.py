"""Sentences and their step definitions: unbound, ambiguous, async, value-returning, left over."""

from __future__ import annotations

import ast
import inspect
import pkgutil
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from importlib import import_module
from pathlib import Path
from typing import Any

import steps
from harness.checks import CHECKS
from harness.probes import PROBES
from harness.pytest_gate import bdd_internals
from harness.pytest_gate.catalogue import Scenario
from harness.pytest_gate.lint.mistake import Mistake, at, place
from harness.pytest_gate.strict_steps import undefined

_SAME_AS_BEFORE = ("And", "But", "*")
_NESTED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)


def lint(scenarios: Sequence[Scenario], root: Path) -> Iterator[Mistake]:
    """Mistakes in the sentences of scenarios, and in the project's step definitions."""
    for module in pkgutil.iter_modules(steps.__path__):
        import_module(f"steps.{module.name}")
    used: set[int] = set()
    for scenario in scenarios:
        yield from _sentences(scenario, used)
    in_drills = _checks_of_drills(root)
    for it in bdd_internals.definitions():
        if it.step_func.__module__.startswith("steps."):
            yield from definition(it.type, it.step_func, root)
            sentence = it.parser.name
            if scenarios and id(it) not in used and sentence not in in_drills:
                written = inspect.unwrap(CHECKS.get(sentence, it.step_func))
                says = f"no scenario and no drill says “{sentence}”"
                yield Mistake(where=place(written, root), says=says, note=True)
    yield from unknown_words(Path(next(iter(steps.__path__))))


def definition(kind: str | None, function: Callable[..., Any], root: Path) -> Iterator[Mistake]:
    """Mistakes in a step definition that pytest-bdd ignores silently."""
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        yield Mistake(where=place(function, root), says="it is a coroutine: it would never run")
    if kind == "then" and _returns_a_value(function):
        says = "a Then step returns a value, which nothing looks at: require a check, or raise"
        yield Mistake(where=place(function, root), says=says)


def unknown_words(folder: Path) -> Iterator[Mistake]:
    """Probe and check names in a step that do not exist."""
    tables: Mapping[str, Mapping[str, object]] = {"observe": PROBES, "require": CHECKS}
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


def _sentences(scenario: Scenario, used: set[int]) -> Iterator[Mistake]:
    if not scenario.steps:
        yield Mistake(where=at(scenario), says="it has no steps")
        return
    kind = "Given"
    kinds = set()
    for step in scenario.steps:
        kind = kind if step.keyword in _SAME_AS_BEFORE else step.keyword
        kinds.add(kind)
        found = _definitions(step.text, kind.lower())
        used.update(map(id, found))
        if not found:
            yield Mistake(where=at(scenario), says=undefined(kind.lower(), step.text))
        elif len(found) > 1:
            yield Mistake(where=at(scenario), says=f"{len(found)} definitions for “{step.text}”")
    if "Then" not in kinds:
        yield Mistake(where=at(scenario), says="it has no Then: it asks nothing")


def _definitions(sentence: str, kind: str) -> list[bdd_internals.Definition]:
    return [
        it
        for it in bdd_internals.definitions()
        if it.type in (None, kind) and it.parser.is_matching(sentence)
    ]


def _checks_of_drills(root: Path) -> Set[str]:
    """The checks in drill files: those of the steady state, and of a drill's own looks."""
    files = (root / "scenarios/drills").glob("*.yaml")
    lines = (line for file in files for line in file.read_text(encoding="utf-8").splitlines())
    return {line.strip().removeprefix("- ") for line in lines}


def _returns_a_value(function: Callable[..., Any]) -> bool:
    tree: ast.AST = ast.parse(textwrap.dedent(inspect.getsource(function)))
    (outer,) = ast.iter_child_nodes(tree)
    return any(
        isinstance(node, ast.Return) and node.value is not None
        for node in _own(getattr(outer, "body", []))
    )


def _own(nodes: Sequence[ast.AST]) -> Iterator[ast.AST]:
    """The nodes of a function, without those of functions inside it."""
    for node in nodes:
        if not isinstance(node, _NESTED):
            yield node
            yield from _own(list(ast.iter_child_nodes(node)))
