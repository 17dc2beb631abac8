"""``./cutover test``: the project's own tests."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from harness.commands.output import AsJson, say_json
from harness.model import Exit
from harness.settings import ROOT

_BIN = Path(sys.executable).parent
_READERS = {
    "ruff check": ("ruff", "check"),
    "ruff format": ("ruff", "format", "--check"),
    "mypy": ("mypy",),
    "import contracts": ("lint-imports", "--no-logo"),
    "lint": (sys.executable, "-m", "harness", "lint"),
}


def test(
    fast: Annotated[bool, typer.Option(help="Leave out what needs the running lab.")] = False,
    arguments: Annotated[
        list[str] | None, typer.Argument(help="More for pytest, after --.", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check style, types, imports and features, then run the tests; pytest's summary comes last.

    Example: ./cutover test --fast -- -k journal

    Ends with 0 when everything passes, and with 1 when anything does not.
    """
    statuses = {name: _run(command, quiet=as_json) for name, command in _READERS.items()}
    selected = ["-m", "not lab" if fast else ""]  # pyproject.toml leaves the lab out
    pytest = (sys.executable, "-m", "pytest", "harness/tests", *selected, *(arguments or []))
    broken = [name for name, status in statuses.items() if status]
    if broken and not as_json:
        sys.stderr.write(f"not clean: {', '.join(broken)}\n")
    statuses["pytest"] = _run(pytest, quiet=as_json)
    passed = not any(statuses.values())
    if as_json:
        say_json({"schema": 1, "passed": passed, "statuses": statuses})
    raise typer.Exit(int(Exit.GO if passed else Exit.NO_GO))


def _run(command: tuple[str, ...], *, quiet: bool) -> int:
    """Run a tool of the project's environment, its output to ours; returns its exit status."""
    tool = command[0] if Path(command[0]).is_absolute() else str(_BIN / command[0])
    out = sys.stderr if quiet else None
    return subprocess.run([tool, *command[1:]], cwd=ROOT, stdout=out, check=False).returncode
