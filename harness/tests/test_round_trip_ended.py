"""Round trips that are refused, stopped, or short of room."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from harness.backup.restore import database, round_trip
from harness.backup.restore.round_trip import carry_out
from harness.core.errors import ConfigError, Refused, Unreachable
from harness.core.interrupts import BY_HAND
from harness.core.model import Outcome
from harness.tests.postgres_server import NEEDS_POSTGRES, psql
from harness.tests.round_trip_world import (
    DATABASE,
    FILES_EQUAL,
    LEFT,
    RESTORED,
    ROWS,
    SERVED,
    WHOLE,
    World,
    judged,
    red,
    servers,
    world,
)
from harness.transport import Completed

__all__ = ["servers", "world"]
pytestmark = NEEDS_POSTGRES


@pytest.fixture
def after(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Does something to the target as soon as it is restored."""

    def arrange(change: Callable[[], object]) -> None:
        whole = round_trip._Done.restore

        def restore(done: Any) -> None:
            whole(done)
            change()

        monkeypatch.setattr(round_trip._Done, "restore", restore)

    return arrange


def test_a_dirty_target_is_refused_and_stays_as_it_is(world: World) -> None:
    psql(world.new, "postgres", f"create database {RESTORED}")
    psql(world.new, RESTORED, "create table kept (id int)")
    with pytest.raises(Refused, match=f"has a database {RESTORED} already"):
        carry_out(world.trip())
    psql(world.new, RESTORED, "select from kept")
    psql(world.new, "postgres", f"drop database {RESTORED}")
    (world.folder / "restored" / RESTORED).mkdir()
    (world.folder / "restored" / RESTORED / "kept").touch()
    with pytest.raises(Refused, match=f"{RESTORED} already"):
        carry_out(world.trip())
    assert (world.folder / "restored" / RESTORED / "kept").exists()
    assert not list((world.folder / "backups").iterdir())


def test_a_restore_where_the_customer_lives_is_refused(world: World) -> None:
    trip = world.trip()
    here = replace(trip.target, server=world.old)
    with pytest.raises(Refused, match="would be restored where it lives"):
        carry_out(replace(trip, target=here))
    with pytest.raises(Refused, match="would be restored where it lives"):
        carry_out(replace(trip, target=replace(trip.target, place="old")))


def test_a_customer_without_a_database_is_a_mistake_of_the_profile(world: World) -> None:
    customers = {"demo": {"database": "odoo_gone", "folder": str(world.folder / "data")}}
    with pytest.raises(ConfigError, match="no database odoo_gone"):
        carry_out(world.trip(customers=customers))


def test_too_little_room_is_refused_before_anything_is_asked(world: World) -> None:
    free = shutil.disk_usage(world.folder).free
    room = free / database.size(world.old, DATABASE) * 2
    with pytest.raises(Refused, match="GB free at"):
        carry_out(world.trip(room=room))
    assert not list((world.folder / "backups").iterdir())


def test_a_disk_that_is_full_half_way_stops_the_restore(world: World) -> None:
    """A tmpfs for the restored files, which something else fills once the room was found."""
    disk = world.folder / "small"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "none", disk]).returncode != 0:
        pytest.skip("this test mounts a tmpfs: it needs root")
    fill = f"head -c 65M /dev/zero > {disk}/other || true"
    changes = {
        "target": {"folder": str(disk)},
        "backup": {"command": world.platform(then=fill)},
    }
    try:
        reasons = red(world, carry_out(world.trip(**changes)), **changes)
        assert set(reasons) == {SERVED}
        assert "No space left on device" in reasons[SERVED]
        assert [it.name for it in disk.iterdir()] == ["other"]
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_backup_that_cannot_be_written_fails(world: World) -> None:
    """The claim of the backups is mounted read-only."""
    if os.geteuid() != 0:
        pytest.skip("this test mounts a folder read-only: it needs root")
    backups = world.folder / "backups"
    subprocess.run(["mount", "-t", "tmpfs", "-o", "ro,size=1m", "none", backups], check=True)
    try:
        reasons = red(world, carry_out(world.trip()))
    finally:
        subprocess.run(["umount", backups], check=True)
    assert set(reasons) == {WHOLE}
    assert "Read-only file system" in reasons[WHOLE]


def test_ctrl_c_ends_with_what_is_known_and_removes_what_was_made(
    world: World, after: Callable[[Callable[[], object]], None]
) -> None:
    def press() -> None:
        raise KeyboardInterrupt

    after(press)
    trip = carry_out(world.trip())
    assert trip.stopped is not None
    assert (trip.stopped.says, trip.left) == (BY_HAND, ())
    found = judged(trip, world.declared())
    assert found[WHOLE][0] is Outcome.PASS
    assert {found[it][0] for it in (ROWS, FILES_EQUAL, SERVED)} == {Outcome.NOT_PROVEN}
    assert world.is_clean()


def test_what_cannot_be_removed_is_told(
    world: World, after: Callable[[Callable[[], object]], None]
) -> None:
    def cut_off() -> None:
        def gone(machine: str, _: Sequence[str]) -> Completed | None:
            if machine == "new":
                raise Unreachable("new: no route")
            return None

        world.shell.before = gone

    after(cut_off)
    trip = carry_out(world.trip(answer={"sql": "select 500", "says": "500"}))
    found: Mapping[str, tuple[Outcome, str]] = judged(trip, world.declared())
    assert found[LEFT][0] is Outcome.NOT_PROVEN
    assert f"{RESTORED}: new: no route" in found[LEFT][1]
