"""Mistakes in faults and checks: faults without an undo, and checks that never turned red.

A test in ``harness/tests/lab/test_*_defects.py`` breaks the lab for real and names the checks that
it turns red: ``@pytest.mark.defect("every clock follows its source")``. A check that was never red
may be unable to fail. A test marked `long` is not part of `./cutover test` and does not count here.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator, Mapping
from pathlib import Path

from harness.checks import Check
from harness.pytest_gate.lint import Mistake, place

_LIFE = ("refuse", "arm", "inject", "active", "heal", "healed")
_LAB_TESTS = "harness/tests/lab"


def unhealable(faults: Mapping[str, object], root: Path) -> Iterator[Mistake]:
    """A fault must have its whole lifecycle: above all ``arm`` its undo, and ``heal``."""
    for name, fault in faults.items():
        missing = [step for step in _LIFE if not callable(getattr(fault, step, None))]
        if missing:
            kind = fault if isinstance(fault, type) else type(fault)
            says = f"the fault “{name}” cannot {', '.join(missing)}"
            yield Mistake(where=place(kind, root), says=says)


def never_red(checks: Mapping[str, Check], root: Path) -> Iterator[Mistake]:
    """Checks without a defect, and defects of a check that does not exist."""
    marked = set[str]()
    for path in sorted((root / _LAB_TESTS).glob("test_*_defects.py")):
        for name, line, counts in _marked(path):
            if counts:
                marked.add(name)
            if name not in checks:
                where = f"{path.relative_to(root).as_posix()}:{line}"
                yield Mistake(where=where, says=f"there is no check named “{name}”")
    unseen = [name for name in checks if name not in marked]
    if not marked and unseen:
        # The convention is not in use yet: report one line instead of one per check.
        says = f"no test is marked with @pytest.mark.defect: {len(unseen)} checks were never red"
        yield Mistake(where=f"{_LAB_TESTS}:1", says=says, note=True)
        return
    for name in unseen:
        says = f"no seeded defect of ./cutover test turns the check “{name}” red"
        yield Mistake(where=place(inspect.unwrap(checks[name]), root), says=says)


def _marked(path: Path) -> Iterator[tuple[str, int, bool]]:
    """Each check that a test marks as red, its line, and whether that test always runs."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    long = {
        id(mark)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
        and any(ast.unparse(it) == "pytest.mark.long" for it in node.decorator_list)
        for mark in node.decorator_list
    }
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Attribute(attr="mark"), attr="defect")):
                for argument in node.args:
                    if isinstance(argument, ast.Constant):
                        yield str(argument.value), node.lineno, id(node) not in long
