"""Mistakes in features and steps: sentences, tags and definitions that would prove nothing."""

from __future__ import annotations

import ast
import inspect
import pkgutil
import textwrap
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence, Set
from importlib import import_module
from pathlib import Path

import steps
from harness.checks import CHECKS
from harness.core.model import Severity
from harness.probes import PROBES
from harness.pytest_gate import bdd_internals
from harness.pytest_gate.catalogue import Scenario
from harness.pytest_gate.lint import Mistake, at, place
from harness.pytest_gate.step_rules import undefined
from harness.settings import Gates, Profile

_PLAIN_TAGS = {f"week{week}" for week in range(1, 11)} | {"destructive"}
_PREFIXES = ("req:", "severity:", "needs:", "owner:")

_SAME_AS_BEFORE = ("And", "But", "*")
_NESTED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)


def tags(gates: Gates, scenarios: Sequence[Scenario], profile: Profile) -> Iterator[Mistake]:
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


def sentences(scenarios: Sequence[Scenario], root: Path) -> Iterator[Mistake]:
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


def definition(kind: str | None, function: Callable[..., object], root: Path) -> Iterator[Mistake]:
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


def _returns_a_value(function: Callable[..., object]) -> bool:
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
