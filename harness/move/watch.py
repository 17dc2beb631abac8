"""Watches a share from its change on, until its answers are judged."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from harness.checks.shift_answers import Judged, judge, shows
from harness.core.errors import TimedOut
from harness.core.waiting import until
from harness.facts.shift import Quality, Step, Window
from harness.move.answers import window
from harness.move.evidence import LOOK_EVERY_S, Evidence
from harness.move.share import Change


@dataclass
class Watch:
    """One share; ``reads`` is the one that the front itself reports.

    ``former_p99_ms`` is the old platform's p99 in the window before: at 100 %, it has none.
    ``must_go_on`` raises NotProven if the watch may not.
    """

    change: Change
    reads: int
    evidence: Evidence
    former_p99_ms: float | None
    must_go_on: Callable[[], object]
    _shown: float | None = None  # monotonic seconds
    _seen: Window = field(default_factory=lambda: window(()))
    _judged: Judged = field(default_factory=lambda: Judged(Quality.UNDECIDED, ""))
    # True if either platform fails: that ends a step at once, also before its share shows.
    _is_bad: bool = False

    def step(self) -> Step:
        """The share, judged; undecided if it did not show, or answers are too few in time."""
        change = self.change
        with suppress(TimedOut):
            until(
                self._is_over,
                within_s=self.evidence.declared.sampling.within_s,
                every_s=LOOK_EVERY_S,
                what=f"enough answers at {change.share} %",
            )
        seen, judged = self._seen, self._judged
        if not (self._is_bad or self._is_shown):
            told = f"the share did not show: {seen.target.answers} of {seen.named} answers"
            judged = Judged(Quality.UNDECIDED, f"{told}; {judged.says}")
        return Step(
            share=change.share,
            reads=self.reads,
            shown_s=None if self._shown is None else round(self._shown - change.at, 2),
            window=seen,
            reference_p99_ms=self._reference_p99_ms,
            quality=judged.quality,
            says=judged.says,
        )

    def _is_over(self) -> bool:
        # The change itself may break requests: those from before it shows are judged, too.
        self._look(self.change.at if self._shown is None else self._shown)
        if self._is_bad or self.reads != self.change.share:
            return True
        self.must_go_on()
        if self._shown is None:
            self._shown = self.evidence.shown_at(self.change)
            if self._shown is None:
                waits_s = self.evidence.shows_within_s(self.change)
                return time.monotonic() - self.change.at > waits_s
            self._look(self._shown)
        is_held = time.monotonic() - self._shown >= self.evidence.declared.sampling.hold_s
        return self._is_bad or (is_held and self._judged.quality is not Quality.UNDECIDED)

    def _look(self, since: float) -> None:
        """Judge the answers since then."""
        self._seen = self.evidence.window(since)
        rules = self.evidence.declared.rules()
        self._judged = judge(self.change.share, self._seen, rules, self._reference_p99_ms)
        is_source_sick = rules.is_sick(self._seen.source)
        self._is_bad = is_source_sick or self._judged.quality is Quality.SICK

    @property
    def _reference_p99_ms(self) -> float | None:
        return self._seen.source.p99_ms or self.former_p99_ms

    @property
    def _is_shown(self) -> bool:
        """True if all answers of the window together show the share, too."""
        seen = self._seen
        is_whole = shows(self.change.share, seen.target.answers, seen.named)
        return self._shown is not None and is_whole
