"""Offering a load to a real site on loopback: what is late, refused or never asked is told."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.core.errors import NotProven
from harness.core.waiting import until
from harness.drill.traffic import Marked
from harness.ledger.result import FAULT
from harness.load.results import Results
from harness.load.running import Running, offer, offering
from harness.load.spec import Journey, LoadSpec, Page, Plan, Stage
from harness.settings import ROOT
from harness.tests.visited import HERE, NOBODY, SITE, Site, site

pytestmark = pytest.mark.slow

_LATE_US = 200_000


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Site]:
    with site(tmp_path) as shop:
        yield shop


def stalled(shop: Site, order: LoadSpec, folder: Path) -> Results:
    """A load on a site that for two seconds answers nobody."""
    with offering(order, folder) as load:
        load.go_on(0.5)
        shop.lets_through.clear()
        load.go_on(2.0)
        waiting = shop.answered[200] + 2 * order.plan.per_s
        shop.lets_through.set()
        until(lambda: shop.answered[200] >= waiting, within_s=30, what="answers to all of them")
        results = load.results()
    assert load.troubles == []
    assert results is not None
    return results


def test_several_processes_share_the_requests_of_one_plan(tmp_path: Path) -> None:
    """Each is sent once, at its own time; the harness ends all of them."""
    with site(tmp_path, tls=False) as shop:
        order = replace(
            shop.order(),
            scheme="http",
            authority=None,
            pages=[],
            journeys=[Journey(1, [Page(SITE, "/{number}")])],
            plan=Plan(0.0, (Stage("ramp", 10, 60, 4),), 3),
            processes=2,
        )
        found = offer(order)
    assert found.whole.planned == pytest.approx(140, abs=1)
    assert found.whole.answered == found.whole.planned
    assert sorted(int(path[1:]) for _, _, path, _ in shop.asked) == list(range(len(shop.asked)))
    assert found.troubles == ()
    assert found.busy_percent is not None


def late(results: Results) -> int:
    """How many answers came late."""
    took: Any = results.cut(results.began, results.ended + 1).seen.took
    return sum(
        it.count_at_value_iterated_to
        for it in took.get_recorded_iterator()
        if it.value_iterated_to > _LATE_US
    )


def test_everybody_who_comes_while_nobody_is_served_is_late(shop: Site, tmp_path: Path) -> None:
    results = stalled(shop, shop.order(per_s=50), tmp_path / "load")
    # A hundred came in those two seconds; those of the last 0.2 s did not wait long enough. On a
    # busy computer there are more.
    assert late(results) >= 80
    whole = results.cut(results.began, results.ended + 1)
    assert whole.seen.answered + whole.seen.failed == pytest.approx(whole.planned, abs=2)
    p99 = whole.seen.quantile_ms(0.99)
    assert p99 is not None
    assert p99 > 1500
    assert shop.hosts == {f"{SITE}:{shop.port}"}


def test_a_generator_that_is_held_up_has_not_offered_what_was_planned(
    shop: Site, tmp_path: Path
) -> None:
    with offering(shop.order(per_s=20), tmp_path / "load") as load:
        load._process.send_signal(signal.SIGSTOP)
        load.go_on(2.5)
        load._process.send_signal(signal.SIGCONT)
        load.go_on(1.0)
        results = load.results()
    assert results is not None
    whole = results.cut(results.began, results.ended + 1)
    assert whole.seen.on_time < 0.9 * whole.planned


def test_phases_are_cut_afterwards(shop: Site, tmp_path: Path) -> None:
    def answered(status: int, times: int = 40) -> None:
        """So many that a loaded computer's half is enough."""
        wanted = shop.answered[status] + times
        until(lambda: shop.answered[status] >= wanted, within_s=30, what=f"answers with {status}")

    with offering(shop.order(per_s=40), tmp_path / "load") as load:
        answered(200)
        broken = time.monotonic()
        shop.status = 502
        answered(502)
        mended = time.monotonic()
        shop.status = 200
        answered(200, 120)
        results = load.results()
    assert results is not None
    before, during = results.cut(results.began, broken), results.cut(broken, mended)
    assert before.planned > 0
    assert abs(during.planned - 40 * (mended - broken)) <= 40  # whole seconds are cut
    assert during.seen.errors["status 502"] > 0
    assert during.seen.quantile_ms(0.99) is None
    after = results.cut(mended + 1, results.ended)
    assert after.planned > 0
    assert after.seen.failed == 0


