"""The bench command: who may write, what is too slow, and what an interrupted one leaves."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer

from harness.bench import baseline
from harness.bench.bench import Committed, Result, measure, record_for_guard
from harness.bench.ceph import devices_on
from harness.commands.bench import _finish, exit_of, through_ceph, too_slow
from harness.core.errors import LabError, Refused, TimedOut, Unreachable
from harness.core.model import Exit
from harness.facts.disks import Osd, Osds
from harness.lab import records
from harness.settings import Target
from harness.settings.bench import load_jobs
from harness.tests.clean_cluster import OSD_DISKS
from harness.tests.fake_transport import FakeKube, FakeShell
from harness.tests.probe_rig import MACHINES, PROFILE, reach
from harness.transport import Completed

ONE, TWO, THREE = MACHINES
QUICK = load_jobs("quick")
FIO = (Path(__file__).parent / "recorded/fio_quick.json").read_text()
TARGETS = {
    "sync_write_iops": Target(words="writes", at_least=500),
    "sync_p99_ms": Target(words="p99", at_most=10),
    "osd_bench_deviation_percent": Target(words="below its baseline", at_most=20),
}
DUMP = {"fsid": "f-1", "osds": [{"osd": n, "uuid": f"u{n}"} for n in range(3)]}
METADATA = [
    {"id": n, "hostname": name, "bluestore_bdev_partition_path": "/dev/sda2"}
    for n, name in enumerate(MACHINES)
]


def said(document: Any) -> Completed:
    return Completed(status=0, stdout=json.dumps(document), stderr="")


def ceph(argv: Sequence[str], _: str) -> Completed:
    if "bench" in argv:
        ran = {"bytes_written": 12288000, "elapsed_sec": 1.0, "iops": 3000.0 + len(argv)}
        return said(ran)
    if "drop" in argv:
        return Completed(status=0, stdout="", stderr="")
    return said(DUMP if "dump" in argv else METADATA)


def bench(raw: bool, guard: Any = None, ceph: Any = ceph) -> dict[str, Result]:
    disks = {
        name: disk.__class__(**{it: getattr(disk, it) for it in disk.__slots__} | {"raw": raw})
        for name, disk in OSD_DISKS.items()
    }
    shell = FakeShell({("*", "ceph"): ceph, ("*", "python3"): guard or Unreachable("lost")})
    found = measure(reach(shell, FakeKube()), disks, QUICK, least_bytes=1, tell=lambda *_: None)
    return {it.machine: it for it in found}


def test_a_live_osd_is_measured_through_ceph_and_never_raw() -> None:
    found = bench(raw=False)
    assert {it.iops for it in found.values()} == {found[ONE].iops}
    runs = found[ONE].evidence["runs"]
    assert isinstance(runs, list)
    assert len(runs) == 3


def test_an_osd_whose_bench_does_not_end_is_slower_than_what_that_takes() -> None:
    def slow(argv: Sequence[str], stdin: str) -> Completed:
        if "bench" in argv:
            raise TimedOut("no answer within 150 s")
        return ceph(argv, stdin)

    found = bench(raw=False, ceph=slow)[ONE]
    assert found.iops == pytest.approx(19.99, abs=0.01)
    assert not found.unproven


def test_what_fio_measured_behind_the_guard_is_the_result_with_its_evidence() -> None:
    answer = {"status": 0, "output": FIO, "errors": "", "version": "fio-3.33", "seen": {}}
    one = bench(raw=True, guard=said(answer))[ONE]
    assert (one.unproven, one.refused) == ("", ())
    assert one.p99_ms == pytest.approx(1300.2, abs=0.1)
    assert one.evidence["version"] == "fio-3.33"
    assert "[commit]" in str(one.evidence["job"])


ANSWERS: list[tuple[Any, str]] = [
    ({"stopped": "the connection to the harness was lost", "seen": {}}, "was lost"),
    ({"status": 1, "output": "", "errors": "no libaio", "version": "", "seen": {}}, "no libaio"),
    ({"status": 0, "output": "", "errors": "", "version": "", "seen": {}}, "not understood"),
    ({"error": "KeyError: x"}, "the guard broke"),
]


@pytest.mark.parametrize(("answer", "words"), ANSWERS)
def test_a_measurement_that_did_not_come_to_its_end_proves_nothing(answer: Any, words: str) -> None:
    one = bench(raw=True, guard=said(answer))[ONE]
    assert one.iops is None
    assert words in one.unproven


def test_a_refusal_of_the_guard_is_a_refusal() -> None:
    found = bench(raw=True, guard=said({"refused": ["it is mounted at /"], "seen": {}}))
    assert found[TWO].refused == ("it is mounted at /",)
    assert exit_of(list(found.values()), {}) is Exit.REFUSED


def test_a_machine_that_is_lost_is_not_measured() -> None:
    assert "lost" in bench(raw=True)[THREE].unproven


def test_a_partition_that_nobody_recorded_is_refused() -> None:
    disk = OSD_DISKS[ONE]
    bare = disk.__class__(path=disk.path, number=2, osd=0, raw=True)
    with pytest.raises(Refused, match="is not recorded"):
        record_for_guard(ONE, bare, 1, [])


def test_an_osd_that_does_not_say_what_it_lies_on_leaves_it_open() -> None:
    here = Osd(uuid="u", machine=ONE, device="/dev/sda2", bytes=1)
    assert devices_on(Osds("f", {0: here}), ONE) == ["/dev/sda2"]
    assert devices_on(Osds("f", {0: here}), TWO) == []
    assert devices_on(Osds("f", {0: replace(here, device=None)}), ONE) is None
    assert devices_on(Osds("f", {0: replace(here, machine=None)}), ONE) is None


def result(iops: float | None, p99_ms: float | None = None, **more: Any) -> Result:
    return Result(machine=ONE, iops=iops, p99_ms=p99_ms, **more)


def known(iops: float, spread_percent: float = 1) -> baseline.Baseline:
    machines = {ONE: {"iops": iops, "spread_percent": spread_percent}}
    return baseline.Baseline.model_validate({"measured": "osd", "machines": machines})


MISSED: list[tuple[Result, float, str]] = [
    (result(499), 499, "writes: 499.0, expected ≥ 500"),
    (result(600, 11), 600, "p99: 11.0, expected ≤ 10"),
    (result(700), 1000, "below its baseline: 30.0, expected ≤ 20"),
]


@pytest.mark.parametrize(("it", "before", "words"), MISSED)
def test_each_target_that_is_missed_is_said(it: Result, before: float, words: str) -> None:
    assert too_slow(it, TARGETS, known(before)) == [words]


def test_a_disk_within_the_noise_of_its_runs_misses_nothing() -> None:
    assert too_slow(result(700, spread_percent=62), TARGETS, known(1000)) == []
    assert too_slow(result(700), TARGETS, known(1000, spread_percent=62)) == []
    assert len(too_slow(result(680, spread_percent=62), TARGETS, known(1000))) == 1
    assert len(too_slow(result(680, spread_percent=240), TARGETS, known(1000))) == 1


def test_a_disk_that_is_fast_enough_misses_nothing() -> None:
    assert too_slow(result(900, 2), TARGETS, known(1000)) == []
    assert too_slow(result(9000, 2), TARGETS, None) == []


def committed(iops: float | None, spread_percent: float = 0, unproven: str = "") -> Committed:
    return Committed(iops=iops, spread_percent=spread_percent, unproven=unproven)


def test_a_shared_volume_that_became_slow_is_said_beside_a_disk_that_did_not() -> None:
    through = {"volume": {"iops": 100}, "image": {"iops": 400}}
    machines = {ONE: {"iops": 900, "spread_percent": 1, "through": through}}
    before = baseline.Baseline.model_validate({"measured": "osd", "machines": machines})
    slow = result(900, through={"volume": committed(70), "image": committed(390)})
    assert too_slow(slow, TARGETS, before) == [
        "committed writes/s on a shared volume: 30.0 % below its baseline of 100, expected ≤ 20 %"
    ]
    assert too_slow(result(900, through={"volume": committed(85)}), TARGETS, before) == []
    (said,) = too_slow(result(900, through={"image": committed(300)}), TARGETS, before)
    assert "on a block image: 25.0 % below its baseline of 400" in said
    assert too_slow(result(900, through={"volume": committed(70, 80)}), TARGETS, before) == []
    assert too_slow(slow, TARGETS, known(900)) == []


OSDS = PROFILE.model_copy(
    update={"disks": PROFILE.disks.model_copy(update={"state": "osd"}) if PROFILE.disks else None}
)


def test_only_disks_that_ceph_has_are_measured_through_a_shared_volume(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told = {machine: committed(100) for machine in MACHINES}
    monkeypatch.setattr("harness.commands.bench.storage_bench.measure_volume", lambda *_: told)
    (it,) = through_ceph(reach(like=OSDS), [result(900)])
    assert it.through == {"volume": committed(100)}
    assert through_ceph(reach(), [result(900)]) == [result(900)]


def test_a_volume_that_cannot_be_had_leaves_the_bench_unproven() -> None:
    nothing = FakeKube({"/api/v1/namespaces": Unreachable("the API was silent")})
    (it,) = through_ceph(reach(kube=nothing, like=OSDS), [result(900)])
    assert it.through["volume"].unproven
    assert exit_of([it], {}) is Exit.NOT_PROVEN


STATUSES: list[tuple[list[Result], dict[str, list[str]], Exit]] = [
    ([result(900)], {}, Exit.GO),
    ([result(900)], {ONE: ["slow"]}, Exit.NO_GO),
    ([result(None, unproven="interrupted")], {}, Exit.NOT_PROVEN),
    ([result(900), result(None)], {}, Exit.NOT_PROVEN),
    ([result(None, refused=("no",)), result(900)], {ONE: ["slow"]}, Exit.REFUSED),
    ([], {}, Exit.NOT_PROVEN),
]


@pytest.mark.parametrize(("results", "slow", "status"), STATUSES)
def test_the_exit_status_is_the_contract_s(
    results: list[Result], slow: dict[str, list[str]], status: Exit
) -> None:
    assert exit_of(results, slow) is status


def test_a_baseline_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "lab.baseline.yaml"
    assert baseline.read(path) is None
    baseline.write(path, [result(900, spread_percent=3)], "osd")
    found = baseline.read(path)
    assert found is not None
    assert (found.measured, found.machines[ONE].iops) == ("osd", 900)
    assert found.machines[ONE].through == {}
    baseline.write(
        path,
        [result(900, through={"volume": committed(120.5, 8), "image": committed(None)})],
        "osd",
    )
    again = baseline.read(path)
    assert again is not None
    assert again.machines[ONE].through == {"volume": baseline.Rate(iops=120.5, spread_percent=8)}


def test_runs_that_lie_too_far_apart_are_no_baseline() -> None:
    noisy = result(900, spread_percent=214)
    useless = baseline.useless([result(900, spread_percent=199), noisy])
    assert useless == [f"{ONE}: its runs lay 107 % to either side"]
    assert exit_of([noisy], {}, useless) is Exit.NOT_PROVEN
    assert exit_of([noisy], {ONE: ["too slow"]}, useless) is Exit.NO_GO


def test_a_baseline_stays_as_it_was_when_the_runs_of_a_new_one_do_not_agree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert PROFILE.disks is not None
    disks = PROFILE.disks.model_copy(update={"baseline": tmp_path / "baseline.yaml"})

    def finished(spread_percent: float) -> int:
        results = [result(900, 1, spread_percent=spread_percent)]
        with pytest.raises(typer.Exit) as ended:
            _finish(PROFILE, disks, "quick", results, write_baseline=True, as_json=True)
        return int(ended.value.exit_code)

    assert finished(4) == Exit.GO
    before = disks.baseline.read_bytes()
    assert finished(214) == Exit.NOT_PROVEN
    assert disks.baseline.read_bytes() == before
    assert "107 % to either side" in capsys.readouterr().out


def test_the_lab_measures_again_while_something_else_is_busy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert PROFILE.disks is not None
    disks = PROFILE.disks.model_copy(update={"baseline": tmp_path / "baseline.yaml"})
    ways = reach(like=PROFILE.model_copy(update={"disks": disks}))
    told = iter([result(900, spread_percent=300), result(800, spread_percent=20)])
    monkeypatch.setattr(records, "measure", lambda *_, **__: [next(told)])
    records.record_speeds(ways)
    found = baseline.read(disks.baseline)
    assert found is not None
    assert found.machines[ONE].iops == 800
    disks.baseline.unlink()
    monkeypatch.setattr(records, "measure", lambda *_, **__: [result(900, spread_percent=300)])
    with pytest.raises(LabError, match="no usable disk measurement in 3 tries"):
        records.record_speeds(ways)
    assert not disks.baseline.exists()
