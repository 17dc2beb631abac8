"""The Lease: one harness at a time breaks things, and one that died blocks nobody for long."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.core.errors import Conflict, NotFound, Refused, Unreachable
from harness.core.waiting import until
from harness.faults import disruption_lock
from harness.record.journal import utc_text
from harness.tests.fake_transport import FakeKube


class LeaseKube(FakeKube):
    """An API that keeps one Lease, and its version."""

    def __init__(self, kept: dict[str, Any] | None = None) -> None:
        super().__init__()
        self.kept = kept
        self.silent = False
        self.meanwhile: dict[str, Any] | None = None

    def get(self, path: str, *, within_s: float = 10.0) -> Any:
        self._answering()
        if self.kept is None:
            raise NotFound(path)
        there = {**self.kept, "metadata": {**self.kept["metadata"], "resourceVersion": "7"}}
        if self.meanwhile is not None:
            self.kept, self.meanwhile = self.meanwhile, None
        return there

    def create(self, path: str, manifest: Mapping[str, Any], *, within_s: float = 10.0) -> Any:
        self._answering()
        if self.kept is not None:
            raise Conflict(path)
        self.kept = dict(manifest)
        return manifest

    def apply(self, manifest: Mapping[str, Any], *, within_s: float = 10.0) -> None:
        self._answering()
        changed = self.kept is None or "by somebody" in self.kept
        if "resourceVersion" in manifest["metadata"] and changed:
            raise Conflict("changed")
        self.kept = dict(manifest)

    def delete(self, path: str, *, within_s: float = 10.0) -> None:
        self._answering()
        self.kept = None

    def _answering(self) -> None:
        if self.silent:
            raise Unreachable("the API is silent")

    @property
    def holder(self) -> str | None:
        return None if self.kept is None else str(self.kept["spec"]["holderIdentity"])


def held_by(who: str, seconds_ago: float) -> dict[str, Any]:
    renewed = datetime.now(UTC) - timedelta(seconds=seconds_ago)
    spec = {"holderIdentity": who, "leaseDurationSeconds": 45, "renewTime": utc_text(renewed)}
    return {"metadata": {"name": disruption_lock.NAME}, "spec": spec}


class Clock:
    """Time that passes only while a caller sleeps, and what happens meanwhile."""

    def __init__(self) -> None:
        self.now = 0.0
        self.meanwhile: Callable[[], object] = lambda: None

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.meanwhile()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("harness.core.waiting.time", clock)
    return clock


def test_it_is_held_while_the_body_runs_and_gone_afterwards() -> None:
    kube = LeaseKube()
    with disruption_lock.held(kube, "run-1"):
        assert kube.holder == "run-1"
    assert kube.kept is None
    assert kube.holder is None


@pytest.mark.parametrize("wrong_by_s", [0, 3600, -3600, 86400 * 400])
def test_the_second_harness_is_refused_while_the_first_renews(
    clock: Clock, wrong_by_s: float
) -> None:
    """However wrong the clock of one of them is."""
    kube = LeaseKube(held_by("run-0", seconds_ago=wrong_by_s))

    def renew() -> None:
        if clock.now >= 10:
            kube.kept = held_by("run-0", seconds_ago=wrong_by_s - clock.now)

    clock.meanwhile = renew
    told: list[str] = []
    with (
        pytest.raises(Refused, match="run-0 holds the Lease"),
        disruption_lock.held(kube, "run-1", told.append),
    ):
        pytest.fail("two at a time")
    assert kube.holder == "run-0"
    assert clock.now <= disruption_lock.RENEW_S + 1
    assert "watching for 45 s" in told[0]


@pytest.mark.parametrize("wrong_by_s", [0, 3600, -3600])
def test_one_whose_holder_died_is_taken_over_when_it_was_not_renewed_for_its_duration(
    clock: Clock, wrong_by_s: float
) -> None:
    kube = LeaseKube(held_by("run-0", seconds_ago=wrong_by_s))
    with disruption_lock.held(kube, "run-1"):
        assert kube.holder == "run-1"
    assert clock.now == pytest.approx(45)


def test_a_lease_without_a_holder_is_taken_at_once(clock: Clock) -> None:
    with disruption_lock.held(LeaseKube(held_by("", seconds_ago=0)), "run-1"):
        assert clock.now == 0


def test_one_that_is_let_go_while_it_is_watched_is_taken_at_once(clock: Clock) -> None:
    kube = LeaseKube(held_by("run-0", seconds_ago=0))
    clock.meanwhile = lambda: setattr(kube, "kept", None) if clock.now == 3 else None
    with disruption_lock.held(kube, "run-1"):
        assert (kube.holder, clock.now) == ("run-1", 3)


def test_an_api_that_falls_silent_meanwhile_shows_no_renewal_and_gives_nothing_away(
    clock: Clock,
) -> None:
    kube = LeaseKube(held_by("run-0", seconds_ago=0))
    clock.meanwhile = lambda: setattr(kube, "silent", True)
    with pytest.raises(Unreachable), disruption_lock.held(kube, "run-1"):
        pytest.fail("the lease was not taken")


def test_a_duration_that_no_harness_writes_is_not_waited_for(clock: Clock) -> None:
    kube = LeaseKube(held_by("run-0", seconds_ago=0))
    assert kube.kept is not None
    kube.kept["spec"]["leaseDurationSeconds"] = 10**9
    with (
        pytest.raises(Refused, match="no harness writes that"),
        disruption_lock.held(kube, "run-1"),
    ):
        pytest.fail("it may be held")
    assert clock.now == 0


@pytest.mark.usefixtures("clock")
def test_of_two_that_take_it_over_at_once_one_is_refused() -> None:
    kube = LeaseKube(held_by("run-0", seconds_ago=46))

    def get(path: str, *, within_s: float = 10.0) -> Any:
        there = LeaseKube.get(kube, path, within_s=within_s)
        kube.meanwhile = {**held_by("run-0", seconds_ago=46), "by somebody": True}
        return {**there, "spec": held_by("run-0", seconds_ago=46)["spec"] | {"renewTime": "x"}}

    kube.get = get  # type: ignore[method-assign]
    with pytest.raises(Refused, match="that took it first"), disruption_lock.held(kube, "run-1"):
        pytest.fail("two at a time")


@settings(max_examples=60, deadline=None)
@given(
    dies=st.floats(0, 120),
    asks=st.floats(0, 120),
    skews=st.tuples(*[st.integers(-(10**8), 10**8)] * 2),
)
def test_no_two_hold_it_at_once_however_wrong_their_clocks_are(
    dies: float, asks: float, skews: tuple[int, int]
) -> None:
    """The first renews every ten seconds until it dies; the second one asks at some moment."""
    clock, kube = Clock(), LeaseKube(held_by("run-0", seconds_ago=skews[0]))
    last = [0.0]

    def renew() -> None:
        if clock.now < dies and clock.now - last[0] >= disruption_lock.RENEW_S:
            last[0] = clock.now
            kube.kept = held_by("run-0", seconds_ago=skews[0] - clock.now)

    clock.meanwhile = renew
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("harness.core.waiting.time", clock)
        while clock.now < asks:
            clock.sleep(1.0)
        try:
            with disruption_lock.held(kube, "run-1"):
                took = clock.now
        except Refused:
            assert kube.holder == "run-0"
            return
    assert took - last[0] >= disruption_lock.DURATION_S - 1
    assert took >= dies or dies - last[0] > disruption_lock.RENEW_S


def test_a_run_that_is_resumed_takes_its_own_again() -> None:
    kube = LeaseKube(held_by("run-1", seconds_ago=1))
    with disruption_lock.held(kube, "run-1"):
        assert kube.holder == "run-1"


def test_an_api_that_falls_silent_ends_nothing() -> None:
    kube = LeaseKube()
    with disruption_lock.held(kube, "run-1"):
        kube.silent = True
    assert kube.holder == "run-1", "it ends by itself"


def test_somebody_elses_lease_is_not_deleted_at_the_end() -> None:
    kube = LeaseKube()
    with disruption_lock.held(kube, "run-1"):
        kube.kept = held_by("run-2", seconds_ago=0)
    assert kube.kept is not None


@pytest.fixture
def _renewed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disruption_lock, "RENEW_S", 0.01)


@pytest.mark.usefixtures("_renewed_at_once")
def test_one_that_another_has_taken_meanwhile_is_lost_and_not_stolen_back() -> None:
    kube = LeaseKube()
    heard: list[str] = []
    with disruption_lock.held(kube, "run-1") as lock, lock.on_lost(heard.append):
        kube.kept = held_by("run-2", seconds_ago=0)
        until(lambda: heard, within_s=30, what="the loss is told")
        assert kube.holder == "run-2"
        with pytest.raises(Refused, match="run-2 holds the Lease"):
            lock.confirm()
    assert kube.holder == "run-2"


def test_what_is_lost_stays_lost_when_the_other_one_has_let_go() -> None:
    kube = LeaseKube()
    with disruption_lock.held(kube, "run-1") as lock:
        kube.kept = held_by("run-2", seconds_ago=60)
        with pytest.raises(Refused, match="run-2 holds the Lease"):
            lock.confirm()
        kube.kept = None
        with pytest.raises(Refused, match="run-2 holds the Lease"):
            lock.confirm()


def test_one_that_is_gone_is_lost_because_another_may_have_held_it() -> None:
    kube = LeaseKube()
    with disruption_lock.held(kube, "run-1") as lock:
        kube.kept = None
        with pytest.raises(Refused, match="is gone: another harness may have held it"):
            lock.confirm()


def test_one_that_another_takes_while_it_is_renewed_is_lost() -> None:
    kube = LeaseKube()
    with disruption_lock.held(kube, "run-1") as lock:
        kube.meanwhile = {**held_by("run-2", seconds_ago=0), "by somebody": True}
        with pytest.raises(Refused, match="run-2 holds the Lease"):
            lock.confirm()
        assert kube.holder == "run-2"


def test_nothing_is_broken_while_nobody_says_whether_it_is_ours() -> None:
    kube = LeaseKube()
    with disruption_lock.held(kube, "run-1") as lock:
        kube.silent = True
        with pytest.raises(Refused, match="is unknown whether"):
            lock.confirm()
        kube.silent = False
        lock.confirm()


def test_one_that_ended_in_a_silence_is_ours_again_when_nobody_took_it() -> None:
    kube = LeaseKube()
    with disruption_lock.held(kube, "run-1") as lock:
        kube.kept = held_by("run-1", seconds_ago=60)
        lock.confirm()
        assert kube.holder == "run-1"


def test_whoever_begins_to_listen_after_the_loss_hears_of_it() -> None:
    kube = LeaseKube()
    heard: list[str] = []
    with disruption_lock.held(kube, "run-1") as lock:
        kube.kept = None
        with pytest.raises(Refused):
            lock.confirm()
        with lock.on_lost(heard.append):
            assert len(heard) == 1
