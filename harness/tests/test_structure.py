"""The measures of the house that no linter takes: CONTRIBUTING.md names them."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from harness.settings import ROOT

_MOST_LINES, _MOST_OF_A_FUNCTION, _FRAGMENT = 400, 50, 40
_TESTS = Path("harness/tests")
# Each module there is a row of its package's table: a probe, a check.
_TABLES = (Path("harness/probes"), Path("harness/checks"))
# What the lab is built from counts to its age: to move it is to build the lab anew.
_LAB = Path("harness/lab")
_ANY, _MOST_ANY = re.compile(r"\bAny\b"), 100


def modules() -> Iterator[tuple[Path, str]]:
    """Every module, of tests too, with its text."""
    for room in ("harness", "steps", "docs"):
        for path in sorted((ROOT / room).rglob("*.py")):
            yield path.relative_to(ROOT), path.read_text(encoding="utf-8")


def production() -> Iterator[tuple[Path, str]]:
    return ((path, text) for path, text in modules() if not path.is_relative_to(_TESTS))


def functions(text: str) -> Iterator[tuple[str, int]]:
    """Each function and its lines."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            yield node.name, node.end_lineno - node.lineno + 1


def imported(path: Path, text: str) -> set[str]:
    """The names that a module imports, dotted: of `from a import b` both a and a.b."""
    found = set()
    package = path.parent.parts
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {it.name for it in node.names}
        if isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            base = ".".join((*above, *filter(None, [node.module])))
            found |= {base, *(f"{base}.{it.name}" for it in node.names)}
    return found


def dotted(path: Path) -> str:
    return ".".join(path.with_suffix("").parts)


def test_no_module_is_longer_than_400_lines() -> None:
    long = [str(path) for path, text in modules() if text.count("\n") > _MOST_LINES]
    assert not long


def test_no_function_is_longer_than_50_lines() -> None:
    long = [
        f"{path}: {name} has {lines} lines"
        for path, text in modules()
        for name, lines in functions(text)
        if lines > _MOST_OF_A_FUNCTION
    ]
    assert not long, "\n".join(long)


def test_no_small_module_serves_one_other_module_alone() -> None:
    """It belongs into that module, where its reader is."""
    texts = dict(production())
    importers = Counter(name for path, text in texts.items() for name in imported(path, text))
    fragments = [
        str(path)
        for path, text in texts.items()
        if not path.stem.startswith("__")
        and path.parent not in _TABLES
        and not path.is_relative_to(_LAB)
        and text.count("\n") < _FRAGMENT
        and importers[dotted(path)] == 1
    ]
    assert importers["harness.core.errors"] > 1
    assert not fragments


def test_few_lines_give_up_types() -> None:
    """What arrives is read by a schema of harness/facts or harness/record, not as `Any`."""
    given_up = [line for _, text in production() for line in text.splitlines() if _ANY.search(line)]
    assert len(given_up) < _MOST_ANY, "\n".join(given_up)
