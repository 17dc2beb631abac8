"""A load's generator is judged by what it does itself, however slow the platform is."""

from __future__ import annotations

import resource
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from math import ceil, inf
from pathlib import Path
from typing import Any, cast
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.errors import NotProven
from harness.core.names import Names
from harness.core.waiting import until
from harness.load import visitor
from harness.load.running import Running, offer, offering
from harness.load.spec import ON_TIME_S, Journey, LoadSpec, Page, Plan, Stage
from harness.load.visitor import Failed, Unsent, Visitors
from harness.tests.visited import HERE, SITE, Site, site

_TIMEOUT_S = 5.0
_TRUST = ssl.create_default_context()


@dataclass
class Clock:
    """A clock that moves only while a visitor waits: for its next page, an answer, or a processor.

    It is the event of the load's end too. After each wait for that the computer is ``late_s`` late.
    """

    ends: float
    late_s: float
    now: float = 0.0

    def monotonic(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now = max(self.now, min(self.now + seconds, self.ends)) + self.late_s


@dataclass
class Told:
    at: float
    took_s: float
    on_time: bool
    error: Exception | None


@dataclass
class OneVisitor(Visitors):
    """A visitor of a platform that takes these times; longer than its deadline is no answer."""

    clock: Clock = field(default_factory=lambda: Clock(inf, 0))
    takes_s: Sequence[float] = ()

    def _ask(self, page: Page, number: int, names: Names | None) -> Exception | None:
        took_s = self.takes_s[int(page.path[1:])]
        self.clock.now += min(took_s, _TIMEOUT_S)
        return Failed("timed out") if took_s > _TIMEOUT_S else None


def way(*thinks_s: float) -> LoadSpec:
    """A load of visitors who each request so many pages, with these pauses before them."""
    pages = [Page(SITE, f"/{number}", think_s=(it, it)) for number, it in enumerate(thinks_s)]
    return LoadSpec(
        addresses=[HERE],
        pages=[],
        journeys=[Journey(1, pages)],
        authority=None,
        plan=Plan(1),
        timeout_s=_TIMEOUT_S,
        lasts_s=60,
    )


def visited(
    spec: LoadSpec, takes_s: Sequence[float], ends_s: float, late_s: float = 0
) -> list[Told]:
    """What is recorded of the first visitor, on a load that ends after so long."""
    told: list[Told] = []

    def record(at: float, took_s: float, *, on_time: bool, error: Exception | None) -> None:
        told.append(Told(at, took_s, on_time, error))

    began = 100.0
    clock = Clock(began + ends_s, late_s, began)
    one = OneVisitor(
        spec=spec,
        trust=_TRUST,
        run="run",
        began=began,
        record=record,
        ended=clock.ends,
        over=cast(Any, clock),
        clock=clock,
        takes_s=takes_s,
    )
    with patch("harness.load.visitor.time.monotonic", clock.monotonic):
        one._visit(0)
    assert clock.now <= clock.ends + spec.answers_within_s + late_s
    return told


_SECONDS = st.floats(0, 20)


@given(st.lists(st.tuples(_SECONDS, _SECONDS), min_size=1, max_size=6), st.floats(0.1, 60))
def test_no_platform_makes_a_generator_late_or_its_requests_missing(
    pages: list[tuple[float, float]], ends_s: float
) -> None:
    """Each request that is due before the end is told once, and none that is due later."""
    spec = way(*(think_s for think_s, _ in pages))
    told = visited(spec, [takes_s for _, takes_s in pages], ends_s)
    assert [it.at for it in told] == [at for at in spec.dues(0) if at < ends_s]
    assert all(it.on_time for it in told)
    slow = [takes_s > _TIMEOUT_S for (_, takes_s), _ in zip(pages, told, strict=False)]
    assert [it.error is not None for it in told] == [any(slow[: n + 1]) for n in range(len(told))]


@given(st.lists(st.floats(0, 5), min_size=1, max_size=6), st.floats(ON_TIME_S + 0.01, 10))
def test_a_generator_that_is_held_up_before_a_request_is_late_however_fast_the_platform(
    thinks_s: list[float], late_s: float
) -> None:
    told = visited(way(1, *thinks_s), [0.0] * (len(thinks_s) + 1), inf, late_s)
    assert not told[0].on_time


@contextmanager
def few_files(soft: int) -> Iterator[None]:
    """Let what this process starts have no more open files than so, unless it asks for more."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def ending(shop: Site, per_s: float, for_s: float, timeout_s: float) -> LoadSpec:
    return replace(
        shop.order(timeout_s=timeout_s),
        scheme="http",
        authority=None,
        plan=Plan(0.0, (Stage("steady", per_s, per_s, for_s),)),
    )


class Stalled(Running):
    """A load on a site that answers nobody as soon as it has answered one.

    Its generator may have a few open files only, unless it asks for more.
    """

    shop: Site

    def __init__(self, spec: LoadSpec, folder: Path) -> None:
        with few_files(100):
            super().__init__(spec, folder)

    def served(self, **_: float) -> None:
        super().served()
        self.shop.lets_through.clear()


@pytest.mark.slow
def test_a_stalled_platform_is_offered_all_and_fails_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More requests wait than this computer permits open files by itself; each is of two pages."""
    monkeypatch.setattr("harness.load.running.Running", Stalled)
    with site(tmp_path, tls=False) as shop:
        Stalled.shop = shop
        pages = [Page(SITE, "/first"), Page(SITE, "/second", think_s=(0.5, 0.5))]
        spec = ending(shop, per_s=60, for_s=5, timeout_s=3)
        found = offer(replace(spec, pages=[], journeys=[Journey(1, pages)]))
    whole = found.whole
    assert found.troubles == ()
    assert whole.planned == 600
    assert whole.on_time >= 0.99 * whole.planned
    assert whole.answered + whole.failed == whole.planned
    assert set(whole.errors) == {"timed out", "after a failed request"}
    assert found.busy_percent is not None
    assert found.busy_percent < 90


@pytest.mark.slow
def test_a_platform_that_is_slow_to_the_last_answer_is_offered_all(
    tmp_path: Path,
) -> None:
    """The last visitor needs more time after the end than any one deadline."""
    with site(tmp_path, tls=False) as shop:
        shop.takes_s = 1.5
        spec = ending(shop, per_s=10, for_s=2, timeout_s=2.5)
        ways = [Journey(1, [Page(SITE, f"/{number}") for number in range(4)])]
        found = offer(replace(spec, pages=[], journeys=ways))
    assert found.whole.planned == 80
    assert found.whole.on_time >= 0.9 * found.whole.planned
    assert found.whole.answered + found.whole.failed == found.whole.planned


@pytest.mark.slow
def test_a_visitor_who_has_an_answer_after_the_end_asks_for_nothing_that_is_due_later(
    tmp_path: Path,
) -> None:
    with site(tmp_path, tls=False) as shop:
        spec = replace(shop.order(per_s=20, timeout_s=20), scheme="http", authority=None)
        pages = [Page(SITE, "/first"), Page(SITE, "/second", think_s=(30, 30))]
        with offering(replace(spec, pages=[], journeys=[Journey(1, pages)]), tmp_path / "l") as it:
            shop.lets_through.clear()
            waiting = len(shop.asked) + 20
            until(lambda: len(shop.asked) >= waiting, within_s=30, what="visitors who wait")
            shop.lets_through.set()
            results = it.results()
    assert results is not None
    whole = results.cut(results.began, inf)
    assert {path for _, _, path, _ in shop.asked} == {"/first"}
    assert whole.seen.answered == whole.planned == len(shop.asked)


@pytest.mark.slow
def test_a_load_that_may_need_more_open_files_than_there_can_be_does_not_begin(
    tmp_path: Path,
) -> None:
    most = int(Path("/proc/sys/fs/nr_open").read_text())
    with site(tmp_path, tls=False) as shop:
        spec = ending(shop, per_s=ceil(most / 10), for_s=5, timeout_s=30)
        with (
            pytest.raises(NotProven, match=r"may need \d+ open files, .* raise `ulimit -Hn`"),
            offering(spec, tmp_path / "load"),
        ):
            pytest.fail("it began")


@pytest.mark.parametrize(
    ("number", "kind"), [(24, "not sent: EMFILE on this computer"), (111, "no connection")]
)
def test_only_this_computer_s_own_lack_is_of_the_generator(
    monkeypatch: pytest.MonkeyPatch, number: int, kind: str
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, "no")

    monkeypatch.setattr(visitor, "_opened", refuse)
    with pytest.raises(Failed, match=kind) as told:
        visitor._connected([HERE], 0, 80)
    assert isinstance(told.value, Unsent) == kind.startswith("not sent")
