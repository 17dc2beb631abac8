"""A namespace whose harness is gone is removed; one whose harness lives is kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.core.errors import Unreachable
from harness.core.waiting import until
from harness.probes import owned
from harness.tests.fake_transport import FakeKube
from harness.tests.test_disruption_lock import Clock


class Spaces(FakeKube):
    """An API that keeps namespaces."""

    def __init__(self, *names: str) -> None:
        super().__init__({"/api/v1/persistentvolumes": {"items": []}})
        self.kept: dict[str, dict[str, Any]] = {}
        self.silent = False
        self.stays = False
        for name in names:
            self.apply(owned.manifest(name, "run-0", "0"))

    def get(self, path: str, *, within_s: float = 10.0) -> Any:
        if self.silent:
            raise Unreachable("the API is silent")
        if path.startswith("/api/v1/namespaces?"):
            return {"items": [{"metadata": it} for it in self.kept.values()]}
        return super().get(path, within_s=within_s)

    def apply(self, manifest: Mapping[str, Any], *, within_s: float = 10.0) -> None:
        meta = dict(manifest["metadata"])
        self.kept[meta["name"]] = {"uid": f"uid of {meta['name']}", **meta}

    def delete(self, path: str, *, within_s: float = 10.0) -> None:
        if not self.stays:
            del self.kept[path.rpartition("/")[2]]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module in ("harness.core.waiting.time", "harness.probes.owned.time"):
        monkeypatch.setattr(module, clock)
    return clock


LEDGER, PROBE, OTHER = "cutover-ledger-1", "cutover-probe-2", "production"


def test_only_namespaces_that_are_not_renewed_are_removed(clock: Clock) -> None:
    kube = Spaces(LEDGER, PROBE, OTHER)
    assert owned.sweep(kube) == {LEDGER: None, PROBE: None}
    assert set(kube.kept) == {OTHER}
    assert owned.LASTS_S <= clock.now <= owned.LASTS_S + 5


def test_a_sweep_without_leftovers_does_not_wait(clock: Clock) -> None:
    assert owned.sweep(Spaces(OTHER)) == {}
    assert clock.now == 0


def test_what_a_run_takes_up_again_is_kept_for_it(clock: Clock) -> None:
    kube = Spaces(LEDGER)
    assert owned.sweep(kube, keep="run-0") == {}
    assert (set(kube.kept), clock.now) == ({LEDGER}, 0)


def test_what_is_deleted_and_stays_is_told(clock: Clock) -> None:
    kube = Spaces(LEDGER)
    kube.stays = True
    (trouble,) = owned.sweep(kube).values()
    assert "still there after 120 s" in str(trouble)
    assert clock.now > owned.LASTS_S


@pytest.mark.usefixtures("clock")
def test_an_api_that_is_silent_is_told_and_nothing_is_removed() -> None:
    kube = Spaces(LEDGER)
    kube.silent = True
    with pytest.raises(Unreachable):
        owned.sweep(kube)
    assert set(kube.kept) == {LEDGER}


@settings(max_examples=60, deadline=None)
@given(
    every_s=st.floats(1, 40),
    began_s=st.floats(0, 40),
    dies_s=st.one_of(st.none(), st.floats(0, 60)),
)
def test_a_living_harness_keeps_its_namespace_and_a_dead_one_does_not(
    every_s: float, began_s: float, dies_s: float | None
) -> None:
    clock, kube, last = Clock(), Spaces(LEDGER, PROBE), [began_s - every_s]

    def renew() -> None:
        lives = dies_s is None or clock.now < dies_s
        if lives and clock.now - last[0] >= every_s:
            last[0] = clock.now
            kube.apply(owned.manifest(LEDGER, "run-0", f"{clock.now}"))

    clock.meanwhile = renew
    with pytest.MonkeyPatch.context() as patch:
        for module in ("harness.core.waiting.time", "harness.probes.owned.time"):
            patch.setattr(module, clock)
        swept = owned.sweep(kube)
        assert PROBE in swept
        if dies_s is None and every_s <= owned.LASTS_S - 5:
            assert swept == {PROBE: None}
        clock.meanwhile = lambda: None
        assert LEDGER in {**swept, **owned.sweep(kube)}
    assert kube.kept == {}


def test_an_owner_renews_its_namespace_and_makes_no_second_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(owned, "RENEW_S", 0.02)
    kube = Spaces()
    with owned.renewed(kube, LEDGER, "run-1"):
        first = kube.kept[LEDGER]["annotations"]
        until(lambda: kube.kept[LEDGER]["annotations"] != first, within_s=30, what="it is renewed")
        assert kube.kept[LEDGER]["annotations"][owned.OWNER] == "run-1"
        assert owned.sweep(kube) == {}, "its own process never sweeps it"
        kube.silent = True
    kube.silent = False
    assert owned.LABELS.items() <= kube.kept[LEDGER]["labels"].items()
