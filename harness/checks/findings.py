"""How checks turn observations into a verdict: findings, and their conclusion."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from harness.core.declared import Machine
from harness.core.errors import Garbled
from harness.core.model import Case, Numbers, Outcome, Verdict, merge
from harness.facts.schema import Entry, Fact, Known, Unknown, read

S = TypeVar("S", covariant=True)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Finding:
    """A reason against a pass: what was expected, what was seen, and where."""

    where: str
    says: str
    outcome: Outcome = Outcome.FAIL

    def __str__(self) -> str:
        return self.says if self.says.startswith(self.where) else f"{self.where}: {self.says}"


def unknown(where: str, why: str) -> Finding:
    """Why a place could not be judged: NOT PROVEN."""
    return Finding(where, why, Outcome.NOT_PROVEN)


def not_removed(where: str, left: Iterable[str]) -> list[Finding]:
    """What the harness made and could not remove: it blocks, and tells nothing of the system."""
    return [unknown(where, f"it could not be removed: {it}") for it in left]


def failed(findings: Iterable[Finding]) -> float:
    """The number of places that failed; what could not be judged does not count."""
    return float(len({it.where for it in findings if it.outcome is Outcome.FAIL}))


@dataclass(frozen=True)
class Seen(Generic[S]):
    """A fact by the place where it was seen, and a finding for each place where it was not."""

    values: Mapping[str, S]
    unseen: tuple[Finding, ...] = ()

    @property
    def only(self) -> S | None:
        """The value at the only place that was looked at; None without one."""
        return next(iter(self.values.values()), None)


def look(case: Case, fact: Fact[T]) -> Seen[T]:
    """What a probe saw of the cluster as a whole."""
    return looks(case, fact, [case.cluster.name])


def looks(case: Case, fact: Fact[T], places: Iterable[str]) -> Seen[T]:
    """Everything that a probe saw, by place."""
    seen = case.of(fact.name)
    values: dict[str, T] = {}
    unseen = []
    # An observation without a declared place says why no place was looked at.
    elsewhere = next((it.error for it in seen.values() if it.target == "*" and it.error), None)
    for place in places:
        found = seen.get(place)
        if found is None:
            unseen.append(unknown(place, elsewhere or f"{fact.name} did not look there"))
        elif found.error is not None:
            unseen.append(unknown(place, found.error))
        else:
            try:
                values[place] = read(fact.kind, found.value)
            except Garbled as error:
                unseen.append(unknown(place, f"{fact.name}: {error}"))
    return Seen(values, tuple(unseen))


def items(case: Case, entry: Entry[T], machines: Iterable[Machine]) -> Seen[T]:
    """One item of what a probe saw on each machine."""
    whole = looks(case, entry.of, [machine.name for machine in machines])
    missing = Unknown(f"{entry.of.name} did not look at it")
    values: dict[str, T] = {}
    unseen = list(whole.unseen)
    for place, entries in whole.values.items():
        found = entries.get(entry.name, missing)
        try:
            if isinstance(found, Known):
                values[place] = read(entry.kind, found.value)
            else:
                unseen.append(unknown(place, f"{entry.name}: {found.error}"))
        except Garbled as error:
            unseen.append(unknown(place, f"{entry.name}: {error}"))
    return Seen(values, tuple(unseen))


def understood(objects: Mapping[str, T | Unknown]) -> tuple[dict[str, T], list[Finding]]:
    """The objects that could be read, by name, and a gap for each one that could not."""
    values = {name: it for name, it in objects.items() if not isinstance(it, Unknown)}
    gaps = [unknown(name, it.error) for name, it in objects.items() if isinstance(it, Unknown)]
    return values, gaps


def joined(*parts: Seen[object]) -> Seen[object]:
    """Several items as one: their values keyed by place and number, and all their gaps."""
    values = {f"{at} {n}": value for n, it in enumerate(parts) for at, value in it.values.items()}
    return Seen(values, tuple(gap for part in parts for gap in part.unseen))


def conclude(
    findings: Iterable[Finding],
    seen: Seen[object],
    *,
    proven: str,
    measured: Numbers | None = None,
    target: Numbers | None = None,
) -> Verdict:
    """The worst of the findings and gaps; a pass with the words ``proven`` only without any.

    A gap never hides a failure elsewhere. Without any observation there is no pass.
    """
    against = list(dict.fromkeys([*findings, *seen.unseen]))
    if not against and not seen.values:
        against = [unknown("everywhere", "nothing was looked at")]
    worst = merge([finding.outcome for finding in against] or [Outcome.PASS])
    weighty = [finding for finding in against if finding.outcome is worst]
    gaps = [finding for finding in against if finding.outcome is not worst]
    reason = "; ".join(map(str, weighty)) or proven
    if gaps:
        reason += f" (not judged: {'; '.join(map(str, gaps))})"
    return Verdict(
        outcome=worst,
        reason=reason,
        measured=measured or {},
        target=target or {},
        where=tuple(dict.fromkeys(finding.where for finding in weighty)),
    )


def wanted(case: Case, *keys: str) -> dict[str, float]:
    """These targets of the gate file; KeyError, hence NOT PROVEN, if one is missing."""
    return {key: case.targets[key] for key in keys}


def names(places: Iterable[str]) -> str:
    """Places in a sentence: ``a, b and c``."""
    *most, last = list(places)
    return f"{', '.join(most)} and {last}" if most else last


def limited(per_min: Iterable[float] | None = None, told: str = "") -> str:
    """The words for requests that got 429, which proves nothing about service to customers.

    ``per_min`` are the declared limits, in requests a minute; ``told`` quotes the answers.
    """
    to = f" to {names(f'{it:g}/min' for it in sorted(per_min))}" if per_min else ""
    return f"the ingress limits our one address{to} (429 Too Many Requests{told and f'; {told}'})"
