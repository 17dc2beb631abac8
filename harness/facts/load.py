"""The results of the requests during a drill or a soak, phase by phase.

A drill has the phases ``before``, ``during`` (from the first fault until the last was undone),
``healing`` (until the steady state) and ``again``; a soak has ``all``. A phase that did not happen
is missing.
"""

from __future__ import annotations

from typing import NotRequired

from typing_extensions import TypedDict


class PhaseFacts(TypedDict):
    """The requests of one phase. A percentile is None if too many requests had no answer.

    ``planned``: due in the phase; ``on_time``: of those, begun in time; ``limited``: answered with
    429, by host. Journals before November 2026 have no ``limited`` and no ``retry_after_s``.
    """

    planned: int
    on_time: int
    answered: int
    failed: int
    errors: dict[str, int]  # by kind
    p50_ms: float | None
    p99_ms: float | None
    limited: NotRequired[dict[str, int]]
    retry_after_s: NotRequired[float | None]


class LoadFacts(TypedDict):
    """A load, phase by phase; ``troubles`` say why it proves nothing."""

    phases: dict[str, PhaseFacts]
    troubles: list[str]
