"""A database that was dumped and restored is equal, and each loss of an object is seen."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from harness.backup.equality.compare import database
from harness.backup.equality.session import Server, moment
from harness.core.errors import HarnessError, Unreachable
from harness.facts.databases import Database, Sequence, Table
from harness.facts.schema import Known, Unknown
from harness.tests.postgres_server import BINARIES, NEEDS_POSTGRES, psql
from harness.tests.switch_world import two_servers

pytestmark = NEEDS_POSTGRES
# The roles' numbers are in another order on the new server.
ROLES = ("clerk", "auditor")
MEMBERS = "create role staff; grant staff to clerk; grant auditor to clerk;"
SEED = """
create extension amcheck;
create schema app;
create domain app.mail as varchar(80) check (value not in ('a@b', 'c@d'));
create table app.subs (id serial primary key, phone text,
  status varchar(20) default 'new' check (status in ('new', 'paid', 'lost')), mail app.mail);
create index on app.subs (status) where status in ('new', 'paid');
create view app.paid as select id from app.subs where status in ('new', 'paid');
create function app.touch() returns trigger language plpgsql as 'begin return new; end';
create trigger touched before update on app.subs for each row
  when (old.status in ('new', 'paid')) execute function app.touch();
alter table app.subs enable row level security;
create policy own on app.subs to clerk, auditor using (status in ('new', 'paid'));
create materialized view app.later as select 1 as one with no data;
create table app.region (id int, name text, primary key (id, name)) partition by list (name);
create table app.region_de partition of app.region for values in ('de');
create table app.region_us partition of app.region for values in ('us');
create table app.shop (id int primary key, region int, name text,
  foreign key (region, name) references app.region);
create type app.span as range (subtype = float8);
create procedure app.settle(a int, inout b int) language plpgsql as 'begin b := a; end';
create function app.open(subs app.subs) returns boolean language sql
  begin atomic select subs.status in ('new', 'paid'); end;
create aggregate app.total (int) (sfunc = int4pl, stype = int, initcond = '0');
create sequence app.number;
create sequence app.ticket increment 5 start 100;
create sequence app.letter;
create sequence app.renumbered;
alter sequence app.renumbered start with 100;
create table app.debts (id int generated always as identity (increment -1), owed int);
insert into app.debts (owed) values (1), (2), (3);
alter table app.subs add constraint letters check (mail is null or mail <> 'x');
alter sequence app.letter owned by app.subs.phone;
create foreign data wrapper other;
create server old_host foreign data wrapper other options (host '10.0.0.2');
create foreign table app.remote (id int) server old_host options (name 'x');
create user mapping for clerk server old_host;
create statistics app.places on status, mail from app.subs;
create text search configuration app.words (copy = pg_catalog.german);
create operator app.=~ (leftarg = text, rightarg = text, function = texteq);
insert into app.subs (status, phone) select 'paid', '49' || i from generate_series(1, 20) i;
insert into app.region values (1, 'de'), (2, 'us');
insert into app.shop values (1, 1, 'de');
select nextval('app.number') from generate_series(1, 7);
alter sequence app.ticket restart with 500;
"""


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[Server, Server]]:
    """A database on the old server, and what its dump makes of the new one's."""
    with two_servers() as (old, new):
        for server, roles in ((old, ROLES), (new, ROLES[::-1])):
            made = "; ".join(f"create role {role}" for role in roles)
            psql(server, "postgres", f"{made}; {MEMBERS} create database shop")
        psql(old, "shop", SEED)
        words = (str(BINARIES / "pg_dump"), "-h", old.host, "-U", "postgres", "shop")
        dump = subprocess.run(words, capture_output=True, text=True, check=True)
        psql(new, "shop", dump.stdout)
        yield old, new


def compared(old: Server, new: Server) -> Database:
    with moment(old, "shop") as source, moment(new, "shop") as target:
        return database(source, target)


def objects(found: Database) -> dict[str, tuple[str | None, str | None]]:
    """The objects that differ, with both definitions."""
    assert isinstance(found.catalogue, Known)
    return {it.object: (it.source, it.target) for it in found.catalogue.value}


@contextmanager
def changed(server: Server, statements: str, back: str) -> Iterator[None]:
    psql(server, "shop", statements)
    try:
        yield
    finally:
        psql(server, "shop", back)


def test_a_restored_dump_is_equal(servers: tuple[Server, Server]) -> None:
    found = compared(*servers)
    assert objects(found) == {}
    assert {name: it for name, it in found.tables.items() if isinstance(it, Unknown)} == {}
    tables = [it for it in found.tables.values() if isinstance(it, Table)]
    assert all(it.source == it.target for it in tables)


def test_sequences_are_compared_by_what_they_give_next(servers: tuple[Server, Server]) -> None:
    """Odoo has sequences of no column; one that was set anew has given nothing yet."""
    restart = "alter sequence app.ticket restart with"
    with changed(servers[1], f"{restart} 100", f"{restart} 500"):
        found = compared(*servers).sequences
    assert found == Known(
        {
            "app.debts_id_seq": Sequence(-3, -3, -3, descending=True),
            "app.letter": Sequence(None, None, None),
            "app.number": Sequence(7, 7, None),
            "app.renumbered": Sequence(None, None, None),
            "app.subs_id_seq": Sequence(20, 20, 20),
            "app.ticket": Sequence(495, None, None),
        }
    )


