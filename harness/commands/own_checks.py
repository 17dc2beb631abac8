"""``./cutover lint`` and ``test``: checks of the project itself."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer

from harness.checks import CHECKS
from harness.commands.output import AsJson, Cluster, say, say_json
from harness.core.model import Exit
from harness.core.parallel import begin
from harness.faults.kinds import FAULTS
from harness.pytest_gate.catalogue import read_features
from harness.pytest_gate.lint import Mistake, code, features, files, runbook
from harness.settings import ROOT, Profile, load_gates, load_profile

_BIN = Path(sys.executable).parent
_READERS = {
    "mypy": ("mypy",),  # takes longest, so it begins first
    "ruff check": ("ruff", "check"),
    "ruff format": ("ruff", "format", "--check"),
    "import contracts": ("lint-imports", "--no-logo"),
    "lint": (sys.executable, "-m", "harness", "lint"),
}
_PYTEST = (sys.executable, "-m", "pytest", "harness/tests")
# For half of their time the fast tests wait, for clocks and for processes that they start.
_WORKERS = str(2 * len(os.sched_getaffinity(0)))
_FAST = ("--numprocesses", _WORKERS, "--dist", "worksteal", "-m", "not lab and not slow")
# There is one lab: tests that need it stay together, in one process beside all the others.
_ALL = ("--numprocesses", "logical", "--dist", "loadscope", "--durations", "40", "-m", "")


def lint(context: typer.Context, cluster: Cluster = "lab", as_json: AsJson = False) -> None:
    """Check features, gate files, waivers and steps for anything that could pass without proof.

    Example: ./cutover lint

    Ends with 0 when nothing is wrong, and with 1 when something is; runs nothing.
    """
    options = command_options(context.find_root().command)
    found = [*_mistakes_in(ROOT, load_profile(cluster)), *runbook.mistakes(ROOT, options)]
    errors = [mistake for mistake in found if not mistake.note]
    if as_json:
        say_json({"schema": 1, "found": [asdict(mistake) for mistake in found]})
    else:
        for mistake in found:
            say(f"{mistake.where}: {'note' if mistake.note else 'error'}: {mistake.says}")
        say(f"{len(errors)} errors, {len(found) - len(errors)} notes")
    raise typer.Exit(int(Exit.NO_GO if errors else Exit.GO))


def command_options(command: Any, words: tuple[str, ...] = ()) -> dict[str, frozenset[str]]:
    """The options of each command below this one, by its words.

    Its type belongs to typer, which keeps a copy of click to itself.
    """
    inner = getattr(command, "commands", None)
    if inner is None:
        opts = frozenset(option for parameter in command.params for option in parameter.opts)
        return {" ".join(words): opts}
    found: dict[str, frozenset[str]] = {}
    for name, one in inner.items():
        found |= command_options(one, (*words, name))
    return found


def _mistakes_in(root: Path, profile: Profile) -> list[Mistake]:
    """Every mistake in a project's files, without running any of it.

    While a gate file or a waiver is wrong, lint reports only those mistakes: other files cannot be
    compared with an unreadable one. ConfigError for a feature that is not Gherkin.
    """
    broken = [*files.unread(root), *files.gates(root), *files.waivers(root)]
    if any(it.where.startswith("scenarios/gates/") for it in broken):
        return broken
    return broken + list(_rest(root, profile))


def _rest(root: Path, profile: Profile) -> Iterator[Mistake]:
    gates = load_gates(root / "scenarios/gates")
    scenarios = read_features(root / "features")
    yield from features.tags(gates, scenarios, profile)
    yield from features.unbound(root)
    yield from features.sentences(scenarios, root)
    yield from files.unproven(root, scenarios)
    yield from code.unhealable(FAULTS, root)
    yield from files.drills(root, scenarios, FAULTS)
    yield from files.clusters(root)
    yield from code.never_red(CHECKS, root)


def test(
    fast: Annotated[bool, typer.Option(help="Leave out what needs the lab, or time.")] = False,
    arguments: Annotated[
        list[str] | None, typer.Argument(help="Arguments for pytest, after --.", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check style, types, imports and features, and run the tests; pytest's summary comes last.

    Example: ./cutover test --fast -- -k journal

    Ends with 0 when everything passes, and with 1 when anything does not; a reader's findings are
    printed again after the summary.
    """
    pytest = (*_PYTEST, *(_FAST if fast else _ALL), *(arguments or []))
    out = sys.stderr if as_json else sys.stdout
    # The readers use one processor while the tests use theirs, or wait for the lab.
    reading = begin(lambda: {name: _heard(command, out) for name, command in _READERS.items()})
    tests = subprocess.run(pytest, cwd=ROOT, stdout=out, check=False).returncode
    heard = reading.result()
    statuses = {name: it.returncode for name, it in heard.items()} | {"pytest": tests}
    for name, it in heard.items():
        if it.returncode:
            sys.stderr.write(f"not clean: {name}\n{it.stdout}")
    passed = not any(statuses.values())
    if as_json:
        say_json({"schema": 1, "passed": passed, "statuses": statuses})
    raise typer.Exit(int(Exit.GO if passed else Exit.NO_GO))


def _heard(command: tuple[str, ...], out: TextIO) -> subprocess.CompletedProcess[str]:
    """Run a reader to its end, and keep its output together."""
    ended = subprocess.run(
        _tool(command),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    out.write(f"\n{ended.stdout}")
    out.flush()
    return ended


def _tool(command: tuple[str, ...]) -> tuple[str, ...]:
    """The command, with a tool of the project's environment."""
    tool = command[0] if Path(command[0]).is_absolute() else str(_BIN / command[0])
    return (tool, *command[1:])
