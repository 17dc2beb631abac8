"""A step of a switch believes only a freeze's own words, and waits for no silent server."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import psycopg
import pytest

from harness.backup.equality.session import Server
from harness.core.errors import Unreachable
from harness.move.direction import Direction, Limits
from harness.move.rehearsal import DATABASE, make, removed
from harness.move.side import ADMIN, Address, NotMet, Side, Thaw
from harness.move.stream import Stream
from harness.tests.postgres_server import NEEDS_POSTGRES, psql, silent_after_log_in
from harness.tests.switch_world import World, two_servers

pytestmark = NEEDS_POSTGRES
IMPATIENT = Limits(step_s=0.5, copy_s=30, freeze_s=20, transaction_s=0.5)
FAILS = """
create function fails() returns trigger language plpgsql as 'begin {} end';
create trigger fails before insert on cutover.heartbeat execute function fails();
"""
DISK_FULL = "raise exception using errcode = ''53100'', message = ''No space left on device'';"
ENDED = "perform pg_terminate_backend(pg_backend_pid()); return null;"


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[Server, Server]]:
    with two_servers() as both:
        yield both


@pytest.fixture
def sides(servers: tuple[Server, Server], tmp_path: Path) -> Iterator[tuple[Side, Side]]:
    """Both sides of a rehearsal that has only made its databases."""
    world = World(*servers, tmp_path)
    with closing(world.side("source")) as origin, closing(world.side("target")) as goal:
        for side in (origin, goal):
            make(side)
        yield origin, goal
        assert list(removed((origin, goal))) == []
    assert world.remains() == []


def direction(origin: Side, goal: Side) -> Direction:
    return Direction(
        origin=origin,
        goal=goal,
        streams=(Stream(name="there", database=DATABASE, origin=origin, goal=goal),),
        back=(),
        limits=IMPATIENT,
        turn_writers=lambda _: None,
        wrote=lambda: True,
        on_freeze=lambda: None,
    )


@pytest.mark.parametrize(
    ("cause", "says"),
    [
        ("drop table cutover.heartbeat", 'relation "cutover.heartbeat" does not exist'),
        (FAILS.format(DISK_FULL), "No space left on device"),
        (FAILS.format(ENDED), "terminating connection|server closed the connection"),
    ],
    ids=["missing table", "full disk", "lost connection"],
)
def test_a_write_that_fails_for_another_reason_proves_no_freeze(
    sides: tuple[Side, Side], cause: str, says: str
) -> None:
    origin, _ = sides
    psql(origin.server, DATABASE, cause)
    with pytest.raises(NotMet, match=f"(?s)expected a write to be refused.*seen: .*({says})"):
        origin.refusal(DATABASE)


def test_a_server_without_a_free_connection_proves_no_freeze(sides: tuple[Side, Side]) -> None:
    origin, _ = sides
    origin.databases()
    with ExitStack() as held:
        with suppress(psycopg.OperationalError):
            while True:
                at = origin.conninfo(ADMIN, origin.address)
                held.enter_context(closing(psycopg.connect(at)))
        with pytest.raises(NotMet, match=r"seen: .*too many clients already"):
            origin.refusal(DATABASE)


def test_a_frozen_database_and_one_that_is_read_only_prove_the_freeze(
    sides: tuple[Side, Side],
) -> None:
    origin, _ = sides
    assert origin.refusal(DATABASE) is None
    origin.shut(DATABASE)
    assert "is not currently accepting connections" in (origin.refusal(DATABASE) or "")
    origin.open_for_reading(DATABASE)
    assert "in a read-only transaction" in (origin.refusal(DATABASE) or "")


@pytest.mark.parametrize("silent", [0, 1], ids=["source", "target"])
def test_a_server_that_falls_silent_holds_the_sequences_no_longer_than_their_deadline(
    sides: tuple[Side, Side], silent: int
) -> None:
    hung = sides[silent].session(DATABASE).info.backend_pid
    os.kill(hung, signal.SIGSTOP)
    try:
        says = rf"{sides[silent].name}, {DATABASE}: no answer within 0\.5 s"
        with pytest.raises(Unreachable, match=says):
            direction(*sides).carry_sequences()
    finally:
        os.kill(hung, signal.SIGCONT)


def test_a_sequence_that_the_target_lacks_is_told(sides: tuple[Side, Side]) -> None:
    origin, _ = sides
    psql(origin.server, DATABASE, "create sequence orders")
    with pytest.raises(NotMet, match=r"expected every sequence of source, seen no public\.orders"):
        direction(*sides).carry_sequences()


def test_a_server_that_falls_silent_after_the_log_in_holds_up_neither_look_nor_freeze(
    sides: tuple[Side, Side], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.move.side._ANSWERS_WITHIN_S", 0.5)
    origin, goal = sides
    with silent_after_log_in(origin.server) as server:
        at = Address(server.host, server.port)
        with closing(Side("source", server, at)) as silent:
            says = r"source, postgres: no answer within 0\.5 s"
            with pytest.raises(Unreachable, match=says):
                silent.is_same_server(goal)
            with pytest.raises(Unreachable, match=says):
                Thaw(silent, [DATABASE], 20.0)