@pytest.mark.parametrize(
    ("lost", "back", "name"),
    [
        (
            "drop user mapping for clerk server old_host",
            "create user mapping for clerk server old_host",
            "user mapping clerk on server old_host",
        ),
        (
            "alter server old_host options (set host '10.0.0.9')",
            "alter server old_host options (set host '10.0.0.2')",
            "server old_host",
        ),
        (
            "alter foreign table app.remote options (set name 'y')",
            "alter foreign table app.remote options (set name 'x')",
            "foreign table app.remote",
        ),
        (
            "drop statistics app.places",
            "create statistics app.places on status, mail from app.subs",
            "statistics object app.places",
        ),
        (
            "create or replace aggregate app.total (int) (sfunc = int4pl, stype = int)",
            "create or replace aggregate app.total (int)"
            " (sfunc = int4pl, stype = int, initcond = '0')",
            "function app.total(integer)",
        ),
        (
            "drop text search configuration app.words",
            "create text search configuration app.words (copy = pg_catalog.german)",
            "text search configuration app.words",
        ),
        (
            "drop operator app.=~ (text, text)",
            "create operator app.=~ (leftarg = text, rightarg = text, function = texteq)",
            "operator app.=~(pg_catalog.text,pg_catalog.text)",
        ),
        (
            "create publication changes for table app.subs",
            "drop publication changes",
            "publication changes",
        ),
        (
            "refresh materialized view app.later",
            "refresh materialized view app.later with no data",
            "materialized view app.later",
        ),
        (
            "grant staff to clerk with admin option",
            "revoke admin option for staff from clerk",
            "role clerk",
        ),
        (
            "alter policy own on app.subs using (status in ('new', 'lost'))",
            "alter policy own on app.subs using (status in ('new', 'paid'))",
            "policy own on app.subs",
        ),
        (
            "create or replace procedure app.settle(a int, inout b int) language plpgsql"
            " as 'begin b := 1; end'",
            "create or replace procedure app.settle(a int, inout b int) language plpgsql"
            " as 'begin b := a; end'",
            "function app.settle(integer, integer)",
        ),
    ],
)
def test_an_object_that_was_lost_or_changed_is_named(
    servers: tuple[Server, Server], lost: str, back: str, name: str
) -> None:
    with changed(servers[1], lost, back):
        assert set(objects(compared(*servers))) == {name}


def test_a_setting_is_compared_to_its_end_and_where_it_counts(
    servers: tuple[Server, Server],
) -> None:
    everywhere = "alter role clerk set app.key"
    here = "alter role clerk in database shop set app.key"
    reset = "; ".join(f"{it.replace(' set ', ' reset ')}" for it in (everywhere, here))
    with (
        changed(servers[0], f"{everywhere} = 'same'; {here} = 'user=1'", reset),
        changed(servers[1], f"{everywhere} = 'same'; {here} = 'user=2'", reset),
    ):
        found = objects(compared(*servers))
    assert found == {"setting of role clerk app.key": ("user=1", "user=2")}


def test_a_table_of_an_extension_counts_by_the_rows_that_a_dump_has(
    servers: tuple[Server, Server],
) -> None:
    """As PostGIS keeps its reference systems: its own rows, and those of users."""
    make = """
    create table app.systems (id int primary key, name text);
    create table app.cache (id int);
    insert into app.systems values (1, 'of version {0}'), (1000, '{1}');
    insert into app.cache values ({0});
    alter extension amcheck add table app.systems;
    alter extension amcheck add table app.cache;
    update pg_extension set extconfig = array['app.systems'::regclass::oid],
      extcondition = array['WHERE id >= 1000'] where extname = 'amcheck';
    """
    back = """
    update pg_extension set extconfig = null, extcondition = null where extname = 'amcheck';
    alter extension amcheck drop table app.systems;
    alter extension amcheck drop table app.cache;
    drop table app.systems, app.cache;
    """
    old, new = servers
    with changed(old, make.format(1, "mine"), back):
        with changed(new, make.format(2, "mine"), back):
            tables = compared(old, new).tables
        with changed(new, make.format(2, "lost"), back):
            lost = compared(old, new).tables["app.systems"]
    assert "app.cache" not in tables
    equal = tables["app.systems"]
    assert isinstance(equal, Table)
    assert (equal.source.rows, equal.source) == (1, equal.target)
    assert isinstance(lost, Table)
    assert [it.row for it in lost.first] == ["id 1000"]


def test_a_key_that_is_a_text_is_not_shown(servers: tuple[Server, Server]) -> None:
    """A telephone number is all digits, too."""
    make = "create table app.phones (number text primary key); insert into app.phones values ('{}')"
    drop = "drop table app.phones"
    old, new = servers
    with changed(old, make.format(4911), drop), changed(new, make.format(4912), drop):
        found = compared(old, new).tables["app.phones"]
    assert isinstance(found, Table)
    assert found.differing == 2
    assert not {"number 4911", "number 4912"} & {it.row for it in found.first}


END = """
select pg_terminate_backend(pid) from pg_stat_activity
where application_name = 'cutover' and datname = 'shop'
"""


def test_a_moment_whose_connection_is_lost_is_an_error_of_ours(
    servers: tuple[Server, Server],
) -> None:
    """It is seen at the latest when the moment ends."""
    with pytest.raises(Unreachable, match="shop"), moment(servers[0], "shop"):
        psql(servers[0], "shop", END)


def test_a_snapshot_that_is_gone_is_an_error_of_ours(servers: tuple[Server, Server]) -> None:
    with moment(servers[0], "shop") as here:
        gone = replace(here, snapshot="00000003-00000001-1")
        with pytest.raises(HarnessError, match="shop"), gone.another():
            pass
