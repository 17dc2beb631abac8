"""What the samples prove of a change of the share: that it shows, when errors began, and ended."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass

from harness.checks.shift_answers import needed_after
from harness.core.errors import TimedOut
from harness.core.sprt import Health
from harness.core.waiting import until
from harness.facts.shift import Window
from harness.move.answers import SOURCE, TARGET, window
from harness.move.sampling import Samples
from harness.move.share import Change, answers_needed, shown_since
from harness.settings.shift import Shift as Declared

LOOK_EVERY_S = 0.5
# A front takes a few seconds to follow a change; the answers that show it come on top of that.
_FOLLOWS_WITHIN_S = 120.0


@dataclass(frozen=True)
class Evidence:
    """The samples, judged by the declared rules. All moments are monotonic seconds."""

    samples: Samples
    declared: Declared

    def window(self, since: float) -> Window:
        """The answers since then."""
        return window(self.samples.since(since), self.samples.stalled_s(since))

    def shown_at(self, change: Change) -> float | None:
        """When the first of the answers was sent that show a change; None if they do not yet."""
        # Before the answers: one that comes between the two is in both then, and in none otherwise.
        pending = self.samples.pending()
        return shown_since(self.samples.since(change.at), change.share, change.former, pending)

    def shows_within_s(self, change: Change) -> float:
        """The time in which a front follows a change, and its answers show that."""
        needed = answers_needed(change.share, change.former)
        return _FOLLOWS_WITHIN_S + needed / self.declared.sampling.per_s

    def seen(self, change: Change) -> float | None:
        """Wait until a change shows; the moment from which on it does, or None."""
        with suppress(TimedOut):
            return until(
                lambda: self.shown_at(change),
                within_s=self.shows_within_s(change),
                every_s=LOOK_EVERY_S,
                what=f"{change.share} % of the answers",
            )
        return None

    def first_error(self, since: float, decided: float) -> float | None:
        """When the first error came of those that decided; None without any.

        That is the first of the round in which the test found the new platform, or all requests,
        sick: a single error long before is no part of it.
        """
        test = self.declared.rules().test
        came = [it for it in self.samples.since(since) if it.at + it.took_s <= decided]
        told = [it for it in came if not it.is_limited]
        for answers in (told, [it for it in told if it.side == TARGET]):
            errors = [number for number, it in enumerate(answers) if it.error is not None]
            health, last = test.judge(len(answers), errors)
            if health is Health.SICK:
                _, begun = test.judge(last - 1, errors)
                first = next(it for it in answers[begun:last] if it.error is not None)
                return first.at + first.took_s
        ended = (it.at + it.took_s for it in told if it.error and it.side != SOURCE)
        return min(ended, default=None)

    def errors_end(self, step: Window) -> Window:
        """The answers from now on, as soon as they show whether requests fail as in the step."""
        rules, since = self.declared.rules(), time.monotonic()
        needed = needed_after(step, rules)
        found = window(())

        def is_known() -> bool:
            nonlocal found
            found = self.window(since)
            return rules.is_sick(found.front) or found.front.answers >= needed

        with suppress(TimedOut):
            until(is_known, within_s=_FOLLOWS_WITHIN_S, every_s=LOOK_EVERY_S, what="answers")
        return found
