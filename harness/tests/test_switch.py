"""Switches between two real PostgreSQL: there and back, taken back at each step, and killed."""

from __future__ import annotations

import os
import signal
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from harness.backup.equality.session import Server
from harness.core.errors import Refused, Unreachable
from harness.core.interrupts import BY_HAND
from harness.core.parallel import hang_up
from harness.core.waiting import until
from harness.facts.switch import BACK, THERE, Leg, Step
from harness.ledger.result import LedgerResult
from harness.ledger.writers.postgres import Bank
from harness.move import direction
from harness.move.direction import Direction
from harness.move.rehearsal import DATABASE, make, must_be_possible, remains, removed
from harness.move.side import ADMIN, Address, Side, Thaw
from harness.tests.postgres_server import NEEDS_POSTGRES, postgres, psql
from harness.tests.switch_world import LIMITS, World, two_servers

pytestmark = NEEDS_POSTGRES
# The method of each step, and whether the writers have moved when it fails.
METHODS = {
    Step.STREAMS: "start_streams",
    Step.LAG: "catch_up",
    Step.LONG: "no_long_transaction",
    Step.BACK: "beat_back",
    Step.FREEZE: "freeze",
    Step.SEQUENCES: "carry_sequences",
    Step.TURN: "turn_streams",
    Step.SWITCH: "switch",
    Step.FIRST_WRITE: "first_write",
}


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[Server, Server]]:
    with two_servers() as both:
        yield both


@pytest.fixture
def world(servers: tuple[Server, Server], tmp_path: Path) -> Iterator[World]:
    world = World(*servers, tmp_path / "ledger")
    yield world
    assert world.remains() == []


def nothing_lost(result: LedgerResult) -> None:
    assert (result.lost, result.duplicated, result.unexpected, result.stale) == (0, 0, 0, 0), result
    assert result.ok
    assert result.found >= result.ok
    assert (result.unread, result.wrong_totals, result.troubles) == ("", 0, ())


def rehearsed(world: World, **changes: Any) -> tuple[dict[str, Leg], dict[str, LedgerResult]]:
    """A rehearsal that leaves nothing behind."""
    rehearsal = world.rehearsal(**changes)
    with closing(rehearsal.source), closing(rehearsal.target):
        switched, results = rehearsal.carry_out()
    assert switched.left == ()
    return dict(switched.legs), dict(results)


def test_writers_follow_a_database_there_and_back_and_lose_nothing(world: World) -> None:
    legs, results = rehearsed(world)
    assert list(legs) == [THERE, BACK]
    for name, leg in legs.items():
        assert leg.stopped is None
        assert leg.frozen_s is not None
        assert 0 < leg.frozen_s < LIMITS.freeze_s
        says = {it.step: it.says for it in leg.steps}
        assert "not currently accepting connections" in says[Step.FREEZE]
        assert "read-only transaction" in says[Step.FIRST_WRITE]
        nothing_lost(results[name])
        assert results[name].since_fault[0].ok


