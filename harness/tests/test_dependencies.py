"""Every package that is imported is declared, and what is declared is used."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator, Sequence
from importlib.metadata import packages_distributions
from pathlib import Path

from harness.settings import ROOT

_PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
# Used without an import: a plugin of pytest, and the commands that ansible-runner starts.
_NOT_IMPORTED = {"allure-pytest", "ansible-core"}
_TOOLS = {"import-linter", "mkdocs-material", "mypy", "ruff"}
# A program that is sent to a machine, or into an image, imports them there.
_ON_A_MACHINE = {"rados", "fastapi", "redis", "uvicorn"}


def declared(requirements: Sequence[str]) -> set[str]:
    return {re.split(r"[\[<>=,]", it)[0] for it in requirements}


def imported(*, tests: bool) -> set[str]:
    """The distributions of what the project's modules import."""
    return {
        _plain(name)
        for path in _modules(tests=tests)
        for module in _imports(path)
        if module not in sys.stdlib_module_names | _ON_A_MACHINE | {"harness", "steps", "docs"}
        for name in _DISTRIBUTIONS.get(module, [module])
    }


_DISTRIBUTIONS = packages_distributions()


def _modules(*, tests: bool) -> Iterator[Path]:
    yield from (ROOT / "conftest.py", *(ROOT / "features").glob("*.py"))
    yield from (ROOT / "steps").glob("*.py")
    for path in (ROOT / "harness").rglob("*.py"):
        if path.is_relative_to(ROOT / "harness/tests") == tests:
            yield path


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Import(names=names):
                yield from (it.name.partition(".")[0] for it in names)
            case ast.ImportFrom(module=str(module), level=0):
                yield module.partition(".")[0]


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_what_production_code_imports_is_declared_and_nothing_else() -> None:
    wanted = declared(_PROJECT["project"]["dependencies"])
    assert imported(tests=False) | _NOT_IMPORTED == wanted


def test_what_only_tests_import_is_declared_for_development() -> None:
    tools = declared(_PROJECT["dependency-groups"]["dev"])
    others = imported(tests=True) - declared(_PROJECT["project"]["dependencies"])
    assert others == {it for it in tools - _TOOLS if not it.startswith("types-")}


def test_production_code_replaces_nothing_with_a_mock() -> None:
    assert [path for path in _modules(tests=False) if "unittest" in set(_imports(path))] == []
