"""Mistakes in gate files and waivers: invalid, expired, or with unknown names."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from harness.checks import CHECKS
from harness.core.errors import ConfigError
from harness.pytest_gate.catalogue import Scenario
from harness.pytest_gate.lint.mistake import Mistake
from harness.settings import GateFile, Requirement, Waiver, flaws, line_of, parse

# File name patterns of each folder, needed for the file to be read.
_READ: Mapping[str, str] = {
    "scenarios/gates": "week[0-9][0-9].yaml",
    "scenarios/waivers": "*.yaml",
    "scenarios/drills": "*.yaml",
    "scenarios/clusters": "*.yaml",
}


def unread(root: Path) -> Iterator[Mistake]:
    """Files that no loader reads because of their names."""
    for folder, read in _READ.items():
        for path in sorted((root / folder).glob("*")):
            if path.suffix.lower() in (".yaml", ".yml") and not path.match(read):
                where = f"{folder}/{path.name}:1"
                yield Mistake(where=where, says=f"it is never read: files here are named {read}")


def gates(root: Path) -> Iterator[Mistake]:
    """Gate files that are not valid: a target without a unit or a bound, an id that comes twice."""
    seen: dict[str, str] = {}
    for path, name in _yaml(root, "scenarios/gates"):
        found = [Mistake(where=f"{name}:{it.line}", says=it.says) for it in flaws(GateFile, path)]
        yield from found
        if found:
            continue
        for number, requirement in enumerate(parse(GateFile, path).requirements):
            where = f"{name}:{line_of(path, ('requirements', number))}"
            if requirement.id in seen:
                yield Mistake(
                    where=where, says=f"{requirement.id} is at {seen[requirement.id]} too"
                )
            seen.setdefault(requirement.id, where)


def unproven(root: Path, scenarios: Sequence[Scenario]) -> Iterator[Mistake]:
    """Requirements without a scenario: allowed only if the gate file says ``planned``."""
    proven = {name for scenario in scenarios for name in scenario.requirements}
    for path, name in _yaml(root, "scenarios/gates"):
        for number, requirement in enumerate(parse(GateFile, path).requirements):
            where = f"{name}:{line_of(path, ('requirements', number))}"
            if requirement.id not in proven:
                yet = " yet" if requirement.planned else ""
                says = f"no scenario proves {requirement.id}{yet}"
                yield Mistake(where=where, says=says, note=requirement.planned)
            for part in requirement.missing:
                says = f"no scenario proves of {requirement.id} yet: {part}"
                yield Mistake(where=where, says=says, note=True)
            if requirement.id in proven and requirement.planned:
                says = f"a scenario proves {requirement.id}: it is not only planned any more"
                yield Mistake(where=where, says=says)


def waivers(
    root: Path, now: datetime | None = None, checks: Collection[str] = CHECKS.keys()
) -> Iterator[Mistake]:
    """Waivers that are not valid, have expired, or name no requirement, check or cluster."""
    now = now or datetime.now(UTC)
    known = {it.id for it in _requirements(root)}
    clusters = {path.stem for path, _ in _yaml(root, "scenarios/clusters")}
    seen: dict[tuple[str, str], str] = {}
    for path, name in _yaml(root, "scenarios/waivers"):
        found = [Mistake(where=f"{name}:{it.line}", says=it.says) for it in flaws(Waiver, path)]
        yield from found
        if found:
            continue
        waiver = parse(Waiver, path)
        problems = {
            "requirement": waiver.requirement not in known
            and f"there is no requirement {waiver.requirement}",
            "clause": waiver.clause is not None
            and waiver.clause not in checks
            and f"there is no check named “{waiver.clause}”",
            "cluster": waiver.cluster not in clusters
            and f"there is no cluster profile {waiver.cluster}",
            "expires": waiver.expires <= now
            and f"it expired on {waiver.expires:%d %B %Y}: what it covered is red again",
        }
        for key, says in problems.items():
            if says:
                yield Mistake(where=f"{name}:{line_of(path, (key,))}", says=says)
        risk = waiver.what, waiver.cluster
        if risk in seen:
            yield Mistake(where=f"{name}:1", says=f"{seen[risk]} waives the same")
        seen.setdefault(risk, name)


def _requirements(root: Path) -> Iterator[Requirement]:
    for path, _ in _yaml(root, "scenarios/gates"):
        try:
            yield from parse(GateFile, path).requirements
        except ConfigError:
            continue  # reported by gates()


def _yaml(root: Path, folder: str) -> Iterator[tuple[Path, str]]:
    for path in sorted((root / folder).glob("*.yaml")):
        yield path, path.relative_to(root).as_posix()
