"""The worst habits of prose stay out: a sentence names its component, not "nobody"."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.settings import ROOT

# CONTRIBUTING.md has what to write instead.
_HABITS = re.compile(r"\b(nobody|whoever|somebody|everybody|surely)\b", re.IGNORECASE)
_PROSE = (
    "README.md",
    "docs",
    "scenarios",
    "features",
    "reports/templates",
    "harness/lab",
    "harness/ledger",
    "harness/provision",
)
_TEXT = (".md", ".yaml", ".feature", ".html", ".sh", ".conf")


def modules() -> Iterator[Path]:
    """Every module of production code."""
    for room in ("harness", "steps", "docs"):
        for path in sorted((ROOT / room).rglob("*.py")):
            if not path.is_relative_to(ROOT / "harness/tests"):
                yield path


def pages() -> Iterator[Path]:
    """Every page, template and data file that people read."""
    for name in _PROSE:
        place = ROOT / name
        found = sorted(place.rglob("*")) if place.is_dir() else [place]
        yield from (it for it in found if it.suffix in _TEXT)


def prose_of(path: Path) -> Iterator[tuple[int, str]]:
    """The comments, the names and the texts of a module, by line."""
    source = path.read_text(encoding="utf-8")
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string
        elif token.type == tokenize.NAME:
            yield token.start[0], token.string.replace("_", " ")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


@pytest.mark.parametrize(
    "text",
    ["Nobody answers.", "whoever decides", "somebody else's", "It did surely not leave."],
)
def test_a_habit_is_recognised(text: str) -> None:
    assert _HABITS.search(text)


def test_no_module_has_a_habit_in_its_comments_names_docstrings_or_messages() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: {' '.join(text.split())[:120]}"
        for path in modules()
        for line, text in prose_of(path)
        if _HABITS.search(text) and text not in _CONTRACT
    ]
    assert not found, "\n".join(found)


def test_no_page_has_a_habit() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:120]}"
        for path in pages()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if _HABITS.search(line) and not any(it in line for it in _CONTRACT)
    ]
    assert not found, "\n".join(found)


# Names of a check and of scenarios: the journals of earlier runs are judged by them again.
_CONTRACT = (
    "every fault was seen by somebody else, and seen to be gone",
    "A site that nobody declared is not found",
    "Nobody waits for Ceph",
    "Nobody but the declared OSD uses it",
)
