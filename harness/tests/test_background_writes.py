"""Machines that write while something breaks: from before it until they are told to stop."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from harness.core.errors import NotProven
from harness.drill import context, service
from harness.drill.context import Options
from harness.drill.service import DrillService
from harness.drill.traffic import CLAIMS, BackgroundWrites
from harness.faults.disruption_lock import DisruptionLock
from harness.probes import claim_workload
from harness.probes.claim_workload import Workload
from harness.probes.scripts import claim_script as script
from harness.tests import clean_drills
from harness.tests.probe_rig import MACHINES, reach

ONE, TWO, THREE = MACHINES


class Here(Workload):
    """The pods' script runs here, in folders for claims; ``mute`` machines have no pod."""

    def __init__(self, root: Path, *mute: str) -> None:
        super().__init__(reach(), "space", seed=7)
        self.root, self.mute = root, mute
        (root / "shared").mkdir()

    def _ask(
        self, machine: str, role: str, arguments: Sequence[Mapping[str, Any]], within_s: float
    ) -> list[Any]:
        assert within_s > 0
        if machine in self.mute:
            return [{"error": "it has no pod"}] * len(arguments)
        told = json.loads(json.dumps(arguments))
        for argument in told:
            for key in argument.keys() & {"path", "until"}:
                argument[key] = f"{self.root}{argument[key]}"
        return [script.item(script.ROLES[role], argument) for argument in told]


@pytest.fixture(autouse=True)
def _few_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claim_workload, "BLOCKS", 2)


def test_who_is_told_to_stop_writing_stops_and_says_so(tmp_path: Path) -> None:
    path, flag = str(tmp_path / "data"), str(tmp_path / "stop")
    by_itself = script.churn(path, 7, ONE, 2, 0.2, per_s=20.0, until=flag)
    assert not by_itself["told"]
    assert 1 <= by_itself["writes"] <= 5
    script.stop(flag)
    told = script.churn(path, 7, ONE, 2, 60.0, until=flag)
    assert (told["told"], told["writes"]) == (True, 1)
    assert script.size(path) == {"bytes": min(by_itself["writes"], 2) * script.BLOCK}


def test_what_is_written_until_the_end_is_read_by_every_other_machine(tmp_path: Path) -> None:
    churn = BackgroundWrites(Here(tmp_path))
    churn.begin()
    told: Any = churn.tally()
    assert all(told["written"][machine]["value"]["told"] for machine in MACHINES)
    assert len(told["read"]) == 6
    assert all(it["value"]["right"] and not it["value"]["wrong"] for it in told["read"].values())


def test_an_acknowledged_block_that_is_lost_meanwhile_is_read_as_another(tmp_path: Path) -> None:
    class Losing(Here):
        def verify(self, generations: Mapping[str, Sequence[int]]) -> dict[str, Any]:
            script.write(f"{self.root}/shared/data-{ONE}", 7, ONE, {"0": 0})
            return super().verify(generations)

    churn = BackgroundWrites(Losing(tmp_path))
    churn.begin()
    told: Any = churn.tally()
    assert told["read"][f"{ONE} → {TWO}"]["value"]["wrong"] == 1
    assert told["read"][f"{TWO} → {ONE}"]["value"]["wrong"] == 0


def test_a_machine_that_does_not_write_leaves_nothing_to_survive(tmp_path: Path) -> None:
    churn = BackgroundWrites(Here(tmp_path, TWO))
    with pytest.raises(NotProven, match="not every machine writes to its claim: vmi2887102: it"):
        churn.begin(within_s=0.2)
    churn._work.stop_churning()


def test_writing_that_ended_before_anything_broke_is_said_at_once(tmp_path: Path) -> None:
    churn = BackgroundWrites(Here(tmp_path, *MACHINES))
    with pytest.raises(NotProven, match="it has no pod"):
        churn.begin()


class FakeBooks:
    folder = Path("nowhere")
    space = "ledger"

    def tally(self) -> Mapping[str, Any]:
        return {}


class FakeChurn:
    def tally(self) -> Any:
        return clean_drills.claims()


@pytest.mark.parametrize(("name", "written"), [("lose-osd", True), ("lose-monitor", False)])
def test_a_drill_that_says_so_keeps_what_came_of_claims_beside_its_ledger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, written: bool
) -> None:
    @contextmanager
    def giving(it: Any) -> Iterator[Any]:
        yield it

    def carried_out(drill: Any, stage: Any, _: Any) -> Any:
        with stage.ledger(drill.ledger, machine=ONE, writes_per_s=5.0) as books:
            return {"runs": [{**clean_drills.run(ONE), "ledger": dict(books.tally())}]}

    monkeypatch.setattr(service, "run_drill", carried_out)
    lock = DisruptionLock(reach().kube, "run")
    monkeypatch.setattr(service, "permitted", lambda *_, **__: giving(lock))
    keeping = "harness.drill.context.ledger_recorder.recording"
    monkeypatch.setattr(keeping, lambda *_, **__: giving(FakeBooks()))
    monkeypatch.setattr(context, "writing_in_background", lambda *_: giving(FakeChurn()))
    monkeypatch.setattr(context, "load_spec", lambda *_: None)

    class Recorder:
        name = "a run"

        def write(self, *_: Any) -> None:
            """Nobody reads it."""

    drilling = DrillService(
        reach=reach(),
        folder=tmp_path,
        options=Options(allowed=True, seed=1),
        progress=print,
        hide=len,
    )
    outcome = drilling.carry_out(name, Recorder())
    (run,) = cast("Mapping[str, Any]", outcome.value)["runs"]
    assert (CLAIMS in run) is written
    assert CLAIMS not in outcome.tallies


def test_what_is_sent_to_a_pod_is_whole_without_anything_of_ours(tmp_path: Path) -> None:
    """With ``-I -S`` and from an empty folder, nothing of this project can be imported."""
    arguments = [{"folder": str(tmp_path / "kinds"), "group": os.getgid()}]
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-", "adorn", "20", json.dumps(arguments)],
        input=claim_workload._SCRIPT.text,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=30,
    )
    (answer,) = json.loads(done.stdout)
    assert answer["value"]["wanted"]["mode"] == "0o4751", done.stderr
