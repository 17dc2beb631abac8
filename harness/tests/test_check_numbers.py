"""The arithmetic of checks: quantiles, clocks within bounds, what is measured."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import replace
from math import ceil

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from harness.checks import CHECKS
from harness.checks.etcd import above, count, nearest_rank, quantile
from harness.core.model import Case, Outcome
from harness.facts.etcd import Buckets
from harness.tests.clean_case import buckets, case, clean
from harness.tests.clean_cluster import DAY_S, NAMES, NOW

_BOUNDS = [0.001 * 2**number for number in range(14)]  # etcd's own


def _histogram(samples: list[float]) -> Buckets:
    return [*((b, sum(s <= b for s in samples)) for b in _BOUNDS), (None, len(samples))]


@given(st.lists(st.floats(1e-6, 8.0), min_size=1, max_size=300), st.floats(0.01, 1.0))
def test_a_quantile_lies_in_the_bucket_of_the_true_one(samples: list[float], q: float) -> None:
    true = sorted(samples)[ceil(q * len(samples)) - 1]
    bucket = bisect_left(_BOUNDS, true)
    lower = _BOUNDS[bucket - 1] if bucket else 0.0
    seen = quantile(q, _histogram(samples))
    assert seen is not None
    assert lower <= seen <= _BOUNDS[bucket] * (1 + 1e-9)


@given(st.lists(st.floats(1e-6, 8.0), min_size=1, max_size=100), st.floats(0.01, 0.99))
def test_quantiles_rise_with_q(samples: list[float], q: float) -> None:
    histogram = _histogram(samples)
    lower, upper = quantile(q, histogram), quantile(1.0, histogram)
    assert lower is not None
    assert upper is not None
    assert lower <= upper


def test_an_empty_histogram_has_no_quantile() -> None:
    assert quantile(0.99, []) is None
    assert quantile(0.99, _histogram([])) is None
    assert count(_histogram([])) == 0


def test_beyond_the_last_bound_a_quantile_is_at_least_that_bound() -> None:
    assert quantile(0.99, buckets(0, 0, 10)) == 0.064


def test_prometheus_own_example() -> None:
    # rank 99 of 100 lies 9/10 into the bucket of 10 samples between 0.004 and 0.064
    assert quantile(0.99, buckets(90, 10, 0)) == pytest.approx(0.004 + 0.06 * 0.9)


@pytest.mark.parametrize("few", [[], buckets(0, 0, 0), buckets(99, 0, 0)])
def test_too_few_writes_of_the_log_are_not_proven(few: list[list[float | None]]) -> None:
    seen = clean()
    seen["etcd-writes"]["test"]["members"][NAMES[1]] = {"wal_fsync_s": few}
    verdict = CHECKS["etcd writes its log fast enough"](case(seen))
    assert (verdict.outcome, verdict.where) == (Outcome.NOT_PROVEN, (NAMES[1],))
    assert "100 samples" in verdict.reason


def test_a_member_whose_log_nobody_could_look_at_is_not_proven() -> None:
    seen = clean()
    seen["etcd-writes"]["test"]["members"][NAMES[1]] = {"error": "sshd went away"}
    verdict = CHECKS["etcd writes its log fast enough"](case(seen))
    assert (verdict.outcome, verdict.where) == (Outcome.NOT_PROVEN, (NAMES[1],))
    assert "sshd went away" in verdict.reason


def test_round_trips_name_both_ends_and_too_few_are_not_proven() -> None:
    seen = clean()
    trips = seen["host-facts"][NAMES[0]][f"etcd round trips to {NAMES[1]}"]
    trips["value"] = [0.002] * 50 + [0.08] * 50
    verdict = CHECKS["etcd's members are near enough to each other"](case(seen))
    assert (verdict.outcome, verdict.where) == (Outcome.FAIL, (f"{NAMES[0]} → {NAMES[1]}",))
    assert verdict.measured == {"peer_rtt_p99_ms": 80.0}
    trips["value"] = [0.002] * 99
    verdict = CHECKS["etcd's members are near enough to each other"](case(seen))
    assert verdict.outcome is Outcome.NOT_PROVEN


def test_few_samples_fail_when_enough_of_them_are_late_already() -> None:
    seen = clean()
    trips = seen["host-facts"][NAMES[0]][f"etcd round trips to {NAMES[1]}"]
    trips["value"] = [0.4] * 6
    verdict = CHECKS["etcd's members are near enough to each other"](case(seen))
    assert (verdict.outcome, verdict.where) == (Outcome.FAIL, (f"{NAMES[0]} → {NAMES[1]}",))
    trips["value"] = [0.002] * 50 + [0.4]
    verdict = CHECKS["etcd's members are near enough to each other"](case(seen))
    assert verdict.outcome is Outcome.NOT_PROVEN

    seen = clean()
    slow: list[list[float | None]] = [[0.256, 0], [0.512, 40], [None, 40]]
    seen["etcd-writes"]["test"]["members"][NAMES[1]] = {"wal_fsync_s": slow}
    verdict = CHECKS["etcd writes its log fast enough"](case(seen))
    assert (verdict.outcome, verdict.where) == (Outcome.FAIL, (NAMES[1],))
    assert "over 40 writes" in verdict.reason


@given(st.lists(st.floats(0, 10), min_size=1), st.floats(0, 12))
def test_what_a_histogram_puts_above_a_limit_is_above_it(
    samples: list[float], limit: float
) -> None:
    bounds = [0.5, 1.0, 2.0, 4.0, 8.0]
    found = [(bound, sum(sample <= bound for sample in samples)) for bound in bounds]
    assert above(limit, [*found, (None, len(samples))]) <= sum(sample > limit for sample in samples)


@given(st.lists(st.floats(0, 10), min_size=1), st.floats(0.01, 1.0))
def test_the_nearest_rank_has_at_least_its_share_at_or_below_it(
    samples: list[float], q: float
) -> None:
    seen = nearest_rank(q, samples)
    assert seen in samples
    assert sum(sample <= seen for sample in samples) >= q * len(samples) - 1e-9


def test_two_leaders_are_named_with_their_followers() -> None:
    seen = clean()
    seen["host-facts"][NAMES[2]]["etcd status"]["value"]["leader"] = "1001"
    verdict = CHECKS["etcd has every member and one leader"](case(seen))
    assert verdict.outcome is Outcome.FAIL
    assert f"{NAMES[2]} follows 3e9" in verdict.reason


def test_a_learner_does_not_count_as_a_member() -> None:
    seen = clean()
    seen["host-facts"][NAMES[0]]["etcd members"]["value"]["members"][2]["isLearner"] = True
    verdict = CHECKS["etcd has every member and one leader"](case(seen))
    assert "2 voting of 3" in verdict.reason
    assert f"expected {NAMES[2]} (10.0.0.3) among the members" in verdict.reason


_offsets = st.floats(-2, 2, allow_nan=False)
_coarse = st.floats(0, 0.5, allow_nan=False)


@given(st.lists(_offsets, min_size=3, max_size=3), st.lists(_coarse, min_size=3, max_size=3))
def test_clocks_are_judged_only_when_the_bounds_allow_it(
    offsets: list[float], coarse: list[float]
) -> None:
    seen = clean()
    for name, offset, width in zip(NAMES, offsets, coarse, strict=True):
        bounds = {"at_least_s": offset - width, "at_most_s": offset + width}
        seen["host-facts"][name]["clock"]["value"] = bounds
    apart = (max(offsets) - min(offsets)) * 1000
    assume(abs(apart - 250) > 0.001)
    verdict = CHECKS["all clocks agree"](case(seen))
    if verdict.outcome is Outcome.PASS:
        assert apart <= 250
    if verdict.outcome is Outcome.FAIL:
        assert apart > 250
    assert verdict.measured["clock_between_nodes_ms"] >= apart - 0.001
    if not any(coarse):
        assert verdict.outcome is (Outcome.PASS if apart <= 250 else Outcome.FAIL)


def test_what_is_measured_is_the_worst_of_all_machines() -> None:
    seen = clean()
    seen["host-facts"][NAMES[1]]["chrony"]["value"]["offset_s"] = 0.05
    seen["host-facts"][NAMES[2]]["disk /"]["value"]["free_percent"] = 25.0
    assert CHECKS["every clock follows its source"](case(seen)).measured == {
        "clock_source_offset_ms": 50.0,
        "clock_update_minutes": 1.5,
    }
    assert CHECKS["every disk has room"](case(seen)).measured == {"disk_free_percent": 25.0}


def test_a_certificate_of_a_worker_s_agent_must_last_too() -> None:
    seen = clean()
    known = case(seen)
    *servers, last = known.cluster.machines
    cluster = replace(known.cluster, machines=(*servers, replace(last, roles=("worker",))))
    path = "/var/lib/rancher/rke2/agent/client-kubelet.crt"
    ends = {"path": path, "subject": "CN=system:node", "not_after": NOW + 5 * DAY_S}
    seen["host-facts"][last.name]["certificates"]["value"]["files"] = [ends]
    observed = case(seen).observations
    judged = Case(cluster=cluster, targets=known.targets, observations=observed)
    verdict = CHECKS["every certificate lasts long enough"](judged)
    assert (verdict.outcome, verdict.where) == (Outcome.FAIL, (last.name,))
    assert f"expected 30 more days of {path}, seen 5" in verdict.reason


def test_certificates_that_no_pattern_finds_are_not_proven() -> None:
    seen = clean()
    seen["host-facts"][NAMES[0]]["certificates"]["value"]["unmatched"] = ["/tls/*.crt"]
    verdict = CHECKS["every certificate lasts long enough"](case(seen))
    assert verdict.outcome is Outcome.NOT_PROVEN
    assert "/tls/*.crt" in verdict.reason


def test_servers_of_two_clusters_are_told_apart() -> None:
    seen = clean()
    seen["api-endpoints"][NAMES[2]]["namespace"]["value"]["uid"] = "u-2"
    verdict = CHECKS["the API answers through every server"](case(seen))
    assert verdict.outcome is Outcome.FAIL
    assert f"{NAMES[2]} serves u-2" in verdict.reason
