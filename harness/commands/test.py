"""``./cutover test``: the project's own tests."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated

import typer

from harness.commands.output import AsJson, say_json
from harness.model import Exit
from harness.settings import ROOT

_BIN = Path(sys.executable).parent
_READERS = {
    "mypy": ("mypy",),  # takes longest, so it begins first
    "ruff check": ("ruff", "check"),
    "ruff format": ("ruff", "format", "--check"),
    "import contracts": ("lint-imports", "--no-logo"),
    "lint": (sys.executable, "-m", "harness", "lint"),
}
_PYTEST = (sys.executable, "-m", "pytest", "harness/tests", "--numprocesses", "logical")
_FAST = ("--dist", "worksteal", "-m", "not lab and not slow")
# The lab is one: what needs it stays together, in one process beside all the others.
_ALL = ("--dist", "loadscope", "--durations", "40", "-m", "")


def test(
    fast: Annotated[bool, typer.Option(help="Leave out what needs the lab, or time.")] = False,
    arguments: Annotated[
        list[str] | None, typer.Argument(help="More for pytest, after --.", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check style, types, imports and features, then run the tests; pytest's summary comes last.

    Example: ./cutover test --fast -- -k journal

    Ends with 0 when everything passes, and with 1 when anything does not.
    """
    statuses = _read(quiet=as_json)
    pytest = (*_PYTEST, *(_FAST if fast else _ALL), *(arguments or []))
    broken = [name for name, status in statuses.items() if status]
    if broken and not as_json:
        sys.stderr.write(f"not clean: {', '.join(broken)}\n")
    out = sys.stderr if as_json else None
    statuses["pytest"] = subprocess.run(pytest, cwd=ROOT, stdout=out, check=False).returncode
    passed = not any(statuses.values())
    if as_json:
        say_json({"schema": 1, "passed": passed, "statuses": statuses})
    raise typer.Exit(int(Exit.GO if passed else Exit.NO_GO))


def _read(*, quiet: bool) -> dict[str, int]:
    """Run the readers, several at once; what each says stays together. Their exit statuses."""
    out = sys.stderr if quiet else sys.stdout
    statuses = {}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for name, ended in zip(_READERS, pool.map(_heard, _READERS.values()), strict=True):
            out.write(ended.stdout)
            out.flush()
            statuses[name] = ended.returncode
    return statuses


def _heard(command: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        _tool(command),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def _tool(command: tuple[str, ...]) -> tuple[str, ...]:
    """The command, with a tool of the project's environment."""
    tool = command[0] if Path(command[0]).is_absolute() else str(_BIN / command[0])
    return (tool, *command[1:])
