"""The results of one kind of writer, as ``harness.ledger`` computes them."""

from __future__ import annotations

from typing import NotRequired

from typing_extensions import TypedDict

from harness.facts.schema import Fact


class TallyFacts(TypedDict):
    """The numbers of one kind of writer; ``harness.ledger`` says what each means.

    ``kept`` names the targets of all kinds that were recorded with it. ``ok_after_fault`` and
    ``outage_s`` are None without a fault, ``due`` without a bank.
    """

    invoked: int
    ok: int
    found: int
    lost: int
    duplicated: int
    phantom: int
    stale: int
    examples: dict[str, list[str]]
    gap_s: float
    gap_open: bool
    rpo_s: float
    due: int | None
    totals: int
    wrong_totals: int
    unread: str
    troubles: list[str]
    ok_after_fault: int | None
    outage_s: float | None
    kept: NotRequired[list[str]]


LEDGER = Fact("ledger", TallyFacts)
