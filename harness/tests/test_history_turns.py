"""What a run's journal keeps for those who repeat it: its seed and its turns."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.commands.past_runs import sparkline
from harness.core.errors import ConfigError
from harness.drill.schedule import Turn
from harness.record.history import chosen_turns, recorded_seed, recorded_turns, run_folder
from harness.record.journal import Journal

TURN = Turn(number=1, pause_s=1, machine="one", fault="cut-off", hold_s=2, seed=3)


def test_the_turns_and_the_first_seed_come_back(tmp_path: Path) -> None:
    with Journal.create(tmp_path / "run", "r") as journal:
        journal.append("seed", "part 1", {"seed": 7})
        journal.append("turn", "turn 1", TURN.model_dump(mode="json"))
        journal.append("seed", "part 2", {"seed": 7})
    assert recorded_turns(tmp_path / "run") == (TURN,)
    assert recorded_seed(tmp_path / "run") == 7


def test_a_run_that_drew_nothing_has_neither(tmp_path: Path) -> None:
    with Journal.create(tmp_path / "run", "r") as journal:
        journal.append("session", "r", {})
    assert recorded_turns(tmp_path / "run") == ()
    assert recorded_seed(tmp_path / "run") is None


def _soaked(folder: Path) -> Path:
    with Journal.create(folder, "r") as journal:
        for number in (1, 2, 3):
            turn = TURN.model_copy(update={"number": number})
            journal.append("turn", f"turn {number}", turn.model_dump(mode="json"))
    return folder


def test_turns_are_chosen_by_number_and_keep_their_order(tmp_path: Path) -> None:
    folder = _soaked(tmp_path / "run")
    assert [turn.number for turn in chosen_turns(folder, "3,1")] == [1, 3]
    assert [turn.number for turn in chosen_turns(folder, None)] == [1, 2, 3]


@pytest.mark.parametrize(
    ("numbers", "says"),
    [("1,x", "no numbers"), ("1,", "no numbers"), ("1,4,9", "took no turn 4, 9")],
)
def test_turns_that_are_no_numbers_or_were_not_taken_are_wrong_usage(
    tmp_path: Path, numbers: str, says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        chosen_turns(_soaked(tmp_path / "run"), numbers)


def test_a_run_without_turns_has_none_to_choose_from(tmp_path: Path) -> None:
    with Journal.create(tmp_path / "run", "r") as journal:
        journal.append("session", "r", {})
    with pytest.raises(ConfigError, match="took no turns"):
        chosen_turns(tmp_path / "run", None)


def test_the_parts_of_a_path_are_not_needed_to_find_a_run(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/journal.jsonl").write_text("")
    assert run_folder(tmp_path, "run") == run_folder(Path("/nowhere"), str(tmp_path / "run"))


def test_a_sparkline_spans_from_the_least_to_the_greatest() -> None:
    assert sparkline([1, 1]) == "▁▁"
    assert sparkline([0, 3.5, 7]) == "▁▅█"
