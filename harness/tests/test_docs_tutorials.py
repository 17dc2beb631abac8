"""The tutorials of ``docs/`` are walked: each block goes into a copy of the project, and works."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.settings import ROOT

pytestmark = pytest.mark.slow

_COPIED = ("harness", "steps", "features", "scenarios", "docs", "conftest.py", "pyproject.toml")
_PAGES = ("README.md", "CONTRIBUTING.md")
_FENCE = re.compile(r'^```(\w+) title="([^" ]+)( \(at the end\))?"\n(.*?)^```$', re.DOTALL | re.M)
# What each tutorial is tested with, by pytest's -k: the tests that it brings along, the contracts
# that it must keep, and README's status table.
TESTED: Mapping[str, str] = {
    "requirement": "time_zones or observations or readme",
    "fault": "large or example or readme",
}
_CONTRACTS = ("test_probe_observations.py", "test_faults.py", "test_docs.py")


@dataclass(frozen=True)
class Block:
    """What a page tells to write into a file: all of it, its end, or a change of one line."""

    language: str
    path: str
    at_the_end: bool
    text: str


def blocks(tutorial: str) -> Iterator[Block]:
    page = (ROOT / f"docs/tutorial/{tutorial}.md").read_text(encoding="utf-8")
    for language, path, end, text in _FENCE.findall(page):
        yield Block(language, path, bool(end), text)


def write(block: Block, root: Path) -> None:
    """Do what the block says; a line that it changes is in the file exactly once."""
    path = root / block.path
    if block.language == "diff":
        path.write_text(changed(path.read_text(encoding="utf-8"), block), encoding="utf-8")
    elif block.at_the_end:
        before = path.read_text(encoding="utf-8").rstrip("\n")
        gap = "\n\n\n" if block.language == "python" else "\n\n"
        path.write_text(f"{before}{gap}{block.text}", encoding="utf-8")
    else:
        assert not path.exists(), f"{block.path} is there already"
        path.write_text(block.text, encoding="utf-8")


def changed(text: str, block: Block) -> str:
    """The text with the block's lines after the line that it names, or in its place."""
    (line,) = (it for it in block.text.splitlines() if it[:1] in (" ", "-"))
    added = [it[1:] for it in block.text.splitlines() if it.startswith("+")]
    lines = text.splitlines()
    assert lines.count(line[1:]) == 1, f"{block.path} has not one line {line[1:]!r}"
    at = lines.index(line[1:])
    lines[at : at + 1] = [*([line[1:]] if line.startswith(" ") else []), *added]
    return "\n".join(lines) + "\n"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the project, in which a tutorial may write."""
    root = tmp_path / "project"
    for name in (*_COPIED, *_PAGES):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, root / name)
    return root


def run(root: Path, *command: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(filter(None, (str(root), os.environ.get("PYTHONPATH"))))
    return subprocess.run(
        [sys.executable, "-m", *command],
        cwd=root,
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.parametrize("tutorial", TESTED)
def test_a_tutorial_does_what_it_says(tutorial: str, copy: Path) -> None:
    steps = list(blocks(tutorial))
    for block in steps:
        write(block, copy)
    files = sorted({it.path for it in steps})
    python = [it for it in files if it.endswith(".py")]
    brought = [it for it in python if Path(it).name.startswith("test_") and "/lab/" not in it]
    assert len(brought) == 1
    contracts = [f"harness/tests/{it}" for it in _CONTRACTS]
    for command in (
        ("harness", "lint"),
        ("ruff", "check", *python),
        ("ruff", "format", "--check", *python),
        ("pytest", "-q", *brought, *contracts, "-k", TESTED[tutorial]),
    ):
        done = run(copy, *command)
        assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"


@pytest.mark.parametrize("tutorial", TESTED)
def test_a_tutorial_says_how_many_files_it_touches(tutorial: str) -> None:
    numbers = ("three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
    words = dict(enumerate((*numbers, "thirteen", "fourteen"), 3))
    touched = {it.path for it in blocks(tutorial)}
    new = {path for path in touched if not (ROOT / path).exists()}
    page = " ".join((ROOT / f"docs/tutorial/{tutorial}.md").read_text(encoding="utf-8").split())
    assert f"You touch {words[len(touched)]} files; {words[len(new)]} are new" in page
