"""The result of one kind of writer: numbers, and the first few names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from harness.core.model import JSON

# The mark of the first fault: without an acknowledged write after it, a result proves nothing.
FAULT = "fault injected"


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerPhase:
    """What happened from one mark to the next.

    ``at`` is its begin (UTC seconds since the epoch), ``first_ok_s`` the seconds from then to the
    first acknowledged write, or None, and ``gap_s`` the longest time without an acknowledgement
    that ended in the phase or lasted to its end.
    """

    name: str
    at: float
    ok: int
    first_ok_s: float | None
    gap_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerResult:
    """The writes of one kind of writer, compared with what was there at the end.

    Of ``invoked`` writes, ``ok`` were acknowledged, ``fail`` were certainly never sent, and
    ``info`` have an unknown outcome. ``lost``: acknowledged, and missing at the end.
    ``duplicated``: there more than once. ``unexpected``: there, and never sent. ``stale``:
    acknowledged before a reading that did not see it; it was there at the end. ``examples`` name
    the first few of each.

    ``gap_s`` is the longest time without an acknowledgement, between the moments ``gap_from`` and
    ``gap_to`` (UTC seconds since the epoch); ``gap_open``: it lasted until writing was stopped.
    ``rpo_s`` is the age of the oldest lost write at the first fault or, if that is later, when the
    newest lost write was acknowledged; without a fault, when the last write was acknowledged.

    For a bank, ``due`` is the total that it must have, ``totals`` the number of counts, and
    ``wrong_totals`` the number of counts with another total. ``unread`` is why no reading
    succeeded: then nothing is known. ``troubles`` are other problems of the ledger.
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
        """The result as an observation, with values since the first fault (None without one).

        ``ok_after_fault`` is the number of writes acknowledged since; ``first_ok_s`` the seconds to
        the first of them; ``outage_s`` the longest time without one. The first may come before the
        fault has an effect, so ``outage_s`` is the length of the outage.
        """
        plain: dict[str, JSON] = asdict(self)
        return plain | {
            "phantom": plain.pop("unexpected"),  # as journals have always called it
            "ok_after_fault": sum(it.ok for it in self.since_fault) if self.since_fault else None,
            "first_ok_s": self._first_ok_s,
            "outage_s": max((it.gap_s for it in self.since_fault), default=None),
        }

    @property
    def since_fault(self) -> tuple[LedgerPhase, ...]:
        """The phases from the first fault on; empty without a fault."""
        names = [phase.name for phase in self.phases]
        return self.phases[names.index(FAULT) :] if FAULT in names else ()

    @property
    def _first_ok_s(self) -> float | None:
        for phase in self.since_fault:
            if phase.first_ok_s is not None:
                return phase.at + phase.first_ok_s - self.since_fault[0].at
        return None


def observed(results: Mapping[str, LedgerResult], drill: str = "") -> Mapping[str, JSON]:
    """The results for the checks, by target: the kind of writer, with the drill's name before it.

    Each result names all targets (``kept``), so that a check notices a missing one.
    """
    targets = {f"{drill}/{kind}" if drill else kind: it for kind, it in results.items()}
    return {target: it.to_json() | {"kept": list(targets)} for target, it in targets.items()}
