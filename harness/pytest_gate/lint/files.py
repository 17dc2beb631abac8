"""Mistakes in the files of ``scenarios/``: gates, waivers, clusters, journeys, loads and drills."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from harness.checks import CHECKS
from harness.core.errors import ConfigError
from harness.facts.switch import MOVES
from harness.faults.fault import Fault
from harness.probes import PROBES
from harness.pytest_gate.catalogue import Scenario
from harness.pytest_gate.lint import Mistake, at
from harness.settings import GateFile, Profile, Requirement, Waiver, flaws, line_of, parse
from harness.settings.drills import OF_BYSTANDERS, Drill, Planned
from harness.settings.files import Frozen
from harness.settings.journeys import Journeys
from harness.settings.loads import Load

# File name patterns of each folder, needed for the file to be read.
_READ: Mapping[str, str] = {
    "scenarios/gates": "week[0-9][0-9].yaml",
    "scenarios/waivers": "*.yaml",
    "scenarios/drills": "*.yaml",
    "scenarios/clusters": "*.yaml",
    "scenarios/journeys": "*.yaml",
}

_DRILLS = "scenarios/drills"
_LOADS = "scenarios/load"
_NO_DRILL = "steady"
_NOTICED = ("noticed_by_kubernetes_s", "noticed_by_ceph_s")
# Parameters that every fault gets when it is planned.
_GIVEN = frozenset({"id", "machine"})


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


def drills(
    root: Path, scenarios: Sequence[Scenario], faults: Mapping[str, type[Fault]]
) -> Iterator[Mistake]:
    """Mistakes in drill files, and drills that only a feature or only a file names."""
    loads = [*_loads(root)]
    yield from (it for it in loads if isinstance(it, Mistake))
    rows = {scenario.drill: scenario for scenario in scenarios if scenario.drill is not None}
    paths = sorted((root / _DRILLS).glob("*.yaml"))
    known = {path.stem: path for path in paths if path.stem != _NO_DRILL}
    for name, scenario in rows.items():
        if name not in known and name not in MOVES:
            yield Mistake(where=at(scenario), says=f"there is no drill {name} in {_DRILLS}")
    for name, path in known.items():
        where = path.relative_to(root).as_posix()
        found = [Mistake(where=f"{where}:{it.line}", says=it.says) for it in flaws(Drill, path)]
        yield from found
        if found:
            continue
        drill = parse(Drill, path)
        if drill.name != name:
            yield Mistake(where=f"{where}:1", says=f"{name} calls itself {drill.name}")
        if name not in rows:
            yield Mistake(where=f"{where}:1", says=f"no scenario carries out {name}")
        if drill.load is not None and drill.load not in loads:
            line = line_of(path, ("load",))
            yield Mistake(where=f"{where}:{line}", says=f"there is no load {drill.load}")
        yield from _of_faults(where, path, drill, faults)
        yield from _of_looks(where, path, drill)


def clusters(root: Path) -> Iterator[Mistake]:
    """Cluster profiles, and the journeys that they name, that are not valid."""
    models: Mapping[str, type[Frozen]] = {"clusters": Profile, "journeys": Journeys}
    for folder, model in models.items():
        for path, name in _yaml(root, f"scenarios/{folder}"):
            for it in flaws(model, path):
                yield Mistake(where=f"{name}:{it.line}", says=it.says)


def _loads(root: Path) -> Iterator[str | Mistake]:
    """The existing loads, and the mistakes in their files."""
    for path in sorted((root / _LOADS).glob("*.yaml")):
        where = path.relative_to(root).as_posix()
        yield path.stem
        found = [Mistake(where=f"{where}:{it.line}", says=it.says) for it in flaws(Load, path)]
        yield from found
        if not found and (name := parse(Load, path).name) != path.stem:
            yield Mistake(where=f"{where}:1", says=f"{path.stem} calls itself {name}")


def _too_late(drill: Drill, faults: Mapping[str, type[Fault]]) -> Iterator[str]:
    """Notice targets that are longer than the fault lasts, so that a missed one goes unseen."""
    kinds = [faults.get(planned.fault) for planned in drill.faults]
    if not all(kind is not None and kind.at_once for kind in kinds):
        return
    for key, target in drill.targets.items():
        if key in _NOTICED and target.number > min(it.hold_s for it in drill.faults):
            yield key


def _of_looks(where: str, path: Path, drill: Drill) -> Iterator[Mistake]:
    """Mistakes in a drill's own looks: unknown probes or checks, or a target beyond the fault."""
    if drill.looks is None:
        return
    line = line_of(path, ("looks",))
    for probe in drill.looks.probes:
        if probe not in PROBES:
            yield Mistake(where=f"{where}:{line}", says=f"there is no probe named “{probe}”")
    for check in dict.fromkeys([*drill.looks.during, *drill.looks.checks]):
        if check not in CHECKS:
            yield Mistake(where=f"{where}:{line}", says=f"there is no check named “{check}”")
    if drill.looks.during and drill.targets[OF_BYSTANDERS].number > min(
        it.hold_s for it in drill.faults
    ):
        line = line_of(path, ("targets", OF_BYSTANDERS))
        says = f"{OF_BYSTANDERS} is longer than the fault holds, and nothing is observed after it"
        yield Mistake(where=f"{where}:{line}", says=says)


def _of_faults(
    where: str, path: Path, drill: Drill, faults: Mapping[str, type[Fault]]
) -> Iterator[Mistake]:
    """Faults that cannot be planned, or that end before one of their targets."""
    for key in _too_late(drill, faults):
        line = line_of(path, ("targets", key))
        says = f"{key} is longer than the fault holds: a system that never notices would pass"
        yield Mistake(where=f"{where}:{line}", says=says)
    for number, planned in enumerate(drill.faults):
        for says in _of_fault(planned, faults):
            line = line_of(path, ("faults", number))
            yield Mistake(where=f"{where}:{line}", says=says)


def _of_fault(planned: Planned, faults: Mapping[str, type[Fault]]) -> Iterator[str]:
    kind = faults.get(planned.fault)
    if kind is None:
        yield f"there is no fault {planned.fault}"
        return
    fields = kind.model_fields
    for name in planned.parameters.keys() - fields.keys():
        yield f"{planned.fault} has no parameter {name}"
    for name, field in fields.items():
        if field.is_required() and name not in planned.parameters.keys() | _GIVEN:
            yield f"{planned.fault} needs {name}"
