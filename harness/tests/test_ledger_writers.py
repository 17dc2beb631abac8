"""Every writer keeps the contract: what it acknowledged it reads, and it never claims too much."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from harness.core.errors import NeverSent, NotProven, TransportError
from harness.ledger.targets import NEEDS
from harness.ledger.writers import WRITERS, Counted
from harness.ledger.writers.postgres import Bank
from harness.tests.ledger_rig import FakeConnection, Ground, ground
from harness.tests.probe_rig import MACHINES

DATABASE, FILES = ("postgres", "bank", "primary"), ("cephfs", "http")
each_kind = pytest.mark.parametrize("kind", WRITERS)


@pytest.fixture
def on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ground]:
    with ground(tmp_path, monkeypatch) as made:
        yield made


def test_every_kind_says_what_it_needs() -> None:
    assert set(NEEDS) == set(WRITERS)


@each_kind
def test_writers_are_numbered_within_their_kind(on: Ground, kind: str) -> None:
    writers = WRITERS[kind](on.stage)
    assert [writer.name for writer in writers] == [f"{kind}/{n}" for n in range(len(writers))]
    assert len(writers) >= 2


@each_kind
def test_every_writer_reads_what_all_of_its_kind_were_acknowledged(on: Ground, kind: str) -> None:
    writers = WRITERS[kind](on.stage)
    for seq in range(6):
        for writer in writers:
            writer.send(seq)
    wanted = sorted((writer.name, seq) for writer in writers for seq in range(6))
    for writer in writers:
        assert sorted(writer.read()) == wanted
        writer.close()


@each_kind
def test_a_write_that_was_changed_is_one_that_nobody_made(on: Ground, kind: str) -> None:
    writer = WRITERS[kind](on.stage)[0]
    writer.send(0)
    writer.send(1)
    on.spoil(kind)
    first, second = sorted(writer.read())
    assert first == (writer.name, 0)
    assert second[0].startswith(f"{writer.name} with the seal '0000")
    writer.close()


@each_kind
def test_a_write_of_another_run_is_one_that_nobody_made(on: Ground, kind: str) -> None:
    writer = WRITERS[kind](on.stage)[0]
    writer._run = "other"  # type: ignore[attr-defined]
    if kind in FILES or kind in ("bank", "primary"):
        object.__setattr__(on.stage, "run", "other")
    writer.send(0)
    writer._run = "run"  # type: ignore[attr-defined]
    object.__setattr__(on.stage, "run", "run")
    assert not [who for who, _ in writer.read() if who == writer.name]
    writer.close()


@each_kind
def test_without_any_way_to_send_only_what_surely_never_left_says_so(on: Ground, kind: str) -> None:
    writer = WRITERS[kind](on.stage)[0]
    on.shut()
    with pytest.raises(TransportError) as caught:
        writer.send(0)
    # An error of the API may come from a server in between: nobody knows.
    assert isinstance(caught.value, NeverSent) is (kind != "objects")


@each_kind
def test_a_writer_that_was_abandoned_goes_on_after_one_write_at_most(on: Ground, kind: str) -> None:
    writer = WRITERS[kind](on.stage)[0]
    writer.abandon()
    writer.send(0)
    writer.abandon()
    with contextlib.suppress(psycopg.OperationalError):
        writer.send(1)
    writer.send(2)
    assert {(writer.name, 0), (writer.name, 2)} <= set(writer.read())
    writer.close()


# --- the database ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", DATABASE)
def test_a_database_that_is_ready_before_anybody_leads_to_it_is_awaited(
    on: Ground, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    refusals = iter([psycopg.OperationalError("connection refused")] * 2)

    def connect(**words: Any) -> FakeConnection:
        for refusal in refusals:
            raise refusal
        return on.database.connect(**words)

    monkeypatch.setattr("harness.ledger.writers.postgres.psycopg.connect", connect)
    writer = WRITERS[kind](on.stage)[0]
    writer.send(0)
    assert list(writer.read()) == [(writer.name, 0)]
    writer.close()


def test_a_database_to_which_nobody_leads_says_what_was_met(
    on: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.ledger.writers.postgres._REACHED_WITHIN_S", 0.1)
    on.database.down = True
    with pytest.raises(NeverSent, match="no connection to the database: connection refused"):
        WRITERS["postgres"](on.stage)


@pytest.mark.parametrize("kind", DATABASE)
@pytest.mark.parametrize(
    ("how", "says"),
    [
        ({"warns": "canceling wait for synchronous replication"}, "01000 canceling wait"),
        ({"commits": "ROLLBACK"}, "the server did ROLLBACK"),
    ],
)
def test_a_commit_that_warns_or_does_another_thing_is_no_acknowledgement(
    on: Ground, kind: str, how: dict[str, str], says: str
) -> None:
    writer = WRITERS[kind](on.stage)[0]
    for name, value in how.items():
        setattr(on.database, name, value)
    with pytest.raises(NotProven, match=says):
        writer.send(0)


@pytest.mark.parametrize("kind", DATABASE)
def test_a_broken_connection_leaves_the_write_open_and_the_next_takes_a_new_one(
    on: Ground, kind: str
) -> None:
    writer = WRITERS[kind](on.stage)[0]
    writer.send(0)
    before, on.database.breaks = on.database.connections, True
    with pytest.raises(Exception, match="unexpectedly") as caught:
        writer.send(1)
    assert not isinstance(caught.value, NeverSent)
    on.database.breaks = False
    writer.send(2)
    assert on.database.connections == before + 1
    assert sorted(writer.read()) == [(writer.name, 0), (writer.name, 2)]
    writer.close()


def test_transfers_keep_the_total_and_are_drawn_from_the_seed(on: Ground) -> None:
    bank = WRITERS["bank"](on.stage)[0]
    assert isinstance(bank, Counted)
    for seq in range(20):
        bank.send(seq)
        assert bank.total() == bank.due == Bank.due
    moved = dict(on.database.accounts)
    assert len(set(moved.values())) > 1
    on.database.accounts = dict.fromkeys(moved, 100)
    for seq in range(20):
        bank.send(seq)
    assert on.database.accounts == moved
    on.database.accounts[1] += 1
    assert bank.total() == Bank.due + 1
    bank.close()


def test_the_platforms_own_server_gets_a_database_for_the_ledger_and_loses_it_again(
    on: Ground,
) -> None:
    # What killed ledgers left.
    on.database.others[:] = ["cutover_ledger_dead", "cutover_ledger_beef"]
    writers = WRITERS["primary"](on.stage)
    assert on.database.others == ["cutover_ledger_0a1b"]
    # A harness that reads back what a killed one wrote finds its database.
    again = WRITERS["primary"](on.stage)
    assert on.database.others == ["cutover_ledger_0a1b"]
    for writer in (*writers[:-1], *again[:-1]):
        writer.close()
    assert on.database.others == ["cutover_ledger_0a1b"]
    writers[-1].close()
    assert on.database.others == []


def test_a_database_that_cannot_be_dropped_now_does_not_hide_what_was_found(on: Ground) -> None:
    writers = WRITERS["primary"](on.stage)
    on.database.down = True
    for writer in writers:
        writer.close()
    assert on.database.others == ["cutover_ledger_0a1b"]


def test_a_platform_whose_primary_is_not_declared_is_not_written_to(on: Ground) -> None:
    with pytest.raises(NotProven, match="where the platform's PostgreSQL takes writes"):
        WRITERS["primary"](replace(on.stage, primary=None))


# --- files ----------------------------------------------------------------------------------------


def test_each_machine_has_its_own_writer_in_cephfs_which_takes_no_other_way(on: Ground) -> None:
    writers = WRITERS["cephfs"](on.stage)
    for writer in writers:
        writer.send(0)
    assert on.tunnels.asked == list(MACHINES)
    on.tunnels.closed = {MACHINES[1]}
    writers[0].send(1)
    with pytest.raises(NeverSent, match="no way to"):
        writers[1].send(1)


def test_requests_go_through_another_machine_when_one_leads_nowhere(on: Ground) -> None:
    writer = WRITERS["http"](on.stage)[1]
    on.tunnels.closed = {MACHINES[1]}
    writer.send(0)
    writer.send(1)
    assert on.tunnels.asked == [MACHINES[1], MACHINES[2], MACHINES[2]]


@pytest.mark.parametrize("kind", FILES)
def test_another_answer_than_that_it_is_kept_is_no_acknowledgement(on: Ground, kind: str) -> None:
    writer = WRITERS[kind](on.stage)[0]
    (on.folder / kind).write_text("in the way")
    with pytest.raises(NotProven, match="answered 500"):
        writer.send(0)


@pytest.mark.parametrize("kind", FILES)
def test_a_torn_beginning_is_no_write_and_half_a_list_is_no_reading(
    on: Ground, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = WRITERS[kind](on.stage)[0]
    writer.send(1)
    place = on.folder / kind
    for number, torn in enumerate([f"{kind}/0", f"{kind}/0 7", f"{kind}/0 7 ", "\0\0\0"]):
        (place / f"torn-{number}").write_text(torn)
    assert list(writer.read()) == [(writer.name, 1)]
    with monkeypatch.context() as patch:
        patch.setattr("harness.ledger.serve_script.lines", lambda _: iter([b"x\nend 1"]))
        with pytest.raises(NotProven, match="is incomplete"):
            list(writer.read())
