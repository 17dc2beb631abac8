"""Prometheus' text format, as far as etcd's gauges and its histogram of fsyncs need it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from harness.facts.etcd import Buckets

_LINE = re.compile(r"^(?P<name>[a-zA-Z_:][\w:]*)(?:\{(?P<labels>.*)\})?\s+(?P<value>\S+)")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


def samples(text: str, name: str) -> Iterator[tuple[Mapping[str, str], float]]:
    """The labels and value of each sample of one metric; ValueError when a value is no number."""
    for line in text.splitlines():
        found = _LINE.match(line)
        if found and found["name"] == name:
            yield dict(_LABEL.findall(found["labels"] or "")), float(found["value"])


def gauge(text: str, name: str) -> float | None:
    """The value of a metric without labels; None when it is not there."""
    return next((value for labels, value in samples(text, name) if not labels), None)


def histogram(text: str, name: str) -> Buckets:
    """The buckets of a histogram without labels; none when it is not there."""
    found = sorted(
        (float(labels["le"]), int(count)) for labels, count in samples(text, f"{name}_bucket")
    )
    return [(None if bound == float("inf") else bound, count) for bound, count in found]


def since(later: Buckets, earlier: Buckets) -> Buckets:
    """The samples added between two looks at a histogram; all of them after a restart."""
    before = dict(earlier)
    added = [(bound, count - before.get(bound, 0)) for bound, count in later]
    return later if any(count < 0 for _, count in added) else added
