"""Drills that are invalid, that no scenario carries out, or that name an unknown fault; faults that
cannot be undone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.checks import CHECKS
from harness.faults.fault import Fault
from harness.probes import PROBES
from harness.pytest_gate.catalogue import Scenario
from harness.pytest_gate.lint.mistake import Mistake, at, place
from harness.settings import flaws, line_of, parse
from harness.settings.drills import OF_BYSTANDERS, Drill, Load, Planned

_FOLDER = "scenarios/drills"
_LOADS = "scenarios/load"
_NO_DRILL = "steady"
_NOTICED = ("noticed_by_kubernetes_s", "noticed_by_ceph_s")
_LIFE = ("refuse", "arm", "inject", "active", "heal", "healed")
# Parameters that every fault gets when it is planned.
_GIVEN = frozenset({"id", "machine"})


def lint(
    root: Path, scenarios: Sequence[Scenario], faults: Mapping[str, type[Fault]]
) -> Iterator[Mistake]:
    """Mistakes in drill files, and drills that only a feature or only a file names."""
    loads = [*_loads(root)]
    yield from (it for it in loads if isinstance(it, Mistake))
    rows = {scenario.drill: scenario for scenario in scenarios if scenario.drill is not None}
    paths = sorted((root / _FOLDER).glob("*.yaml"))
    known = {path.stem: path for path in paths if path.stem != _NO_DRILL}
    for name, scenario in rows.items():
        if name not in known:
            yield Mistake(where=at(scenario), says=f"there is no drill {name} in {_FOLDER}")
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


def unhealable(faults: Mapping[str, Any], root: Path) -> Iterator[Mistake]:
    """A fault must have its whole lifecycle: above all ``arm`` its undo, and ``heal``."""
    for name, fault in faults.items():
        missing = [step for step in _LIFE if not callable(getattr(fault, step, None))]
        if missing:
            kind = fault if isinstance(fault, type) else type(fault)
            says = f"the fault “{name}” cannot {', '.join(missing)}"
            yield Mistake(where=place(kind, root), says=says)


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
    if drill.targets[OF_BYSTANDERS].number > min(it.hold_s for it in drill.faults):
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
