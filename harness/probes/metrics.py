"""Prometheus' text format, as far as etcd's gauges and its histogram of fsyncs need it."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from harness.facts.etcd import Buckets


def gauge(text: str, name: str) -> float | None:
    """The value of a metric without labels; None when it is not there."""
    return next((value for labels, value in _samples(text, name) if not labels), None)


def histogram(text: str, name: str) -> Buckets:
    """The buckets of a histogram without labels; none when it is not there."""
    found = sorted(
        (float(labels["le"]), int(count)) for labels, count in _samples(text, f"{name}_bucket")
    )
    return [(None if bound == float("inf") else bound, count) for bound, count in found]


def _samples(text: str, name: str) -> list[tuple[dict[str, str], float]]:
    """The labels and value of each sample of one metric; ValueError for what is no such text."""
    families = text_string_to_metric_families(text)
    return [
        (sample.labels, sample.value)
        for family in families
        for sample in family.samples
        if sample.name == name
    ]


def since(later: Buckets, earlier: Buckets) -> Buckets:
    """The samples added between two looks at a histogram; all of them after a restart."""
    before = dict(earlier)
    added = [(bound, count - before.get(bound, 0)) for bound, count in later]
    return later if any(count < 0 for _, count in added) else added