def test_what_is_noted_as_soon_as_a_load_is_offered_has_requests_before_it(
    shop: Site, tmp_path: Path
) -> None:
    """Whatever part of a second the load begins in: a fault may be injected at once."""

    def before(number: int) -> int:
        with offering(shop.order(per_s=20), tmp_path / f"load-{number}") as load:
            marked = Marked(load)
            marked.mark(FAULT)
            outcome: Any = marked.outcome()
            answered: int = outcome["phases"]["before"]["answered"]
            return answered

    with ThreadPoolExecutor(4) as pool:
        assert min(pool.map(before, range(8))) > 0


def test_each_request_has_a_hard_deadline(shop: Site, tmp_path: Path) -> None:
    with offering(shop.order(per_s=20, timeout_s=0.5), tmp_path / "load") as load:
        shop.lets_through.clear()
        load.go_on(2.0)
        asked = time.monotonic()
        results = load.results()
        took_s = time.monotonic() - asked
    assert results is not None
    whole = results.cut(results.began, results.ended + 1).seen
    assert set(whole.errors) == {"timed out"}
    assert whole.failed >= 30
    assert took_s < 20


def test_an_address_that_refuses_is_left_for_the_next(shop: Site, tmp_path: Path) -> None:
    order = replace(shop.order(per_s=30), addresses=[NOBODY, HERE])
    with offering(order, tmp_path / "load") as load:
        load.go_on(1.0)
        results = load.results()
    assert results is not None
    assert results.cut(results.began, results.ended + 1).seen.failed == 0


@pytest.mark.parametrize(
    ("address", "host", "status", "told"),
    [
        (NOBODY, SITE, 200, "no connection"),
        (HERE, "other.example", 200, "wrong certificate"),
        (HERE, SITE, 404, "status 404"),
    ],
)
def test_a_load_that_nobody_serves_does_not_begin(
    shop: Site, tmp_path: Path, address: str, host: str, status: int, told: str
) -> None:
    shop.status = status
    order = replace(shop.order(), addresses=[address], pages=[Page(host, "/")])
    with closing(Running(order, tmp_path / "load")) as load:
        until(lambda: load._so_far().errors, within_s=30, what="requests that failed")
        with pytest.raises(NotProven, match=told):
            load.served(within_s=0.1)


SLOW_START = """
import sys, time
if "harness.load.start" in " ".join(sys.orig_argv):
    end = time.process_time() + {busy_s}
    while time.process_time() < end:
        pass
"""


def slowly(folder: Path, monkeypatch: pytest.MonkeyPatch, busy_s: float) -> None:
    """Every Python that starts from now on computes for so long before it begins."""
    (folder / "sitecustomize.py").write_text(SLOW_START.format(busy_s=busy_s))
    monkeypatch.setenv("PYTHONPATH", str(folder))


