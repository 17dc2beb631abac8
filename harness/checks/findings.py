"""How checks come from what was seen to a verdict: findings, and their conclusion."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.model import Case, Machine, Numbers, Outcome, Verdict, merge


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that speaks against a pass: what was expected and seen, and where."""

    where: str
    says: str
    outcome: Outcome = Outcome.FAIL

    def __str__(self) -> str:
        return self.says if self.says.startswith(self.where) else f"{self.where}: {self.says}"


def unknown(where: str, why: str) -> Finding:
    """It cannot be told how it is there."""
    return Finding(where, why, Outcome.NOT_PROVEN)


@dataclass(frozen=True, slots=True)
class Facts:
    """One item by the place where it was seen, and a finding for each place where it was not."""

    values: Mapping[str, Any]
    unseen: tuple[Finding, ...]


def looks(case: Case, probe: str, places: Iterable[str]) -> Facts:
    """What a probe saw at each place, whole."""
    seen = case.of(probe)
    values: dict[str, Any] = {}
    unseen = []
    # An observation of no declared place says why none of them was looked at.
    elsewhere = next((it.error for it in seen.values() if it.target == "*" and it.error), None)
    for place in places:
        look = seen.get(place)
        if look is None:
            unseen.append(unknown(place, elsewhere or f"{probe} did not look there"))
        elif look.error is not None:
            unseen.append(unknown(place, look.error))
        else:
            values[place] = look.value
    return Facts(values, tuple(unseen))


def facts(case: Case, probe: str, item: str, machines: Sequence[Machine]) -> Facts:
    """One item of what a probe saw on each machine; items are ``{"value": …}`` or in error."""
    whole = looks(case, probe, [machine.name for machine in machines])
    values: dict[str, Any] = {}
    unseen = list(whole.unseen)
    for place, items in whole.values.items():
        found = items.get(item, {"error": f"{probe} did not look at {item}"})
        if "value" in found:
            values[place] = found["value"]
        else:
            unseen.append(unknown(place, f"{item}: {found['error']}"))
    return Facts(values, tuple(unseen))


def joined(*parts: Facts) -> Facts:
    """Several items as one: their values keyed by place and number, and all their gaps."""
    values = {f"{at} {n}": value for n, it in enumerate(parts) for at, value in it.values.items()}
    return Facts(values, tuple(gap for part in parts for gap in part.unseen))


def conclude(
    findings: Iterable[Finding],
    seen: Facts,
    *,
    proven: str,
    measured: Numbers | None = None,
    target: Numbers | None = None,
) -> Verdict:
    """The worst of the findings and of what was not seen; a pass, ``proven``, only without any.

    A failure is not hidden by a gap elsewhere, and having seen nothing at all is no pass.
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
    """These targets of the gate file; KeyError, hence NOT PROVEN, when it does not give one."""
    return {key: case.targets[key] for key in keys}


def names(places: Iterable[str]) -> str:
    """Places in a sentence: ``a, b and c``."""
    *most, last = list(places)
    return f"{', '.join(most)} and {last}" if most else last


def limited(per_min: Iterable[float] | None = None, told: str = "") -> str:
    """That requests got 429, which says nothing about how customers are served.

    ``per_min`` are the declared limits, in requests a minute; ``told`` is what the answers said.
    """
    to = f" to {names(f'{it:g}/min' for it in sorted(per_min))}" if per_min else ""
    return f"the ingress limits our one address{to} (429 Too Many Requests{told and f'; {told}'})"
