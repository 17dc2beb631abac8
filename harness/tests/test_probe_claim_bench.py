"""A live OSD measured as its customers have it: by what is committed to a shared volume."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from harness.probes.claim_workload import Workload
from harness.probes.scripts import claim_script as script
from harness.probes.storage_bench import volume_commits
from harness.tests.probe_rig import MACHINES, reach

ONE, TWO, THREE = MACHINES


class Told(Workload):
    """Pods that commit as a table says, one number a run."""

    def __init__(self, **iops: Sequence[float]) -> None:
        super().__init__(reach(), "space", seed=7)
        self.iops = {machine: list(runs) for machine, runs in iops.items()}

    def _ask(
        self, machine: str, role: str, arguments: Sequence[Mapping[str, Any]], within_s: float
    ) -> list[Any]:
        assert (role, len(arguments)) == ("commits", 1)
        assert within_s > arguments[0]["for_s"]
        if machine not in self.iops:
            return [{"error": "it has no pod"}]
        iops = self.iops[machine].pop(0)
        return [{"value": {"iops": iops, "p99_ms": 1000 / iops if iops else 0.0, "writes": 1}}]


def test_the_median_of_three_runs_speaks_with_its_spread_and_the_worst_latency() -> None:
    work = Told(vmi2887101=[100, 200, 400], vmi2887102=[0, 1, 1])
    told = volume_commits(work, tell=lambda _: None)
    one = told[ONE]
    assert (one.iops, one.p99_ms, one.spread_percent) == (200, 10.0, 150)
    assert told[TWO].unproven == "nothing was committed"
    assert (told[THREE].iops, told[THREE].unproven) == (None, "it has no pod")


def test_each_write_is_stored_before_the_next_and_its_latency_is_that_of_storing_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored: list[int] = []
    written: list[int] = []
    put = script.put

    def putting(descriptor: int, data: bytes, offset: int) -> None:
        written.append(offset)
        put(descriptor, data, offset)

    monkeypatch.setattr(os, "fdatasync", lambda _: stored.append(len(written)))
    monkeypatch.setattr(script, "put", putting)
    found = script.commits(str(tmp_path / "bench"), 7, ONE, 0.05)
    assert found["writes"] > 0
    assert stored[-found["writes"] :] == list(
        range(len(written) - found["writes"] + 1, len(written) + 1)
    )
    assert found["iops"] == pytest.approx(found["writes"] / found["took_s"], rel=0.02)
    assert 0 < found["p50_ms"] <= found["p99_ms"] <= found["slowest_ms"]
    assert all(offset % 4096 == 0 for offset in written)