def test_a_generator_that_takes_long_to_start_is_waited_for(
    shop: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slowly(tmp_path, monkeypatch, busy_s=6)
    with closing(Running(shop.order(per_s=20), tmp_path / "load")) as load:
        load.served(within_s=5, lifeless_s=5)


def test_a_generator_that_does_not_get_to_a_request_is_not_taken_for_a_deaf_ingress(
    shop: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slowly(tmp_path, monkeypatch, busy_s=60)
    with closing(Running(shop.order(per_s=20), tmp_path / "load")) as load:
        with pytest.raises(NotProven, match="completed no request within") as told:
            load.served(starts_within_s=1.5)
        assert "last stage: nothing yet" in str(told.value)
        load._process.kill()


def test_a_generator_that_is_stopped_is_not_proven(shop: Site, tmp_path: Path) -> None:
    with closing(Running(shop.order(per_s=20), tmp_path / "load")) as load:
        load._process.send_signal(signal.SIGSTOP)
        try:
            with pytest.raises(NotProven, match="made no progress for 1 s"):
                load.served(lifeless_s=1)
        finally:
            load._process.send_signal(signal.SIGCONT)
    assert shop.answered.total() == 0


def test_what_the_ingress_does_not_let_through_is_neither_answered_nor_failed(
    shop: Site, tmp_path: Path
) -> None:
    with offering(shop.order(per_s=40), tmp_path / "load") as load:
        limited = shop.answered[429] + 20
        shop.status = 429
        until(lambda: shop.answered[429] >= limited, within_s=30, what="answers with 429")
        results = load.results()
    assert results is not None
    cut = results.cut(results.began, results.ended + 1).facts()
    assert cut["failed"] == 0
    assert cut["limited"][SITE] >= 20
    assert cut["retry_after_s"] == 7
    assert cut["answered"] + cut["limited"][SITE] == pytest.approx(cut["planned"], abs=2)


def test_a_load_that_is_limited_from_the_first_request_says_so(shop: Site, tmp_path: Path) -> None:
    shop.status = 429
    with (
        closing(Running(shop.order(), tmp_path / "load")) as load,
        pytest.raises(NotProven, match=r"limits our one address.*429 Too Many Requests"),
    ):
        load.served(within_s=0.5)


def test_a_plain_http_site_is_asked_by_its_host_and_for_its_words(tmp_path: Path) -> None:
    with site(tmp_path, tls=False) as shop:
        wrong = [Page(SITE, "/", 200, "well"), Page(SITE, "/", 307)]
        order = replace(shop.order(per_s=40), scheme="http", authority=None)
        with offering(order, tmp_path / "right") as load:
            load.go_on(0.5)
        with closing(Running(replace(order, pages=wrong), tmp_path / "wrong")) as load:
            both = {"another answer", "status 200"}
            until(lambda: set(load._so_far().errors) == both, within_s=30, what="both failures")
    assert shop.hosts == {f"{SITE}:{shop.port}"}


def test_a_load_that_cannot_even_start_says_why(shop: Site, tmp_path: Path) -> None:
    order = replace(shop.order(), authority="/nowhere/ca.crt")
    with pytest.raises(NotProven, match="No such file"), offering(order, tmp_path / "load"):
        pytest.fail("it began")


def test_a_load_that_ends_too_early_is_not_trusted(shop: Site, tmp_path: Path) -> None:
    order = replace(shop.order(per_s=20), lasts_s=6)
    with offering(order, tmp_path / "load") as load:
        load.go_on(30)
        assert load._process.poll() == 0
        assert load.results() is not None
    (trouble,) = load.troubles
    assert "ended early" in trouble


def test_what_was_written_by_one_that_was_killed_is_read(shop: Site, tmp_path: Path) -> None:
    with offering(shop.order(per_s=20), tmp_path / "load") as load:
        load._process.kill()
        killed = time.monotonic()
        # Requests stay due, and none is made.
        until(lambda: time.monotonic() > killed + 1.5, within_s=5, what="requests that are due")
        results = load.results()
    assert results is not None
    whole = results.cut(results.began, results.ended + 1)
    assert 0 < whole.seen.answered < 0.9 * whole.planned
    assert len(load.troubles) == 1


PARENT = """
import sys, threading
from pathlib import Path
from harness.load.spec import LoadSpec
from harness.load.running import offering

with offering(LoadSpec.from_line(sys.stdin.readline()), Path(sys.argv[1])) as load:
    try:
        print(load._process.pid, flush=True)
        threading.Event().wait(60)
    except KeyboardInterrupt:
        print(load.results().cut(load.results().began, 1e12).seen.answered, load.troubles)
"""


@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGINT])
def test_no_load_outlives_whoever_started_it(
    shop: Site, tmp_path: Path, by: signal.Signals
) -> None:
    heard = ("env", "--default-signal=INT", sys.executable)
    with subprocess.Popen(
        [*heard, "-c", PARENT, str(tmp_path / "load")],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdin is not None
        assert parent.stdout is not None
        parent.stdin.write(shop.order(per_s=20).line())
        parent.stdin.flush()
        generator = int(parent.stdout.readline())
        assert _lives(generator)
        parent.send_signal(by)
        said, _ = parent.communicate(timeout=30)
    until(lambda: not _lives(generator), within_s=60, what="the load has ended")
    if by == signal.SIGINT:
        answered, _, troubles = said.partition(" ")
        assert int(answered) > 0
        assert troubles.strip() == "[]"


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # Whoever is dead and was not waited for yet is no process any more.
    stat = Path(f"/proc/{pid}/stat").read_text()
    return stat.rpartition(")")[2].split()[0] != "Z"


def test_gevent_stays_out_of_the_harness() -> None:
    """It would change how every thread, socket and SSH connection here waits."""
    asked = "import sys, harness.commands.cli, harness.drill.service, harness.load.running as it; "
    asked += "print({'gevent', 'locust'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", asked], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"
