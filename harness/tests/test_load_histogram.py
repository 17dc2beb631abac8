"""Histograms of a load: the same in whatever order they are added; no answer is no fast answer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from math import ceil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.errors import ConfigError
from harness.load.results import Histogram, Written, read
from harness.load.spec import LoadSpec, Page, Plan, load_spec, why_none
from harness.settings import Profile
from harness.settings.loads import Load, find_load, load_names
from harness.tests.stage import PROFILE

KINDS = (None, None, None, "timed out", "status 502", "429 a.example", "429 b.example")
requests = st.tuples(
    st.floats(0, 7200, allow_nan=False), st.booleans(), st.sampled_from(KINDS), st.integers(0, 5)
)

SPEC = LoadSpec(
    addresses=["127.0.0.1"],
    pages=[Page("shop.example", "/")],
    authority=None,
    plan=Plan(20),
    timeout_s=1,
    lasts_s=60,
)


def bucket_of(some: Sequence[tuple[float, bool, str | None, int]]) -> Histogram:
    made = Histogram()
    for took_s, on_time, error, part in some:
        if error is not None and error.startswith("429 "):
            # Not every 429 says how long to wait.
            made.add_limited(error[4:], float(part) if part else None, on_time=on_time)
        else:
            made.add(took_s, on_time=on_time, error=error)
    return made


def counts(made: Histogram) -> list[int]:
    took: Any = made.took
    return list(took.counts)


def same(one: Histogram, other: Histogram) -> bool:
    # Not HdrHistogram.equals: it takes the least of nothing for 0, and what was added to nothing.
    first, second = (
        (it.on_time, it.errors, it.limited, it.retry_after_s, counts(it)) for it in (one, other)
    )
    return first == second


@given(st.lists(requests, max_size=40), st.randoms())
def test_lines_add_up_to_the_whole_however_they_were_cut_and_ordered(
    some: list[tuple[float, bool, str | None, int]], random: st.DataObject
) -> None:
    lines = [
        json.dumps(bucket_of([it for it in some if it[3] == part]).to_json()) for part in range(6)
    ]
    random.shuffle(lines)  # type: ignore[attr-defined]
    whole = Histogram()
    for line in lines:
        whole.merge(Histogram.from_json(json.loads(line)))
    directly = bucket_of(some)
    assert same(whole, directly)
    assert [whole.quantile_ms(q) for q in (0.5, 0.99, 1)] == [
        directly.quantile_ms(q) for q in (0.5, 0.99, 1)
    ]


@given(st.lists(st.floats(0.001, 3000), min_size=1, max_size=60), st.floats(0.01, 1))
def test_a_quantile_is_one_of_the_times_to_a_hundredth(times_s: list[float], q: float) -> None:
    bucket = bucket_of([(it, True, None, 0) for it in times_s])
    exact_ms = sorted(times_s)[ceil(q * len(times_s)) - 1] * 1000
    assert bucket.quantile_ms(q) == pytest.approx(exact_ms, rel=0.011)


def test_who_was_not_answered_ranks_last_however_fast_the_error_came() -> None:
    some = [(0.01, True, None, 0)] * 98 + [(0.001, True, "no connection", 0)] * 2
    assert bucket_of(some).quantile_ms(0.98) == pytest.approx(10, rel=0.02)
    assert bucket_of(some).quantile_ms(0.99) is None
    assert Histogram().quantile_ms(0.5) is None


@given(st.lists(requests, max_size=40))
def test_each_request_is_answered_failed_or_limited(
    some: list[tuple[float, bool, str | None, int]],
) -> None:
    made = bucket_of(some)
    assert made.answered + made.failed + made.limited.total() == len(some)
    assert made.limited.total() == sum("429" in (it[2] or "") for it in some)


def test_a_line_of_before_knows_no_limit() -> None:
    line: Written = {"on_time": 1, "errors": {}, "took": None}
    read = Histogram.from_json(line)
    assert (read.limited.total(), read.to_json()) == (0, line)


def test_the_plan_counts_what_nobody_offered(tmp_path: Path) -> None:
    one = {"second": 101, **bucket_of([(0.1, True, None, 0)] * 10).to_json()}
    lines = [{"began": 100.5}, one, one, {"ended": 104.0, "busy_s": 1.0}]
    path = tmp_path / "seconds.jsonl"
    path.write_text("".join(json.dumps(it) + "\n" for it in lines) + '{"second": 10')
    results = read(path, SPEC, ended=999)
    assert results is not None
    assert (results.began, results.ended) == (100.5, 104.0)
    assert results.cut(0, 999).planned == 70
    assert (results.cut(101, 102).planned, results.cut(101, 102).seen.on_time) == (20, 20)
    assert (results.cut(102, 104).planned, results.cut(102, 104).seen.answered) == (40, 0)


def test_before_it_began_there_are_no_results(tmp_path: Path) -> None:
    path = tmp_path / "seconds.jsonl"
    path.write_text("")
    assert read(path, SPEC, ended=999) is None


INGRESS = {
    "addresses": ["127.0.0.1", "127.0.0.2"],
    "ingress_class": "web",
    "sites": ["shop.example"],
    "authority": "/nowhere/sites.crt",
}
STACK = {"cni": "bridge", "network_policy": False, "ingress": "nginx"}


def profile(**ingress: object) -> Profile:
    return Profile.model_validate({**PROFILE, "stack": STACK, "ingress": {**INGRESS, **ingress}})


def load() -> Load:
    return find_load("ingress")


def test_a_load_goes_to_the_ingress_that_is_declared_and_nowhere_else() -> None:
    order = load_spec(load(), profile(), 60)
    assert order is not None
    assert (order.scheme, order.port, order.authority) == ("https", 443, "/nowhere/sites.crt")
    assert order.pages == [Page("shop.example", path) for path in load().paths]
    assert "https://shop.example/healthz at 127.0.0.1, 127.0.0.2" in str(order)
    assert str(LoadSpec.from_line(order.line())) == str(order)
    other = load_spec(load(), profile(paths=["/shop"]), 60)
    assert other is not None
    assert other.pages == [Page("shop.example", "/shop")]


def test_a_load_asks_as_the_ingress_is_declared() -> None:
    sites = [{"host": "a.example", "paths": [{"path": "/h", "status": 307, "says": "x"}, "/"]}]
    order = load_spec(load(), profile(scheme="http", port=8000, sites=sites), 60)
    assert order is not None
    assert (order.scheme, order.port) == ("http", 8000)
    assert order.pages == [Page("a.example", "/h", 307, "x"), Page("a.example", "/")]
    assert "http://a.example:8000/h, http://a.example:8000/ at" in str(order)
    assert LoadSpec.from_line(order.line()).pages == order.pages


def test_a_cluster_without_an_ingress_has_no_load_and_says_why() -> None:
    without = Profile.model_validate(PROFILE)
    assert load_spec(load(), without, 60) is None
    assert why_none(without) == "there is no ingress here"
    assert why_none(profile()) is None


def test_an_ingress_without_a_site_is_a_mistake_that_is_told_beforehand() -> None:
    with pytest.raises(ConfigError, match="declares no site"):
        load_spec(load(), profile(sites=[]), 60)


def test_a_load_is_found_by_its_name(tmp_path: Path) -> None:
    assert load_names() == ("busy-hour", "ingress", "services")
    with pytest.raises(ConfigError, match="there is no load ingres"):
        find_load("ingres")
    text = "{schema: 1, name: other, title: t, requests_per_s: 1, timeout_s: 1, paths: [/]}"
    (tmp_path / "one.yaml").write_text(text)
    with pytest.raises(ConfigError, match="calls itself other"):
        find_load("one", tmp_path)
