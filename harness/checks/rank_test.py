"""Is one platform slower than another, in few runs of each?

The one-sided test of Mann and Whitney (1947, "On a test of whether one of two random variables is
stochastically larger than the other") on a percentile of each run. A run is one value: the windows
within it depend on each other, so counting them as separate values would call noise a regression.
The values of the old platform are multiplied by the bound before ranking, as in a test of
non-inferiority: the question is "slower than 1.2 times?", and not "slower at all?".

- FAIL: the new platform is slower than the bound, at level 5 % divided by the number of tests that
  may fail together (Bonferroni). A platform at or below the bound fails in at most 5 % of cases.
- PASS: it is faster than the bound, at level 5 %, in every one of the tests. A platform at or above
  the bound passes in at most 5 % of cases.
- NOT PROVEN: neither.

The p-value is exact, from every way to divide the ranks; equal values share their middle rank. It
assumes nothing of the distribution. With four runs of each the smallest p-value is 1/70; with three
it is 1/20, which proves no failure in two tests: fewer than four are NOT PROVEN.

Power, by simulation with log-normal runs and a bound of 1.2 (``test_rank_test`` repeats it): with
five runs of each that scatter by 2 %, a platform 1.3 times slower fails in 99 % of cases, by 3 % in
90 %, by 5 % in 45 %; otherwise it is NOT PROVEN. An equal one passes in 99 % of cases if the runs
scatter by up to 5 %, and in 80 % if by 10 %.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from statistics import median

from harness.core.model import Outcome

LEVEL = 0.05
_FEWEST = 4


def judge(
    old: Sequence[float], new: Sequence[float], bound: float, *, tests: int
) -> tuple[float, Outcome]:
    """The ratio of new to old (Hodges and Lehmann: the median of all pairs), and what it proves.

    ``tests`` is how many tests may fail the platform together. Values are positive; infinity is
    slower than any other value.
    """
    ratio = median(after / before for after in new for before in old)
    if min(len(old), len(new)) < _FEWEST:
        return ratio, Outcome.NOT_PROVEN
    limit = [bound * it for it in old]
    if p_value(limit, new) <= LEVEL / tests:
        return ratio, Outcome.FAIL
    if p_value(new, limit) <= LEVEL:
        return ratio, Outcome.PASS
    return ratio, Outcome.NOT_PROVEN


def p_value(low: Sequence[float], high: Sequence[float]) -> float:
    """How probable ``low`` has ranks this low, or lower, if both are of one distribution."""
    together = sorted([*low, *high])
    ranks = {it: together.index(it) + (together.count(it) + 1) / 2 for it in together}
    seen = sum(ranks[it] for it in low)
    sums = [sum(some) for some in combinations([ranks[it] for it in together], len(low))]
    return sum(it <= seen for it in sums) / len(sums)
