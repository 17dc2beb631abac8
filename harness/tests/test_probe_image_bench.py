"""A block image is measured from every machine, and goes again whatever becomes of it."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path

import pytest

from harness.probes import storage_bench
from harness.settings.storage import Ceph
from harness.tests.fake_transport import FakeKube, FakeShell
from harness.tests.local_shell import really
from harness.tests.probe_rig import MACHINES, PROFILE, reach
from harness.transport import Completed

ONE, TWO, THREE = MACHINES
# As Ceph 16 says it.
RAN = """bench  type write io_size 4096 io_threads 1 bytes 4096000 pattern random
  SEC       OPS   OPS/SEC   BYTES/SEC
    1       160   162.298   649 KiB/s
elapsed: 6   ops: 1000   ops/sec: {rate}   bytes/sec: 672 KiB/s
"""
# Keeps images as files of a folder; its bench says what it is told to, or fails.
RBD = """#!/bin/sh
images={images}
for last; do :; done
image=$images/$(basename "$last")
case "$*" in
info*) [ -e "$image" ] ;;
create*) [ ! -e "$image" ] && touch "$image" ;;
rm*) rm "$image" ;;
*bench*) [ -e "$image" ] || exit 2; {bench} ;;
esac
"""


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the images are of an ``rbd`` that is the first in PATH."""
    (tmp_path / "images").mkdir()
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    return tmp_path / "images"


def rbd(images: Path, bench: str) -> None:
    program = images.parent / "bin/rbd"
    program.write_text(RBD.format(images=images, bench=bench))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)


def quiet(_: str) -> None:
    """Nobody watches."""


def test_each_machine_has_the_median_of_three_runs_on_an_image_of_its_own(images: Path) -> None:
    said = RAN.format(rate="1$(wc -c < $image).5")
    rbd(images, f"printf x >> $image; cat <<EOF\n{said}EOF\n")
    ways = reach(FakeShell({("*", "sh"): really}))
    told = storage_bench.measure_images(ways, "rbd", quiet)
    assert set(told) == set(MACHINES)
    for it in told.values():
        assert [run["iops"] for run in it.runs] == [11.5, 12.5, 13.5]
        assert (it.iops, it.p99_ms, it.unproven) == (12.5, None, "")
        assert it.spread_percent == pytest.approx(16.0)
    assert list(images.iterdir()) == []


def test_a_run_that_fails_proves_nothing_and_its_image_goes_too(images: Path) -> None:
    rbd(images, "echo 'rbd: cannot write' >&2; exit 3")
    told = storage_bench.measure_images(reach(FakeShell({("*", "sh"): really})), "rbd", quiet)[TWO]
    assert told.iops is None
    assert "0 of 3 runs ended, with 3: rbd: cannot write" in told.unproven
    assert list(images.iterdir()) == []


def test_what_a_bench_left_that_was_cut_off_is_removed_first(images: Path) -> None:
    rbd(images, f"[ -s $image ] && exit 4; cat <<EOF\n{RAN.format(rate='50')}EOF\n")
    (images / f"cutover-bench-{TWO}").write_text("of a machine that lost its power")
    told = storage_bench.measure_images(reach(FakeShell({("*", "sh"): really})), "rbd", quiet)
    assert {it.iops for it in told.values()} == {50.0}
    assert list(images.iterdir()) == []


def test_rooks_images_are_measured_from_its_toolbox() -> None:
    def in_toolbox(argv: Sequence[str], _: str) -> Completed:
        assert argv[4].startswith("replicapool/cutover-bench-")
        return Completed(status=0, stdout=RAN.format(rate="900") * 3, stderr="")

    ready = {"podIP": "10.42.0.9", "conditions": [{"type": "Ready", "status": "True"}]}
    pod = {"metadata": {"name": "tools-1"}, "status": ready}
    path = "/api/v1/namespaces/rook-ceph/pods?labelSelector=app%3Drook-ceph-tools"
    kube = FakeKube({path: {"items": [pod]}}, in_pods={("tools-1", "sh"): in_toolbox})
    rook = PROFILE.model_copy(update={"ceph": Ceph(through="toolbox")})
    told = storage_bench.measure_images(reach(FakeShell({}), kube, like=rook), "replicapool", quiet)
    assert {machine: it.iops for machine, it in told.items()} == dict.fromkeys(MACHINES, 900.0)
