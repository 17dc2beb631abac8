"""The daemon that keeps undo on this computer outlives its parent, and undoes once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.core.errors import Unhealed
from harness.core.waiting import until
from harness.faults import local_undo_daemon
from harness.faults.model import LOCAL, Undo
from harness.faults.undo_store import LocalUndoStore
from harness.settings import ROOT

pytestmark = pytest.mark.slow

ARM = """
import sys
from harness.faults import local_undo_daemon
from harness.faults.model import Undo
local_undo_daemon.arm(Undo.model_validate_json(sys.argv[1]))
"""


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Undo is kept in a folder of the test's own; what it left is undone."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    yield tmp_path / "state/cutover/faults"
    for name, undo in local_undo_daemon.armed().items():
        if undo is not None:
            local_undo_daemon.renew(undo.model_copy(update={"commands": (), "lease_s": 1}))
        local_undo_daemon.heal(name)


def undo(tmp_path: Path, lease_s: float, *more: tuple[str, ...], name: str = "f00d") -> Undo:
    """An undo that adds a line to a file each time it runs."""
    note = ("sh", "-c", 'echo undone >> "$1"', "note", str(tmp_path / "note"))
    return Undo(
        id=name,
        fault="no-op",
        target="nothing",
        place=LOCAL,
        commands=(note, *more),
        lease_s=lease_s,
    )


def times(tmp_path: Path) -> int:
    """How often the undo has run."""
    note = tmp_path / "note"
    return len(note.read_text().splitlines()) if note.exists() else 0


def until_undone(tmp_path: Path, within_s: float = 20) -> None:
    until(lambda: times(tmp_path), within_s=within_s, what="the undo has run", every_s=0.1)


def test_it_outlives_whoever_armed_it_and_undoes_when_the_lease_ends(
    tmp_path: Path, state: Path
) -> None:
    kept = undo(tmp_path, 4)
    command = [sys.executable, "-c", ARM, kept.model_dump_json()]
    armer = subprocess.Popen(command, cwd=ROOT, start_new_session=True)
    until(lambda: (state / "f00d/lease").exists(), within_s=20, what="it is armed", every_s=0.05)
    armer.wait(timeout=20)
    # What a terminal that is closed, or Ctrl-C, would end with it.
    with pytest.raises(ProcessLookupError):
        os.killpg(armer.pid, signal.SIGKILL)
    assert times(tmp_path) == 0
    until_undone(tmp_path)
    until(lambda: not (state / "f00d").exists(), within_s=30, what="nothing is kept", every_s=0.1)
    assert times(tmp_path) == 1


def test_it_does_not_undo_while_the_lease_is_renewed(tmp_path: Path) -> None:
    kept = undo(tmp_path, 4)
    local_undo_daemon.arm(kept)
    began = time.monotonic()

    def renewed_for_long() -> bool:
        assert local_undo_daemon.renew(kept)
        return time.monotonic() - began > 6

    until(renewed_for_long, within_s=30, what="renewals", every_s=0.3)
    assert times(tmp_path) == 0
    local_undo_daemon.heal(kept.id)


def test_what_was_undone_is_not_undone_again_when_the_lease_ends(
    tmp_path: Path, state: Path
) -> None:
    kept = undo(tmp_path, 1)
    local_undo_daemon.arm(kept)
    local_undo_daemon.heal(kept.id)
    local_undo_daemon.heal(kept.id)
    assert not local_undo_daemon.renew(kept)
    local_undo_daemon.watch(state / "f00d")  # what its process does: it finds nothing, and ends
    assert times(tmp_path) == 1


def test_two_who_undo_at_once_undo_once(tmp_path: Path) -> None:
    local_undo_daemon.arm(undo(tmp_path, 60, ("sh", "-c", "read -t 1 nothing || true")))
    heal = [
        sys.executable,
        "-c",
        "from harness.faults import local_undo_daemon as it; it.heal('f00d')",
    ]
    both = [subprocess.Popen(heal, cwd=ROOT) for _ in range(2)]
    assert [one.wait(timeout=30) for one in both] == [0, 0]
    assert times(tmp_path) == 1


def test_a_command_that_fails_keeps_none_from_running_and_the_undo_is_kept(
    tmp_path: Path,
) -> None:
    works = tmp_path / "works"
    late = ("test", "-e", str(works))
    local_undo_daemon.arm(undo(tmp_path, 60, late, ("touch", str(tmp_path / "last"))))
    with pytest.raises(Unhealed, match=r"`test -e .*` ended with 1"):
        local_undo_daemon.heal("f00d")
    assert (tmp_path / "last").exists()
    assert LocalUndoStore().left().armed == {"f00d": "no-op of nothing"}
    works.touch()
    local_undo_daemon.heal("f00d")
    assert LocalUndoStore().left().is_nothing


def test_its_process_tries_again_until_the_undo_works(tmp_path: Path, state: Path) -> None:
    works = tmp_path / "works"
    local_undo_daemon.arm(undo(tmp_path, 1, ("test", "-e", str(works))))
    until(lambda: times(tmp_path) >= 2, within_s=20, what="it tried again", every_s=0.1)
    assert (state / "f00d").exists()
    works.touch()
    until(lambda: not (state / "f00d").exists(), within_s=15, what="it worked", every_s=0.1)


def test_a_command_that_takes_longer_than_its_undo_says_is_given_up(tmp_path: Path) -> None:
    well = tmp_path / "well"
    command = ("sh", "-c", 'test -e "$1" || exec sleep 30', "wait", str(well))
    local_undo_daemon.arm(undo(tmp_path, 60, command).model_copy(update={"within_s": 0.2}))
    began = time.monotonic()
    with pytest.raises(Unhealed, match=r"timed out after 0\.2"):
        local_undo_daemon.heal("f00d")
    assert time.monotonic() - began < 25
    well.touch()


@pytest.mark.parametrize("torn", ["", "{", "[]", "null", '{"id": "f00d"}', "\x00" * 40])
def test_an_entry_that_a_crash_tore_is_named_and_keeps_no_other_from_being_undone(
    tmp_path: Path, state: Path, torn: str
) -> None:
    local_undo_daemon.arm(undo(tmp_path, 60, name="beef"))
    (state / "f00d").mkdir()
    (state / "f00d/entry.json").write_text(torn)
    (state / "dead").mkdir()  # a crash before anything was written
    assert LocalUndoStore().left().armed == {
        "beef": "no-op of nothing",
        "dead": "a fault of unknown",
        "f00d": "a fault of unknown",
    }
    for name in ("f00d", "dead", "beef"):
        LocalUndoStore().clear(name)
    assert times(tmp_path) == 1
    assert LocalUndoStore().left().is_nothing


def test_a_lease_that_cannot_be_read_has_ended(tmp_path: Path, state: Path) -> None:
    local_undo_daemon.arm(undo(tmp_path, 60))
    (state / "f00d/lease").write_text("")
    until(lambda: not (state / "f00d").exists(), within_s=15, what="undone", every_s=0.1)
    assert times(tmp_path) == 1
