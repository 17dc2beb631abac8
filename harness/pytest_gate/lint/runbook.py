"""Mistakes in the runbook: commands, requirements, owners and parts that do not exist."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from harness.pytest_gate.lint import Mistake
from harness.settings import flaws, line_of, load_gates, load_profile, parse
from harness.settings.runbook import Runbook, Step

# The options of each command of ``./cutover``, by its words: ``backup equal``.
Options: TypeAlias = Mapping[str, Collection[str]]
_FILE = "scenarios/runbook/cutover.yaml"
_CUTOVER = "./cutover"


def mistakes(root: Path, commands: Options) -> Iterator[Mistake]:
    """Mistakes in the runbook's file; ``commands`` are those of ``./cutover``."""
    path = root / _FILE
    found = [Mistake(where=f"{_FILE}:{it.line}", says=it.says) for it in flaws(Runbook, path)]
    yield from found
    if found:
        return
    runbook = parse(Runbook, path)
    for place, command in runbook.commands():
        if says := unknown_command(shlex.split(command), commands):
            yield Mistake(where=f"{_FILE}:{line_of(path, place)}", says=says)
    owners = {it.id: it.owner for it in load_gates(root / "scenarios/gates").requirements}
    parts = _parts(root)
    for number, phase in enumerate(runbook.phases):
        for at, step in enumerate(phase.steps):
            where = f"{_FILE}:{line_of(path, ('phases', number, 'steps', at))}"
            yield from (Mistake(where=where, says=it) for it in _of_step(step, owners, parts))


def _of_step(step: Step, owners: Mapping[str, str], parts: Collection[str]) -> Iterator[str]:
    rehearsed = step.rehearsed
    named = [*step.requirements, *(rehearsed.only if rehearsed else ())]
    named += [rehearsed.number.partition("/")[0]] if rehearsed and rehearsed.number else []
    yield from (f"there is no requirement {it}" for it in named if it not in owners)
    if step.owner is not None and step.owner not in owners.values():
        yield f"no gate file has the owner {step.owner}"
    yield from (f"no profile has a part {it}" for it in step.needs if it not in parts)


def _parts(root: Path) -> Collection[str]:
    """The parts that a cluster may have, as every profile tells of each."""
    path = next(iter(sorted((root / "scenarios/clusters").glob("*.yaml"))))
    cluster = load_profile(str(path)).cluster()
    return cluster.parts | cluster.absent.keys()


def unknown_command(words: Sequence[str], commands: Options) -> str:
    """Why there is no such command of ``./cutover``, or no such option; empty if there is.

    A command of another program is not looked at.
    """
    program, *rest = words
    if program != _CUTOVER:
        return ""
    options = commands.get(" ".join(rest[:2])) or commands.get(" ".join(rest[:1]))
    if options is None:
        return f"there is no command {shlex.join(words)}"
    own = rest[: [*rest, "--"].index("--")]
    given = {word.partition("=")[0] for word in own if word.startswith("--")}
    if strange := sorted(given - {*options, "--help"}):
        return f"{shlex.join(words)}: there is no option {strange[0]}"
    return ""
