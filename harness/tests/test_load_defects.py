"""Seeded defects before a real generator, on loopback: each is red for its own reason alone."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from harness.checks import CHECKS
from harness.core.model import Outcome
from harness.facts.schema import Known, dump
from harness.load import comparison, running
from harness.load.running import Running, offer
from harness.load.spec import Plan, Stage
from harness.settings.loads import LoadBaseline
from harness.tests.clean_case import case, clean
from harness.tests.clean_cluster import CLUSTER
from harness.tests.probe_rig import PROFILE
from harness.tests.visited import HERE, Site, site

pytestmark = pytest.mark.slow

OFFERED = "every load was offered as planned"
ANSWERED = "requests are answered under load"
IN_TIME = "requests are answered in time under load"
SLOW = "expected 99 % of answers within 3000 ms, seen"
_PER_S, _FOR_S = 30.0, 10.0
# More than any answer of a well site takes on a busy computer, and less than the stall.
_P99_MS = 3000.0


@dataclass(frozen=True)
class Defect:
    """What is done to the site or the generator, and the verdict of each check with its reason."""

    name: str
    seed: Callable[[Site, Running], object]
    outcomes: tuple[Outcome, Outcome, Outcome]
    says: str


def stall(shop: Site, _: Running) -> None:
    """For five seconds nobody is answered."""
    shop.lets_through.clear()
    threading.Timer(5.0, shop.lets_through.set).start()


def pool_of_one(shop: Site, _: Running) -> None:
    """One connection to the database, which takes 60 ms: 16 requests a second, and 30 come."""
    shop.takes_s, shop.pool = 0.06, threading.Semaphore(1)


def starve(_: Site, load: Running) -> None:
    """The generator gets no processor for three seconds."""
    load._process.send_signal(signal.SIGSTOP)
    threading.Timer(3.0, load._process.send_signal, [signal.SIGCONT]).start()


PASS, FAIL, UNKNOWN = Outcome.PASS, Outcome.FAIL, Outcome.NOT_PROVEN
DEFECTS = (
    Defect("none", lambda *_: None, (PASS, PASS, PASS), ""),
    Defect(
        "0.7 % errors",
        lambda shop, _: setattr(shop, "fails_every", 150),
        (PASS, FAIL, PASS),
        "expected at most 0.1 % of its requests to fail, seen 0.67 % (2 × status 500)",
    ),
    Defect("a stall", stall, (PASS, PASS, FAIL), SLOW),
    Defect("a pool of one", pool_of_one, (PASS, PASS, FAIL), SLOW),
    Defect(
        "a limit",
        lambda shop, _: setattr(shop, "status", 429),
        (UNKNOWN, UNKNOWN, UNKNOWN),
        "the ingress limits our one address (429 Too Many Requests",
    ),
    Defect(
        "a starved generator",
        starve,
        (UNKNOWN, UNKNOWN, UNKNOWN),
        "of the planned requests were sent on time, expected 99 %",
    ),
)


@pytest.mark.parametrize("defect", [pytest.param(it, id=it.name) for it in DEFECTS])
def test_a_seeded_defect_is_red_for_its_own_reason_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, defect: Defect
) -> None:
    class Seeded(Running):
        """A load whose defect begins a second after its first answer."""

        def finish(self) -> None:
            self.go_on(1.0)
            defect.seed(shop, self)
            super().finish()

    monkeypatch.setattr(running, "Running", Seeded)
    with site(tmp_path, tls=False) as shop:
        order = replace(
            shop.order(per_s=_PER_S, timeout_s=25),
            scheme="http",
            authority=None,
            plan=Plan(0.0, (Stage("steady", _PER_S, _PER_S, _FOR_S),), 1),
        )
        found = offer(order)
    there = clean()
    there["loads"][CLUSTER.name] = {"busy-hour": dump(Known(found))}
    usual = case(there)
    seen = replace(usual, cluster=replace(CLUSTER, loads={"busy-hour": _P99_MS}))
    judged = [CHECKS[name](seen) for name in (OFFERED, ANSWERED, IN_TIME)]
    assert tuple(it.outcome for it in judged) == defect.outcomes, [it.reason for it in judged]
    red = [it.reason for it in judged if it.outcome is not PASS]
    assert all(defect.says in it for it in red), red


def test_two_platforms_are_compared_over_real_requests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four pairs are the fewest that prove something: eight starts of a generator, in turn."""
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
    with site(tmp_path / "old", tls=False) as before, site(tmp_path / "new", tls=False) as after:
        before.takes_s, after.takes_s = 0.05, 2.0
        order = replace(
            after.order(),
            scheme="http",
            authority=None,
            plan=Plan(0.0, (Stage("steady", 20, 20, 1),), 1),
        )
        baseline = {"addresses": [HERE], "port": before.port, "pairs": 4}
        monkeypatch.setattr(comparison, "staged_spec", lambda *_: order)
        profile = PROFILE.model_copy(
            update={"load_baseline": LoadBaseline.model_validate(baseline)}
        )
        compared = comparison.compare("busy-hour", profile, lambda _: None, lambda: None)
    there = clean()
    there["load-comparison"][CLUSTER.name] = {"busy-hour": dump(Known(compared))}
    verdict = CHECKS["the new platform is no slower under the same load"](case(there))
    assert verdict.outcome is FAIL, verdict.reason
    assert verdict.measured["slower_ratio"] > 1.2
    assert {len(before.asked), len(after.asked)} == {4 * compared.new[0].whole.planned}
