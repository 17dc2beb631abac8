"""What became of the writes of one kind of writer: numbers, and the first few names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from harness.model import JSON

# The mark from which on a result without any acknowledged write says nothing.
FAULT = "fault injected"


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerPhase:
    """What happened from one mark to the next.

    ``at`` is when it began (UTC seconds since the epoch), ``first_ok_s`` how long after that the
    first write was acknowledged, or None, and ``gap_s`` the longest silence that ended in the
    phase or lasted to its end.
    """

    name: str
    at: float
    ok: int
    first_ok_s: float | None
    gap_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerResult:
    """The writes of one kind of writer, and what was there at the end.

    Of ``invoked`` writes, ``ok`` were acknowledged, ``fail`` surely never sent, and of ``info``
    nobody knows. ``lost``: acknowledged, and not there at the end. ``duplicated``: there more than
    once. ``unexpected``: there, and never sent. ``stale``: acknowledged before somebody looked, who
    did not see it; it was there at the end. ``examples`` name the first few of each.

    ``gap_s`` is the longest time without an acknowledgement, between the moments ``gap_from`` and
    ``gap_to`` (UTC seconds since the epoch); ``gap_open``: it lasted until writing was stopped.
    ``rpo_s`` is how old the oldest lost write was when the first fault came or, if that is later,
    when the newest lost one was acknowledged; without a fault, when the last write was.

    Of a bank, ``due`` is the total that it must have, ``totals`` how often somebody counted it, and
    ``wrong_totals`` how often the total was another. ``unread`` says why nobody could see what is
    there: then nothing is known. ``troubles`` is what else kept the ledger from being kept.
    """

    writer: str
    invoked: int
    ok: int
    info: int
    fail: int
    found: int = 0
    lost: int = 0
    duplicated: int = 0
    unexpected: int = 0
    stale: int = 0
    examples: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    gap_s: float = 0.0
    gap_from: float = 0.0
    gap_to: float = 0.0
    gap_open: bool = False
    rpo_s: float = 0.0
    phases: tuple[LedgerPhase, ...] = ()
    due: int | None = None
    totals: int = 0
    wrong_totals: int = 0
    unread: str = ""
    troubles: tuple[str, ...] = ()

    def to_json(self) -> dict[str, JSON]:
        """As an observation holds it, with what came after the first fault (None without one).

        ``ok_after_fault``, how many writes were acknowledged since; ``first_ok_s``, how long after
        it the first was; ``outage_s``, the longest silence since. The first may still come before
        the fault is felt, so the last of these is how long writing was out.
        """
        plain: dict[str, Any] = asdict(self)
        return plain | {
            "phantom": plain.pop("unexpected"),  # as journals have always called it
            "ok_after_fault": sum(it.ok for it in self.since_fault) if self.since_fault else None,
            "first_ok_s": self._first_ok_s,
            "outage_s": max((it.gap_s for it in self.since_fault), default=None),
        }

    @property
    def since_fault(self) -> tuple[LedgerPhase, ...]:
        """The phases from the first fault on; without any fault, none."""
        names = [phase.name for phase in self.phases]
        return self.phases[names.index(FAULT) :] if FAULT in names else ()

    @property
    def _first_ok_s(self) -> float | None:
        for phase in self.since_fault:
            if phase.first_ok_s is not None:
                return phase.at + phase.first_ok_s - self.since_fault[0].at
        return None


def observed(results: Mapping[str, LedgerResult], drill: str = "") -> Mapping[str, JSON]:
    """What the checks judge, by target: the kind of writer, after the drill's name if there is one.

    Each names all of them (``kept``), so that one that is missing is missed.
    """
    targets = {f"{drill}/{kind}" if drill else kind: it for kind, it in results.items()}
    return {target: it.to_json() | {"kept": list(targets)} for target, it in targets.items()}
