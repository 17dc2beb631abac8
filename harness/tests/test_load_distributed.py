"""A load by Locust's master and workers: real processes over loopback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from harness.core.errors import ConfigError, NotProven
from harness.core.waiting import until
from harness.load.running import Running, offer, offering
from harness.load.spec import DESERTED, Journey, LoadSpec, Page, Plan, Stage, Workers, staged_spec
from harness.settings import ROOT
from harness.settings.loads import LoadWorkers, find_load
from harness.tests.ports import free_port
from harness.tests.test_load_comparison import profile
from harness.tests.visited import HERE, SITE, Site, site, working

_BY_HAND = ("env", "--default-signal=INT", sys.executable)


def shared(shop: Site, count: int, for_s: float = 3) -> LoadSpec:
    """A load of so many workers, whose every visitor asks for a path of its own."""
    return replace(
        shop.order(),
        pages=[],
        journeys=[Journey(1, [Page(SITE, "/{number}")])],
        plan=Plan(0.0, (Stage("ramp", 10, 60, for_s),), 3),
        processes=count,
        workers=Workers(count, HERE, free_port()),
    )


@pytest.mark.slow
def test_workers_share_the_requests_of_one_plan_and_its_authority(tmp_path: Path) -> None:
    """A worker too many gets nothing to do; all of them end with the load."""
    with site(tmp_path) as shop:
        spec = shared(shop, 2)
        with working(spec, 3) as workers:
            found = offer(spec)
            assert [it.wait(30) for it in workers] == [0, 0, 0]
    assert found.troubles == ()
    assert found.whole.planned == pytest.approx(105, abs=1)
    assert found.whole.answered == found.whole.planned
    assert sorted(int(path[1:]) for _, _, path, _ in shop.asked) == list(range(len(shop.asked)))
    assert sum(it["planned"] for it in found.course["moments"]) == found.whole.planned
    assert found.busy_percent is not None
    assert found.busy_percent > 0


@pytest.mark.slow
def test_a_lost_worker_ends_the_load_and_proves_nothing(tmp_path: Path) -> None:
    with site(tmp_path) as shop:
        spec = shared(shop, 2, for_s=600)
        with working(spec, 2) as (one, other), offering(spec, tmp_path / "load") as load:
            one.kill()
            assert load._process.wait(60) != 0
            results = load.results()
            assert other.wait(60) == 0
    assert results is not None
    (trouble,) = load.troubles
    assert "ended early" in trouble
    assert "is lost" in trouble


_LOSES_ONE = """
import sys
from harness.load import distributed
from locust.runners import WorkerRunner

send, lost = WorkerRunner.send_message, []

def send_all_but_one(self, kind, *data, **more):
    if kind == "seconds" and not lost:
        lost.append(kind)
    else:
        send(self, kind, *data, **more)

WorkerRunner.send_message = send_all_but_one
distributed.follow(sys.argv[1], int(sys.argv[2]))
"""


@pytest.mark.slow
def test_a_workers_histogram_that_is_lost_is_missed(tmp_path: Path) -> None:
    """One second of a long load is too little to be missed among the requests."""
    with site(tmp_path) as shop:
        spec = shared(shop, 1)
        with working(spec, 1, ("-c", _LOSES_ONE)):
            found = offer(spec)
    (trouble,) = found.troubles
    assert "results of the worker" in trouble
    assert "are lost" in trouble


@pytest.mark.slow
def test_workers_end_when_their_master_is_killed(tmp_path: Path) -> None:
    with site(tmp_path) as shop:
        spec = shared(shop, 1, for_s=600)
        with working(spec, 1) as (worker,), offering(spec, tmp_path / "load") as load:
            load._process.kill()
            assert worker.wait(60) == 1
            assert worker.stderr is not None
            assert b"the master was silent" in worker.stderr.read()
            asked = len(shop.asked)
            load.results()
            assert len(shop.asked) == asked


@pytest.mark.slow
def test_workers_that_do_not_come_are_missed(tmp_path: Path) -> None:
    with site(tmp_path) as shop:
        spec = shared(shop, 2)
        with closing(Running(spec, tmp_path / "load")) as load:
            until(lambda: "workers" in load._stage(), within_s=60, what="the master")
            with pytest.raises(NotProven, match="last stage: 0 of 2 workers have come"):
                load.served(starts_within_s=0.5)
    assert shop.asked == []


_ENDS_BEFORE = """
import sys
from harness.load import distributed
distributed._MASTER_SILENT_S = -1.0
distributed.follow(sys.argv[1], int(sys.argv[2]))
"""


@pytest.mark.slow
def test_a_worker_whose_master_ends_without_a_load_for_it_comes_again(tmp_path: Path) -> None:
    """As one that is early for the next load does, which finds the master of the load before."""
    with site(tmp_path) as shop:
        spec = shared(shop, 2)
        with (
            working(spec, 1, ("-c", _ENDS_BEFORE)) as (worker,),
            closing(Running(spec, tmp_path / "load")),
        ):
            assert worker.wait(60) == DESERTED


@pytest.mark.slow
def test_the_command_works_for_one_load_after_the_other_until_ctrl_c(tmp_path: Path) -> None:
    with site(tmp_path) as shop:
        spec = shared(shop, 1, for_s=1)
        assert spec.workers is not None
        master = f"--master={HERE}:{spec.workers.port}"
        with subprocess.Popen(
            [*_BY_HAND, "-m", "harness", "load", master],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
        ) as command:
            assert command.stdout is not None
            for _ in range(2):
                assert offer(spec).troubles == ()
            said = [command.stdout.readline() for _ in range(5)]
            command.send_signal(signal.SIGINT)
            assert command.wait(60) != 0
    assert [it.split()[0] for it in said] == ["waiting", "a", "waiting", "a", "waiting"]


def test_a_load_that_is_too_much_for_its_workers_is_a_mistake() -> None:
    spec = staged_spec(find_load("busy-hour"), profile().offered_by(3, "10.0.0.9"))
    assert (spec.processes, spec.workers) == (3, Workers(3, "10.0.0.9", 5557))
    assert LoadSpec.from_line(spec.line()).workers == spec.workers
    busy = find_load("busy-hour").model_copy(update={"requests_per_s": 500.0})
    with pytest.raises(ConfigError, match="up to 500 requests a second, and 2 workers send 400"):
        staged_spec(busy, profile().offered_by(2, None))
    with pytest.raises(ConfigError, match="--workers 0"):
        profile().offered_by(0, None)


def test_an_option_replaces_only_what_it_gives_of_the_declared_workers() -> None:
    declared = LoadWorkers(count=4, listen=IPv4Address("10.0.0.9"), port=6000)
    usual = profile().model_copy(update={"load_workers": declared})
    more = declared.model_copy(update={"count": 6})
    assert usual.offered_by(6, None).load_workers == more
    there = more.model_copy(update={"listen": IPv4Address("10.0.0.8")})
    assert usual.offered_by(6, "10.0.0.8").load_workers == there
    assert usual.offered_by(None, "10.0.0.8").load_workers == there.model_copy(update={"count": 4})
    assert usual.offered_by(None, None) == usual


def test_an_address_for_no_workers_is_a_mistake() -> None:
    with pytest.raises(ConfigError, match=r"--listen 10\.0\.0\.9 without --workers"):
        profile().offered_by(None, "10.0.0.9")
    assert profile().offered_by(None, None) == profile()
