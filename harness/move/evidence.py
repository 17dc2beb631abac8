"""What the answers so far prove of a share: that it shows, when its errors began, that they ended.

Chance divides the requests: a few of them say nothing of a small share.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import accumulate
from math import ceil, log

from harness.checks.shift_answers import needed_after, shows, tells_apart
from harness.core.errors import TimedOut
from harness.core.sprt import Health
from harness.core.waiting import until
from harness.facts.shift import Window
from harness.move.sampling import SOURCE, TARGET, Answer, Samples, window
from harness.settings.shift import Shift as Declared

LOOK_EVERY_S = 0.5
# A front takes a few seconds to follow a change; the answers that show it come on top of that.
_FOLLOWS_WITHIN_S = 120.0
# The smaller side of a share is expected this often among the answers that show it.
_EXPECTED = 5
# 0 and 100 % have no smaller side. They show in so many answers that the former share would send
# this many of them to the other side: by chance it sends none there once in three million rows, and
# each of some thousand answers may begin a row.
_EXPECTED_OF_FORMER = 15
# The least share, in percent.
_LEAST_SHARE = 1
_LEAST, _MOST = 100, 2000
# Where a share is 0, an answer of the other side is this likely: not impossible.
_NEVER = 0.0005


def answers_needed(share: int, former: int) -> int:
    """How many answers show a share, and not the ``former`` one.

    Where both are the same, the former one is not known: it may be the least there is.
    """
    smaller = min(share, 100 - share)
    if not smaller:
        enough = 100 * _EXPECTED_OF_FORMER / (abs(share - former) or _LEAST_SHARE)
    else:
        enough = 100 * _EXPECTED / smaller
        if 0 < former < 100:
            enough = max(enough, tells_apart(share, former))
    return ceil(max(_LEAST, min(_MOST, enough)))


def shown_since(
    answers: Sequence[Answer], share: int, former: int, pending: Collection[float] = ()
) -> float | None:
    """When the first of the requests was sent from which on a share shows; None if it does not yet.

    None of the requests that were sent between those that show it may be ``pending``: a platform
    that hangs would be missing. An error that names no side counts as the new platform's: going
    back is not over before these end. A 429 counts if it names its side: the front led it there.
    """
    sent = sorted(answers, key=lambda it: it.at)
    told = [it for it in sent if it.side or it.error]
    needed = answers_needed(share, former)
    targets = [0, *accumulate(int(it.side != SOURCE) for it in told)]
    for first in range(len(told) - needed + 1):
        begun, ended = told[first].at, told[first + needed - 1].at
        if any(begun <= it <= ended for it in pending):
            continue
        if shows(share, targets[first + needed] - targets[first], needed):
            are_targets = [it.side != SOURCE for it in told[: first + needed]]
            return told[max(first, _turned(are_targets, share, former))].at
    return None


def _turned(are_targets: Sequence[bool], share: int, former: int) -> int:
    """From which of the answers on the share is likelier than the former one.

    Many of those that show a share of one half may be from before it: their number is not exact.
    """
    if share == former:
        former = abs(share - _LEAST_SHARE)
    now, then = (min(max(it / 100, _NEVER), 1 - _NEVER) for it in (share, former))
    likelier = {True: log(now / then), False: log((1 - now) / (1 - then))}
    sums = [0.0, *accumulate(likelier[it] for it in are_targets)]
    return min(range(len(are_targets)), key=lambda it: sums[it])


@dataclass(frozen=True)
class Evidence:
    """The answers of the samples, judged by the declared rules. All moments are monotonic."""

    samples: Samples
    declared: Declared

    def window(self, since: float) -> Window:
        """The answers since then."""
        return window(self.samples.since(since), self.samples.stalled_s(since))

    def shown_at(self, share: int, former: int, since: float) -> float | None:
        """When the first of the answers was sent that show a share; None if they do not."""
        # Before the answers: one that comes between the two is in both then, and in none otherwise.
        pending = self.samples.pending()
        return shown_since(self.samples.since(since), share, former, pending)

    def shows_within_s(self, share: int, former: int) -> float:
        """The time in which a front follows a change, and its answers show that."""
        return _FOLLOWS_WITHIN_S + answers_needed(share, former) / self.declared.sampling.per_s

    def seen(self, share: int, former: int, since: float) -> float | None:
        """Wait until a share shows; the moment from which on it does, or None."""
        with suppress(TimedOut):
            return until(
                lambda: self.shown_at(share, former, since),
                within_s=self.shows_within_s(share, former),
                every_s=LOOK_EVERY_S,
                what=f"{share} % of the answers",
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