@pytest.mark.parametrize(
    ("step", "half_done"), [*((it, True) for it in METHODS), (Step.SWITCH, False)]
)
def test_a_switch_that_fails_at_a_step_is_taken_back_and_loses_nothing(
    world: World, step: Step, half_done: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    real: Callable[..., str] = getattr(Direction, METHODS[step])

    def fail(self: Direction, *words: Any) -> str:
        if half_done:
            real(self, *words)
        raise KeyboardInterrupt

    monkeypatch.setattr(Direction, METHODS[step], fail)
    legs, results = rehearsed(world)
    ended = legs[THERE].stopped
    assert ended is not None
    assert (ended.step, ended.says, ended.stuck) == (step, BY_HAND, ())
    nothing_lost(results[THERE])


def test_a_superusers_open_session_and_own_setting_cannot_write_after_the_freeze(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = "-c default_transaction_read_only=off"
    before, after = Direction.no_long_transaction, Direction.carry_sequences
    sessions: list[psycopg.Connection[Any]] = []
    refused: list[str] = []

    def connect(self: Direction) -> psycopg.Connection[Any]:
        at = self.origin.conninfo(DATABASE, self.origin.address)
        return psycopg.connect(at, autocommit=True, options=own)

    def open_session(self: Direction) -> str:
        sessions.append(connect(self))
        return before(self)

    def try_to_write(self: Direction) -> str:
        with pytest.raises(psycopg.OperationalError) as no:
            connect(self)
        refused.append(str(no.value))
        with pytest.raises(psycopg.OperationalError) as ended:
            sessions[-1].execute("insert into writes values ('a stranger', 1, '')")
        refused.append(str(ended.value))
        return after(self)

    monkeypatch.setattr(Direction, "no_long_transaction", open_session)
    monkeypatch.setattr(Direction, "carry_sequences", try_to_write)
    legs, results = rehearsed(world)
    for it in sessions:
        it.close()
    assert legs[THERE].stopped is legs[BACK].stopped is None
    assert sum("not currently accepting connections" in it for it in refused) == 2
    assert sum("terminating connection" in it for it in refused) == 2
    nothing_lost(results[THERE])


def test_a_write_that_the_target_misses_is_counted_as_lost(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: what is removed at the target before the writers are read back is missed."""
    real = Direction.first_write

    def lose(self: Direction) -> str:
        self.goal.ask(
            DATABASE, "delete from writes where ctid in (select ctid from writes limit 2)"
        )
        return real(self)

    monkeypatch.setattr(Direction, "first_write", lose)
    _, results = rehearsed(world)
    assert results[THERE].lost == 2


def test_a_switch_without_the_last_changes_is_caught(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: a switch that does not wait for the last write before the freeze loses some."""
    real = Direction.freeze

    def freeze(self: Direction) -> str:
        for it in self.streams:
            it.stop()
        until(lambda: True, within_s=1, what="the stream stands")
        return real(self)

    monkeypatch.setattr(Direction, "freeze", freeze)
    limits = direction.Limits(step_s=2, copy_s=30, freeze_s=20, transaction_s=0.5)
    legs, results = rehearsed(world, limits=limits)
    ended = legs[THERE].stopped
    assert ended is not None
    assert (ended.step, ended.at_fault) == (Step.CAUGHT_UP, True)
    nothing_lost(results[THERE])


def test_a_freeze_that_stops_no_writer_ends_the_switch_where_it_began(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: databases that are never shut take the write that must be refused."""
    monkeypatch.setattr(Side, "shut", lambda *_: None)
    monkeypatch.setattr(Side, "end_clients", lambda *_: True)
    legs, results = rehearsed(world)
    ended = legs[THERE].stopped
    assert ended is not None
    assert (ended.step, ended.at_fault) == (Step.FREEZE, True)
    assert "has accepted a write to cutover_rehearsal after the freeze" in ended.says
    nothing_lost(results[THERE])


def test_a_switch_without_a_freeze_loses_writes_and_the_ledger_counts_them(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: writers go on at the source after its stream has stopped."""
    real = Direction.turn_streams

    def turn(self: Direction) -> str:
        says = real(self)
        count = "select count(*) from writes"
        (before,) = self.origin.ask(DATABASE, count)
        until(lambda: self.origin.ask(DATABASE, count) > [before], within_s=10, what="a write")
        return says

    monkeypatch.setattr(Direction, "freeze", lambda self: self.on_freeze() or "left out")
    monkeypatch.setattr(Direction, "_refused", lambda _: "left out")
    monkeypatch.setattr(Direction, "turn_streams", turn)
    legs, results = rehearsed(world)
    assert legs[THERE].stopped is None
    assert results[THERE].lost > 0


def test_a_long_transaction_stops_the_switch_before_the_freeze(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Direction.start_streams
    held: list[psycopg.Connection[Any]] = []

    def begin(self: Direction) -> str:
        held.append(psycopg.connect(self.origin.conninfo(DATABASE, self.origin.address)))
        held[0].execute("select 1")
        return real(self)

    monkeypatch.setattr(Direction, "start_streams", begin)
    limits = direction.Limits(step_s=2, copy_s=30, freeze_s=20, transaction_s=0.01)
    legs, results = rehearsed(world, limits=limits)
    held[0].close()
    ended = legs[THERE].stopped
    assert ended is not None
    assert (ended.step, ended.at_fault) == (Step.LONG, True)
    assert "expected no transaction over 0.01 s" in ended.says
    nothing_lost(results[THERE])


def test_the_server_thaws_by_itself_when_the_harness_and_its_connections_are_gone(
    world: World,
) -> None:
    side, target = world.side("source"), world.side("target")
    with closing(target):
        make(side)
        thaw = Thaw(side, [DATABASE], 3.0)
        side.shut(DATABASE)
        assert side.end_clients(DATABASE)
        with socket.socket(fileno=os.dup(thaw._connection.fileno())) as same:
            hang_up(same)  # as a kill ends it
        side.close()
        with closing(world.side("source")) as again:
            with pytest.raises(Unreachable, match="not currently accepting"):
                again.session(DATABASE)
            until(
                lambda: psql(world.old, "postgres", OPEN).strip() == "t",
                within_s=30,
                what="the server has thawed",
            )
            again.ask(DATABASE, "insert into writes values ('a customer', 1, '')")
            assert list(removed((again, target))) == []
        assert not thaw.disarm()


OPEN = f"select datallowconn from pg_database where datname = '{DATABASE}'"


def test_what_a_killed_rehearsal_leaves_is_refused_and_then_removed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kill comes in the freeze, with both streams there: the worst that can be left."""

    class Killed(BaseException):
        pass

    def die(_: Direction) -> str:
        raise Killed

    monkeypatch.setattr(Direction, "carry_sequences", die)
    monkeypatch.setattr("harness.move.rehearsal.removed", lambda _: [])
    monkeypatch.setattr(Bank, "read", lambda _: [])
    first = world.rehearsal()
    with closing(first.source), closing(first.target), pytest.raises(Killed):
        first.carry_out()
    # A kill also ends the connection whose session would thaw; it ends by itself later.
    ends = "select pg_terminate_backend(pid) from pg_stat_activity where wait_event = 'PgSleep'"
    psql(world.old, "postgres", ends)
    left = world.remains()
    assert {it for it in left if it.startswith("cutover_")} >= {DATABASE}
    assert any("forward" in it for it in left)
    second = world.rehearsal()
    with closing(second.source), closing(second.target):
        with pytest.raises(Refused, match="cutover heal"):
            must_be_possible(second.source, second.target)
        sides = (second.source, second.target)
        assert remains(sides) == [
            "the database cutover_rehearsal of source",
            "the slot cutover_forward_cutover_rehearsal of source",
            "the database cutover_rehearsal of target",
            "the slot cutover_back_cutover_rehearsal of target",
        ]
        assert list(removed(sides)) == []
        assert remains(sides) == []
        assert list(removed(sides)) == []


def test_two_sides_that_are_one_server_are_refused(world: World) -> None:
    with (
        closing(world.side("source")) as source,
        closing(world.side("source")) as same,
        pytest.raises(Refused, match="the same PostgreSQL"),
    ):
        must_be_possible(source, same)


def test_a_server_without_a_logical_log_is_refused(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Side.setting
    monkeypatch.setattr(
        Side, "setting", lambda it, name: "replica" if name == "wal_level" else real(it, name)
    )
    with (
        closing(world.side("source")) as source,
        closing(world.side("target")) as target,
        pytest.raises(Refused, match="expected logical"),
    ):
        must_be_possible(source, target)


def test_a_side_that_is_gone_does_not_hide_what_is_left_on_the_other(world: World) -> None:
    gone = Side("source", Server("/nowhere", 1, "postgres", ""), Address("/nowhere", 1))
    with closing(world.side("target")) as target:
        with pytest.raises(Unreachable, match="source"):
            remains((gone, target))
        make(target)
        assert remains((gone, target)) == ["the database cutover_rehearsal of target"]
        assert {str(it).partition(",")[0] for it in removed((gone, target))} == {"source"}
        assert remains((target,)) == []


LAUNCHER = "select 1 from pg_stat_activity where backend_type = 'logical replication launcher'"


@pytest.mark.parametrize(
    ("setting", "number", "says"),
    [
        # Its launcher of logical replication takes one.
        ("max_worker_processes", 2, "max_worker_processes = 2, of which 1 are taken"),
        ("max_logical_replication_workers", 1, "_workers = 1, of which 0 are taken"),
        ("max_replication_slots", 1, "max_replication_slots = 1, of which 0 are taken"),
        ("max_wal_senders", 1, "max_wal_senders = 1, of which 0 are taken"),
    ],
)
def test_a_server_with_too_few_places_for_streams_is_refused(
    world: World, tmp_path: Path, setting: str, number: int, says: str
) -> None:
    with tempfile.TemporaryDirectory(prefix="cutover-pg-") as place:
        Path(place).chmod(0o755)
        words = ("-c", "wal_level=logical", "-c", f"{setting}={number}")
        with (
            postgres(Path(place, "few"), 5432, *words) as few,
            closing(World(world.old, few, tmp_path).side("target")) as target,
            closing(world.side("source")) as source,
        ):
            until(lambda: target.ask(ADMIN, LAUNCHER), within_s=60, what="the launcher runs")
            with pytest.raises(Refused, match=says):
                must_be_possible(source, target)


def test_a_server_that_hangs_is_unreachable_and_holds_up_no_switch(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.move.side._ANSWERS_WITHIN_S", 0.5)
    with closing(world.side("source")) as side:
        hung = side.session(ADMIN).info.backend_pid
        os.kill(hung, signal.SIGSTOP)
        try:
            with pytest.raises(Unreachable, match=r"source, postgres: no answer within 0\.5 s"):
                side.databases()
        finally:
            os.kill(hung, signal.SIGCONT)
        monkeypatch.undo()
        assert ADMIN in side.databases()
        assert side.session(ADMIN).info.backend_pid != hung


def test_a_session_that_is_given_up_is_closed_also_if_it_answers(world: World) -> None:
    busy = threading.Event()
    with closing(world.side("source")) as side:
        session = side.session(ADMIN)
        with pytest.raises(Unreachable):
            side.read(ADMIN, lambda _: busy.wait(), within_s=0.1)
        busy.set()
        until(lambda: session.closed, within_s=5, what="the session is closed")
        assert ADMIN in side.databases()
