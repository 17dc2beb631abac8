"""Quantiles of samples, and of cumulative histograms as Prometheus counts them."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

from harness.facts.etcd import Buckets


def quantile(q: float, buckets: Buckets) -> float | None:
    """The q-quantile (0 < q ≤ 1) of buckets ``[upper bound, samples at or below it]``, ascending.

    Linear between a bucket's bounds, as Prometheus' histogram_quantile: the truth lies within the
    same bucket. Beyond the last finite bound (None stands for +Inf) it is that bound, and so a
    lower limit. None when there is no sample.
    """
    finite = [(bound, count) for bound, count in buckets if bound is not None]
    total = max((count for _, count in buckets), default=0)
    if total <= 0 or not finite:
        return None
    rank = q * total
    lower, below = 0.0, 0.0
    for bound, count in finite:
        if count >= rank:
            inside = count - below
            return lower + (bound - lower) * ((rank - below) / inside if inside else 1.0)
        lower, below = bound, count
    return finite[-1][0]


def above(limit: float, buckets: Buckets) -> int:
    """How many samples certainly exceed the limit: above the first bound that is not below it."""
    under = [number for bound, number in buckets if bound is not None and bound >= limit]
    return count(buckets) - under[0] if under else 0


def nearest_rank(q: float, samples: Sequence[float]) -> float | None:
    """The q-quantile (0 < q ≤ 1) of samples, which is one of them; None when there is none."""
    return sorted(samples)[ceil(q * len(samples)) - 1] if samples else None


def count(buckets: Buckets) -> int:
    """How many samples the histogram holds."""
    return max((number for _, number in buckets), default=0)
