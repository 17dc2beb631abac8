"""When a share shows in the answers: in how many of them, and from which of them on.

Chance divides the requests: a few of them say nothing of a small share.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import ceil, log

from harness.checks.shift_answers import shows, tells_apart
from harness.move.answers import SOURCE, Answer

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


@dataclass(frozen=True, slots=True)
class Change:
    """A share that was set ``at`` (monotonic seconds), and the ``former`` one to be told from it.

    Where both are the same, the former one is not known: it may be the least there is.
    """

    share: int
    former: int
    at: float


def answers_needed(share: int, former: int) -> int:
    """How many answers show a share, and not the ``former`` one."""
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
    are_targets = [it.side != SOURCE for it in told]
    targets = [0, *accumulate(map(int, are_targets))]
    for first in range(len(told) - needed + 1):
        after = first + needed
        begun, ended = told[first].at, told[after - 1].at
        if any(begun <= it <= ended for it in pending):
            continue
        if shows(share, targets[after] - targets[first], needed):
            return told[max(first, _change_point(are_targets[:after], share, former))].at
    return None


def _change_point(are_targets: Sequence[bool], share: int, former: int) -> int:
    """The answer from which on the share is likelier than the former one.

    Many of those that show a share of one half may be from before it: their number is not exact.
    The estimate is that of maximum likelihood, the minimum over k of the sum of
    ln(P(answer | share) / P(answer | former)) of the first k answers (D. V. Hinkley and E. A.
    Hinkley, Inference about the change-point in a sequence of binomial variables, Biometrika 57,
    1970).
    """
    if share == former:
        former = abs(share - _LEAST_SHARE)
    now, then = (min(max(it / 100, _NEVER), 1 - _NEVER) for it in (share, former))
    likelier = {True: log(now / then), False: log((1 - now) / (1 - then))}
    sums = [0.0, *accumulate(likelier[it] for it in are_targets)]
    return min(range(len(are_targets)), key=lambda it: sums[it])
