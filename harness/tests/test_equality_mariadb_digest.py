"""The digest of a MariaDB's table: no row is lost on the wire, and the same rows give the same."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.backup.equality.mariadb.session import Connection, Server, rows, stream
from harness.backup.equality.mariadb.tables import Column, Table, digest, tables
from harness.backup.equality.mariadb.wire import Wire, raw_rows, whole_rows
from harness.core.errors import NotProven
from harness.facts.databases import TableSide
from harness.tests.mariadb_server import mariadb, script

# --- what has come of a stream of packets ---


@dataclass
class Sent:
    """The packets of a server, read through a buffer."""

    _rfile: io.BufferedReader
    _next_seq_id: int = field(default=3)


def packet(number: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "little") + bytes([number % 256]) + payload


def row(content: bytes) -> bytes:
    """A row of one value, which is shorter than 251 bytes."""
    return bytes([len(content)]) + content


@given(st.lists(st.binary(max_size=40), max_size=300), st.integers(6, 200))
def test_every_row_comes_once_and_in_order_however_the_buffer_cuts_them(
    contents: list[bytes], buffer_size: int
) -> None:
    payloads = [row(it) for it in contents]
    end = b"\xfe\0\0\2\0"
    packets = b"".join(packet(at + 3, it) for at, it in enumerate([*payloads, end]))
    sent = Sent(io.BufferedReader(cast(io.RawIOBase, io.BytesIO(packets)), buffer_size))
    found: list[bytes] = []
    while True:
        found += map(bytes, whole_rows(cast(Wire, sent)))
        # What PyMySQL does next: it reads one packet, which must have the number that it expects.
        length, number = int.from_bytes(sent._rfile.read(3), "little"), sent._rfile.read(1)[0]
        assert number == sent._next_seq_id
        sent._next_seq_id = (number + 1) % 256
        payload = sent._rfile.read(length)
        if payload == end:
            break
        found.append(payload)
    assert found == payloads


# --- a real server ---


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with mariadb() as started:
        script(started, "set global max_allowed_packet = 100663296; create database d")
        yield started


@pytest.fixture
def connection(server: Server) -> Iterator[Connection]:
    with server.connect("d") as connected:
        yield connected


def made(server: Server, table: str, *statements: str) -> None:
    """A new table; its name in the statements is TABLE."""
    with server.connect("d") as connection:
        for statement in ("drop table if exists TABLE", *statements):
            connection.cursor().execute(statement.replace("TABLE", table))


def digest_of(server: Server, table: str) -> TableSide:
    with server.connect("d") as connection:
        return digest(connection, tables(connection)[table])


def values(sent: bytes) -> Iterator[bytes | None]:
    """The values of a row on the wire (MariaDB, "Protocol Data Types", length-encoded)."""
    at = 0
    while at < len(sent):
        first, at = sent[at], at + 1
        if first == 0xFB:
            yield None
            continue
        width = {0xFC: 2, 0xFD: 3, 0xFE: 8}.get(first, 0)
        length = int.from_bytes(sent[at : at + width], "little") if width else first
        at += width + length
        yield sent[at - length : at]


# Lengths at which a value's own length, a buffer or a packet changes: 2^24 - 1 bytes a packet.
LENGTHS = (0, 1, 250, 251, 8186, 8187, 8188, 8192, 65535, 65536, 16777210, 16777211, 16777216)


@pytest.mark.slow
def test_rows_of_every_length_are_sent_as_pymysql_reads_them(
    server: Server, connection: Connection
) -> None:
    each = ", ".join(f"({at}, repeat('x', {it}), null)" for at, it in enumerate(LENGTHS))
    columns = "(id int primary key, long_one longblob, nothing text)"
    made(server, "long_ones", f"create table TABLE {columns}", f"insert into TABLE values {each}")
    query = "select * from long_ones order by id"
    found = [tuple(values(bytes(it))) for it in raw_rows(connection, query)]
    assert found == list(stream(connection, query))
    assert [len(it[1] or b"") for it in found] == list(LENGTHS)


@pytest.mark.slow
def test_a_query_that_fails_amid_its_rows_is_no_end(connection: Connection) -> None:
    """The server sends rows, and then an error."""
    query = "select seq, if(seq < 500, 1, (select 1 union select 2)) from seq_1_to_1000"
    found = raw_rows(connection, query)
    assert len([next(found) for _ in range(499)]) == 499
    with pytest.raises(NotProven, match="more than 1 row"):
        next(found)
    assert rows(connection, "select 1") == [("1",)]


Rows = list[tuple[str | None, int | None]]
ROWS: st.SearchStrategy[Rows] = st.lists(
    st.tuples(st.sampled_from([None, "", "NULL", "a", "1"]), st.sampled_from([None, 0, 1])),
    max_size=6,
)
# The same rows in another order, each of them twice more, or others.
PAIRS = ROWS.flatmap(
    lambda it: st.tuples(st.just(it), st.permutations(it) | st.just(it * 3) | ROWS)
)


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(PAIRS)
def test_without_a_key_two_tables_are_equal_if_they_hold_the_same_rows_as_often(
    server: Server, pair: tuple[Rows, Rows]
) -> None:
    """Duplicates cannot cancel, and NULL is neither empty nor the word."""
    with server.connect("d") as connection:
        ask = connection.cursor().execute
        found = []
        for rows_of_one in pair:
            ask("create or replace temporary table t (word varchar(9), number int) engine=InnoDB")
            for word, number in rows_of_one:
                ask("insert into t values (%s, %s)", (word, number))
            found.append(digest(connection, KEYLESS))
    one, other = pair
    assert (found[0] == found[1]) == (Counter(one) == Counter(other))


KEYLESS = Table("t", (Column("word", "varchar", True), Column("number", "int", False)), (), 0)


@pytest.mark.slow
def test_the_same_rows_are_equal_whatever_the_servers_zone_and_the_tables_collation(
    server: Server,
) -> None:
    columns = "(id varchar(9) primary key, at timestamp null, amount decimal(15,9), raw blob)"
    fill = """insert into TABLE values ('a', '2026-03-29 02:30:00', 1.5, x'00ff'),
      ('B', null, -1e-9, ''), ('c', '2026-10-25 02:30:00', 9.99, null), ('ß', null, 0, 'é')"""
    made(server, "one", f"create table TABLE {columns} collate utf8mb4_general_ci", fill)
    script(server, "set global time_zone = '+05:00'")
    made(server, "other", f"create table TABLE {columns} collate utf8mb4_bin", fill)
    assert digest_of(server, "other") == digest_of(server, "one")


CHANGES = (
    "at = at + interval 1 hour where id = 1",
    "amount = 1.500000001 where id = 1",
    "amount = null where id = 2",
    "word = '' where id = 2",
    "word = 'PAID' where id = 1",
    "raw = x'00fe' where id = 1",
    "share = share + 6e-8 where id = 1",
    "rate = 0.1e0 + 0.2e0 where id = 1",
    "day = '0000-00-00' where id = 1",
)


@pytest.mark.slow
@pytest.mark.parametrize("change", CHANGES)
def test_one_changed_value_changes_the_digest(server: Server, change: str) -> None:
    columns = """(id int primary key, at timestamp null, amount decimal(15,9), word varchar(9),
      raw varbinary(9), share float, rate double, day date)"""
    fill = """insert into TABLE values (2, null, 0, null, null, null, null, null),
      (1, '2026-03-29 02:30:00', 1.5, 'paid', x'00ff', 0.75, 0.3, '2026-01-01')"""
    made(server, "one", f"create table TABLE {columns}", fill)
    before = digest_of(server, "one")
    assert digest_of(server, "one") == before
    script(server, f"set sql_mode = ''; update one set {change}", "d")
    after = digest_of(server, "one")
    assert (after.rows, after.sha256 == before.sha256) == (2, False)
