"""Gate files: the requirements of each part of the migration; and waivers of requirements.

``scenarios/gates/weekNN.yaml`` holds the requirements that fall due in week NN, with their numbers
and texts. A gate includes every earlier week: what was proven once must still hold.

A waiver is a risk accepted in writing, for one cluster and for a limited time;
``scenarios/waivers/*.yaml`` holds one a file. An expired waiver turns its requirement red again and
says since when; a waiver that is not needed is reported.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, AwareDatetime, Field, model_validator

from harness.core.errors import ConfigError
from harness.core.model import Numbers, Severity
from harness.settings.files import SCENARIOS, Frozen, parse

# The last word of a key is its unit; the value is its form in a report.
UNITS: Mapping[str, str] = {
    "ms": "ms",
    "s": "s",
    "minutes": "min",
    "hours": "h",
    "days": "days",
    "percent": "%",
    "ratio": "×",
    "count": "",
    "gb": "GB",
    "gib": "GiB",
    "mb": "MB",
    "bytes": "bytes",
    "iops": "/s",
    "rps": "requests/s",
}
LONGEST = timedelta(days=90)
Person = Annotated[str, Field(min_length=2)]
UtcTime = Annotated[AwareDatetime, AfterValidator(lambda moment: moment.astimezone(UTC))]


def unit_of(key: str) -> str | None:
    """The unit at the end of a key such as ``wal_fsync_p99_ms``; None when there is none."""
    _, _, word = key.rpartition("_")
    return word if word in UNITS and word != key else None


def _has_unit(key: str) -> str:
    if unit_of(key) is None:
        raise ValueError(
            f"{key} does not end in a unit ({', '.join(f'_{unit}' for unit in UNITS)})"
        )
    return key


TargetKey = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$"), AfterValidator(_has_unit)]


class Target(Frozen):
    """One number to meet: exactly one bound, in the unit that its key ends in.

    A target that only ``warns`` is shown when it is missed and never fails a requirement. A target
    that ``needs`` a part applies only to clusters with that part; in a run of one drill, only if
    that drill's scenario needs it too.
    """

    # What is measured, in the words of a report.
    words: str
    # The measured number must be at or below this.
    at_most: float | None = None
    # The measured number must be at or above this.
    at_least: float | None = None
    # The measured number must equal this.
    exactly: float | None = None
    warns: bool = False
    needs: str | None = None

    @model_validator(mode="after")
    def _one_bound(self) -> Target:
        bounds = (self.at_most, self.at_least, self.exactly)
        if sum(bound is not None for bound in bounds) != 1:
            raise ValueError("give exactly one of at_most, at_least and exactly")
        return self

    @property
    def number(self) -> float:
        """The number of the bound."""
        for bound in (self.at_most, self.at_least, self.exactly):
            if bound is not None:
                return bound
        raise AssertionError("a target has exactly one bound")

    @property
    def sign(self) -> Literal["≤", "≥", "="]:
        """The sign of the bound in a report."""
        if self.at_most is not None:
            return "≤"
        return "≥" if self.at_least is not None else "="

    def changed(self, change: TargetChange) -> Target:
        """The same bound with another number, and the reason in its words."""
        bounds = ("at_most", "at_least", "exactly")
        bound = next(name for name in bounds if getattr(self, name) is not None)
        words = f"{self.words} (here, because {change.because})"
        return self.model_copy(update={bound: change.number, "words": words})

    def met_by(self, measured: float) -> bool:
        """True if the measured number meets the bound."""
        if self.at_most is not None:
            return measured <= self.at_most
        return measured >= self.number if self.at_least is not None else measured == self.number


class TargetChange(Frozen):
    """Another number for one target on one cluster, and why; the report shows both."""

    # The bound that counts here.
    number: float
    # The reason for the other number; the report shows it.
    because: str = Field(min_length=10)


class Requirement(Frozen):
    """One thing that must be proven, in words that a manager and an engineer understand.

    ``title`` says what holds when it is proven. ``risk`` names what is at stake when it is not.
    ``effect`` says what customers or the business would feel if the migration went ahead anyway.
    ``remedy`` is the next step, due ``within_days`` of the first run that found the requirement in
    this state; ``runbook`` is how an engineer takes it. ``needs`` names the parts of the stack
    without which the requirement does not apply. ``planned`` says that its scenarios are still to
    be written; until then it is NOT PROVEN. ``missing`` names the parts of it that no scenario
    proves yet, though other parts are proven: the requirement can then only fail or be NOT PROVEN.
    """

    # The week by which it is due, and a word: W3-PVC.
    id: str = Field(pattern=r"^W[0-9]{1,2}-[A-Z0-9]+(-[A-Z0-9]+)*$")
    # How much a failure weighs for the decision.
    severity: Severity
    title: str
    risk: str
    effect: str
    # The owner, who removes the cause of a failure.
    owner: str
    remedy: str
    runbook: str
    within_days: int = Field(default=3, ge=1)
    needs: tuple[str, ...] = ()
    planned: bool = False
    missing: tuple[str, ...] = ()
    # Its targets, by names that end in their unit.
    targets: Mapping[TargetKey, Target] = {}

    @property
    def week(self) -> int:
        """The week by which it is due, taken from its id."""
        return int(self.id[1:].partition("-")[0])

    def on(self, changes: Mapping[str, TargetChange]) -> Requirement:
        """The requirement with a cluster's own targets; ConfigError for a target that it lacks."""
        unknown = sorted(set(changes) - set(self.targets))
        if unknown:
            raise ConfigError(
                f"the cluster profile changes targets that {self.id} has not: {', '.join(unknown)}",
                remedy=f"it has: {', '.join(self.targets) or 'none'}",
            )
        changed = {key: self.targets[key].changed(change) for key, change in changes.items()}
        return self.model_copy(update={"targets": {**self.targets, **changed}})

    def of(self, parts: Collection[str]) -> Requirement:
        """The requirement with the targets that a cluster of these parts must meet."""
        kept = {
            key: it for key, it in self.targets.items() if it.needs is None or it.needs in parts
        }
        return self.model_copy(update={"targets": kept})

    def numbers(self) -> Numbers:
        """The targets in the form for checks: key to number."""
        return {key: target.number for key, target in self.targets.items()}


