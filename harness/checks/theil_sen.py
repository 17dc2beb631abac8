"""Does a series grow? The slope of Theil and Sen, and the least slope that the series proves.

The slope is the median of the slopes of all pairs of points (Theil 1950; Sen 1968, "Estimates of
the Regression Coefficient Based on Kendall's Tau"). A few wild points do not move it, as they would
a line of least squares. The least slope is the lower bound of Sen's confidence interval, from the
normal approximation of Kendall's statistic: one-sided, at 0.05 %, because some twenty series are
judged together: about one soak in a hundred then has a series whose noise proves a slope, and that
slope is small (``test_theil_sen`` counts them). Fewer than eight points prove none at this level.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import median

_Z = 3.29  # of the normal distribution, for 0.05 %


@dataclass(frozen=True, slots=True)
class Slope:
    """By how much a series grows in a unit of time; ``least`` is -inf for too few points."""

    middle: float
    least: float


def slope(points: Sequence[tuple[float, float]]) -> Slope | None:
    """The slope of points (time, value); None for fewer than two times."""
    slopes = sorted(
        (after - before) / (later - earlier)
        for (earlier, before), (later, after) in combinations(sorted(points), 2)
        if later > earlier
    )
    if not slopes:
        return None
    number = len(points)
    spread = _Z * math.sqrt(number * (number - 1) * (2 * number + 5) / 18)
    place = math.floor((len(slopes) - spread) / 2)
    return Slope(middle=median(slopes), least=slopes[place] if place >= 0 else -math.inf)
