"""``./cutover heal`` and new customers of killed runs: of journeys and of requests that write."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import pytest

from harness.drill import recovery
from harness.faults import disruption_lock
from harness.tests.test_heal_command import NOTHING, at_home, healed, run_that_made
from harness.transport import Reach

__all__ = ["at_home"]  # a fixture of each test here


def test_a_killed_journeys_customer_is_named_until_it_is_said_to_be_gone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    asked: list[object] = []

    def customer(_reach: Reach, *known: object) -> tuple[str, ...]:
        asked.append(known[:2])
        return ("DELETE http://api.example/account: expected status 200, seen 401",)

    monkeypatch.setattr(recovery, "remove_customer", customer)
    monkeypatch.setattr(disruption_lock, "held", lambda *_: nullcontext())
    names = {"customer": "cutover-1f2e3d4c", "person": "p1"}
    journey = {"event": "begun", "kind": "journey", "name": "cutover-1f2e3d4c", "names": names}
    run_that_made(tmp_path, journey | {"journey": "customer"})
    told = healed(monkeypatch, capsys, None, NOTHING)
    (it,) = told["mended"]
    assert (it["what"], it["place"]) == ("the journey of cutover-1f2e3d4c", "platform")
    assert it["trouble"].endswith("401; then: ./cutover heal --removed cutover-1f2e3d4c")
    assert (told["exit"], asked) == (5, [("customer", names)])
    told = healed(monkeypatch, capsys, None, NOTHING, ["cutover-1f2e3d4c"])
    assert ([it["trouble"] for it in told["mended"]], told["exit"]) == ([None], 0)
    told = healed(monkeypatch, capsys, None, NOTHING)
    assert (told["mended"], told["exit"], len(asked)) == ([], 0, 1)


@pytest.mark.parametrize("left", [(), ("DELETE /users/{user} on the new platform: status 409",)])
def test_what_killed_requests_that_write_made_is_removed_by_their_record(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    left: tuple[str, ...],
) -> None:
    sides = {
        "old": {"requests": ["a user"], "names": {"customer": "cutover-1f2e3d4c", "user": 7}},
        "new": {"requests": [], "names": {"customer": "cutover-1f2e3d4c"}},
    }
    asked: list[object] = []

    def written(_reach: Reach, recorded: object) -> tuple[str, ...]:
        asked.append(recorded)
        return left

    monkeypatch.setattr(recovery, "remove_written", written)
    monkeypatch.setattr(disruption_lock, "held", lambda *_: nullcontext())
    parity = {"event": "begun", "kind": "parity", "name": "cutover-1f2e3d4c", "sides": sides}
    run_that_made(tmp_path, parity)
    told = healed(monkeypatch, capsys, None, NOTHING)
    (it,) = told["mended"]
    then = "; then: ./cutover heal --removed cutover-1f2e3d4c"
    assert it["trouble"] == (left[0] + then if left else None)
    assert (told["exit"], asked) == (5 if left else 0, [sides])


def test_requests_that_write_of_an_older_journal_are_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(disruption_lock, "held", lambda *_: nullcontext())
    names = {"customer": "cutover-1f2e3d4c"}
    parity = {"event": "begun", "kind": "parity", "name": "cutover-1f2e3d4c", "names": names}
    run_that_made(tmp_path, parity)
    (it,) = healed(monkeypatch, capsys, None, NOTHING)["mended"]
    assert it["trouble"].startswith("its requests that write are in no record; then: ./cutover")


def test_the_writes_of_a_killed_shift_are_removed_by_the_begin_of_their_texts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    asked: list[str] = []

    def writes(_reach: Reach, begin: str) -> list[str]:
        asked.append(begin)
        return []

    monkeypatch.setattr(recovery, "remove_writes", writes)
    monkeypatch.setattr(disruption_lock, "held", lambda *_: nullcontext())
    run_that_made(tmp_path, {"event": "begun", "kind": "writes", "name": "cutover-1f2e3d4c"})
    told = healed(monkeypatch, capsys, None, NOTHING)
    (it,) = told["mended"]
    assert (it["what"], it["place"]) == ("the writes of cutover-1f2e3d4c", "platform")
    assert (it["trouble"], told["exit"], asked) == (None, 0, ["cutover-1f2e3d4c"])
    told = healed(monkeypatch, capsys, None, NOTHING)
    assert (told["mended"], told["exit"], len(asked)) == ([], 0, 1)
