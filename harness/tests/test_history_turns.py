"""What a run's journal keeps for those who repeat it: its seed and its turns."""

from __future__ import annotations

from pathlib import Path

from harness.drill.schedule import Turn
from harness.history import recorded, recorded_seed
from harness.journal import Journal

TURN = Turn(number=1, pause_s=1, machine="one", fault="cut-off", hold_s=2, seed=3)


def test_the_turns_and_the_first_seed_come_back(tmp_path: Path) -> None:
    with Journal.create(tmp_path / "run", "r") as journal:
        journal.append("seed", "part 1", {"seed": 7})
        journal.append("turn", "turn 1", TURN.model_dump(mode="json"))
        journal.append("seed", "part 2", {"seed": 7})
    assert recorded(tmp_path / "run") == (TURN,)
    assert recorded_seed(tmp_path / "run") == 7


def test_a_run_that_drew_nothing_has_neither(tmp_path: Path) -> None:
    with Journal.create(tmp_path / "run", "r") as journal:
        journal.append("session", "r", {})
    assert recorded(tmp_path / "run") == ()
    assert recorded_seed(tmp_path / "run") is None