class GateFile(Frozen):
    """The requirements that fall due from the first of ``weeks`` on."""

    schema_version: Literal[1] = Field(alias="schema")
    # The part of the migration.
    title: str
    # The week in which these fall due, and the last week of this part.
    weeks: tuple[int, int]
    requirements: tuple[Requirement, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _due_here(self) -> GateFile:
        for requirement in self.requirements:
            if requirement.week != self.weeks[0]:
                raise ValueError(f"{requirement.id} is not due in week {self.weeks[0]}")
        return self


class Gates(Frozen):
    """All gate files together."""

    files: tuple[GateFile, ...]

    @property
    def last_week(self) -> int:
        return max(file.weeks[1] for file in self.files)

    @property
    def requirements(self) -> tuple[Requirement, ...]:
        """Every requirement of every week, in the order in which they fall due."""
        return tuple(requirement for file in self.files for requirement in file.requirements)

    def due(self, week: int) -> tuple[Requirement, ...]:
        """Every requirement due by that week, earlier ones too; ConfigError outside the plan."""
        first, last = self.files[0].weeks[0], self.last_week
        if not first <= week <= last:
            raise ConfigError(
                f"there is no gate for week {week}", remedy=f"weeks {first} to {last} have one"
            )
        return tuple(requirement for requirement in self.requirements if requirement.week <= week)

    def require_due(self, ids: Collection[str], week: int) -> None:
        """ConfigError for an id that is no requirement due by that week."""
        known = [requirement.id for requirement in self.due(week)]
        if unknown := sorted(set(ids) - set(known)):
            raise ConfigError(
                f"not due by week {week}: {', '.join(unknown)}",
                remedy=f"those due are: {', '.join(known)}",
            )


def load_gates(folder: Path = SCENARIOS / "gates") -> Gates:
    """Every gate file of a folder; ConfigError when there is none or an id comes twice."""
    paths = sorted(folder.glob("week*.yaml"))
    if not paths:
        raise ConfigError(f"there is no gate file in {folder}", remedy="they are named weekNN.yaml")
    files = sorted((parse(GateFile, path) for path in paths), key=lambda file: file.weeks)
    gates = Gates(files=tuple(files))
    ids = [requirement.id for requirement in gates.requirements]
    twice = sorted({name for name in ids if ids.count(name) > 1})
    if twice:
        raise ConfigError(
            f"{folder} declares twice: {', '.join(twice)}", remedy="./cutover lint says where"
        )
    return gates


class Waiver(Frozen):
    """One accepted risk: what, on which cluster, who answers for it, until when (UTC).

    With a ``clause``, the name of a check, it covers only that check.
    """

    schema_version: Literal[1] = Field(alias="schema")
    # The requirement's id.
    requirement: str
    clause: str | None = Field(default=None, min_length=2)
    # The profile's name.
    cluster: str
    # The owner, who removes the reason.
    owner: Person
    # The approver, who accepts the risk until then; not the owner.
    approver: Person
    # What is wrong, and why going on is better than waiting.
    reason: str = Field(min_length=10)
    # In force from this date on (UTC), for 90 days at most.
    created: UtcTime
    # The requirement is red again from this date on (UTC).
    expires: UtcTime

    @model_validator(mode="after")
    def _bounded(self) -> Waiver:
        if self.owner == self.approver:
            raise ValueError("the approver and the owner must be two people")
        if self.expires <= self.created:
            raise ValueError("it expires before it was created")
        if self.expires - self.created > LONGEST:
            raise ValueError(f"it lasts longer than {LONGEST.days} days")
        return self

    @property
    def what(self) -> str:
        """The waived requirement, in words."""
        return self.requirement + (f", “{self.clause}”" if self.clause else "")

    def covers(self, moment: datetime) -> bool:
        """True if the waiver is in force at that moment."""
        return self.created <= moment < self.expires


def load_waivers(
    cluster: str, known: Collection[str], folder: Path = SCENARIOS / "waivers"
) -> tuple[Waiver, ...]:
    """The waivers of one cluster; ConfigError for an unknown requirement or two for the same."""
    waivers = [parse(Waiver, path) for path in sorted(folder.glob("*.yaml"))]
    for waiver in waivers:
        if waiver.requirement not in known:
            raise ConfigError(
                f"a waiver in {folder} names an unknown requirement: {waiver.requirement}",
                remedy="./cutover lint says in which file",
            )
    ours = tuple(waiver for waiver in waivers if waiver.cluster == cluster)
    ids = [waiver.what for waiver in ours]
    twice = sorted({name for name in ids if ids.count(name) > 1})
    if twice:
        raise ConfigError(
            f"two waivers for {', '.join(twice)} on the cluster {cluster}",
            remedy="./cutover lint says in which files; keep one",
        )
    return ours
