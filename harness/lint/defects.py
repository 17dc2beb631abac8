"""Checks that no seeded defect has ever turned red.

A test in ``harness/tests/lab/test_*_defects.py`` breaks the lab for real and says which checks it
turns red: ``@pytest.mark.defect("every clock follows its source")``. What nobody has seen red may
be a check that cannot say no.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator, Mapping
from pathlib import Path

from harness.checks import Check
from harness.lint.mistake import Mistake, place

_TESTS = "harness/tests/lab"


def lint(checks: Mapping[str, Check], root: Path) -> Iterator[Mistake]:
    """Checks without a defect, and defects of a check that does not exist."""
    marked = dict[str, str]()
    for path in sorted((root / _TESTS).glob("test_*_defects.py")):
        for name, line in _marked(path):
            where = f"{path.relative_to(root).as_posix()}:{line}"
            marked.setdefault(name, where)
            if name not in checks:
                yield Mistake(where=where, says=f"there is no check named “{name}”")
    unseen = [name for name in checks if name not in marked]
    if not marked and unseen:
        # The convention is not in use yet: one line says so, rather than one a check.
        says = f"no test is marked with @pytest.mark.defect: {len(unseen)} checks were never red"
        yield Mistake(where=f"{_TESTS}:1", says=says, note=True)
        return
    for name in unseen:
        says = f"no seeded defect turns the check “{name}” red"
        yield Mistake(where=place(inspect.unwrap(checks[name]), root), says=says)


def _marked(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Attribute(attr="mark"), attr="defect")):
                for argument in node.args:
                    if isinstance(argument, ast.Constant):
                        yield str(argument.value), node.lineno
