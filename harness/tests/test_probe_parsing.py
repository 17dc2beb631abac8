"""The parsers of the probes: metrics, certificates, clocks, and the words of servers."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.errors import TransportError
from harness.facts.etcd import Metrics
from harness.probes import etcd_access
from harness.probes.certificates import Authority, describe
from harness.probes.host_facts import clock, etcd_metrics

RECORDED = Path(__file__).with_name("recorded")


def test_recorded_metrics_of_an_etcd() -> None:
    seen = etcd_metrics((RECORDED / "etcd_metrics.txt").read_text())
    assert (seen.db_bytes, seen.quota_bytes) == (2_633_728, 2_147_483_648)
    assert seen.wal_fsync_s[0] == (0.001, 1309)
    assert seen.wal_fsync_s[-1] == (None, 2596)


def test_metrics_without_the_wanted_names() -> None:
    seen = etcd_metrics("# HELP nothing\nup 1\n")
    assert seen == Metrics(db_bytes=None, quota_bytes=None, wal_fsync_s=[])


def test_labels_may_hold_quotes_braces_and_commas() -> None:
    text = 'm_bucket{a="x,\\"}y",le="1"} 3\nm_bucket{a="x",le="+Inf"} 4\nm{a="{"} 5\nm 6\n'
    assert etcd_access.histogram(text, "m") == [(1.0, 3), (None, 4)]
    assert etcd_access.gauge(text, "m") == 6.0


def test_a_text_that_is_no_metrics_is_an_error() -> None:
    for text, why in (("a x\n", "could not convert"), ("<html>\n", "invalid metric name")):
        with pytest.raises(ValueError, match=why):
            etcd_metrics(text)


_counts = st.lists(st.integers(0, 50), min_size=1, max_size=8)


def _cumulative(counts: list[int]) -> list[tuple[float | None, int]]:
    total = 0
    buckets: list[tuple[float | None, int]] = []
    for number, count in enumerate(counts):
        total += count
        bound = None if number == len(counts) - 1 else 0.001 * 2**number
        buckets.append((bound, total))
    return buckets


@given(_counts, st.data())
def test_a_window_holds_what_was_added_and_the_whole_after_a_restart(
    before: list[int], data: st.DataObject
) -> None:
    same = st.lists(st.integers(0, 50), min_size=len(before), max_size=len(before))
    added = data.draw(same)
    later = [a + b for a, b in zip(before, added, strict=True)]
    assert etcd_access.since(_cumulative(later), _cumulative(before)) == _cumulative(added)
    if sum(added) < sum(before):
        window = etcd_access.since(_cumulative(added), _cumulative(before))
        assert all(count >= 0 for _, count in window)


@given(st.integers(-3000, 3000))
def test_a_certificate_tells_when_it_ends(days: int) -> None:
    pem, _ = Authority().issue("etcd-server", days=days)
    seen = describe(pem)
    assert seen.subject == "CN=etcd-server"
    assert abs((seen.not_after - time.time()) / 86_400 - days) < 0.01


@given(st.text())
def test_what_is_no_certificate_is_an_error_of_ours(text: str) -> None:
    with pytest.raises(TransportError, match="not a certificate"):
        describe(text)


_seconds = st.floats(0, 30, allow_nan=False)


@given(_seconds, _seconds, _seconds, st.floats(-1e6, 1e6, allow_nan=False))
def test_the_true_offset_of_a_clock_lies_within_its_bounds(
    there: float, runs: float, back: float, offset: float
) -> None:
    sent = 1.8e9
    started = sent + there + offset
    bounds = clock(sent, started, started + runs, sent + there + runs + back)
    assert bounds.at_least_s - 1e-3 <= offset <= bounds.at_most_s + 1e-3
