"""W5-ACCESS: what roles may do, as recorded, and as a real PostgreSQL answers them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from harness.backup.equality.session import Server, rows
from harness.checks import CHECKS
from harness.core.errors import Unreachable
from harness.core.model import Outcome, Verdict
from harness.facts.schema import Known
from harness.probes.database_acts import Role, allowed
from harness.settings.databases import DatabaseRole
from harness.tests.clean_case import case, clean
from harness.tests.clean_cluster import CLUSTER
from harness.tests.postgres_server import IS_THERE, postgres, psql

SAME, WORK = "both sides have the same roles", "every role can do what it must"
NO_MORE = "no role can do what it must not"
ALL = (SAME, WORK, NO_MORE)
Change = Callable[[Any], object]


def judged(check: str, change: Change = lambda _: None) -> Verdict:
    seen = clean()
    change(seen["database-roles"][CLUSTER.name][""])
    return CHECKS[check](case(seen))


def answers(act: str, answer: object) -> Change:
    return lambda it: it["allowed"]["billing_service"].update({act: answer})


def has(side: str, *names: str) -> Change:
    return lambda it: it.update({side: {"value": names}})


def test_roles_with_their_rights_and_no_more_pass() -> None:
    assert {check: judged(check).outcome for check in ALL} == dict.fromkeys(ALL, Outcome.PASS)


@pytest.mark.parametrize(
    ("check", "change", "says"),
    [
        (
            WORK,
            answers("write invoices", {"value": False}),
            "billing_service: expected that it may write invoices, seen that it may not",
        ),
        (
            NO_MORE,
            answers("connect to auth", {"value": True}),
            "billing_service: expected that it may not connect to auth, seen that it may",
        ),
        (
            WORK,
            has("target", "postgres"),
            "billing_service: expected the role on the target, seen none of that name",
        ),
        (
            SAME,
            has("target", "postgres"),
            "billing_service: expected the role on both sides, seen on the source alone",
        ),
        (
            SAME,
            has("target", "billing_service", "postgres", "app"),
            "app: expected the role on both sides, seen on the target alone",
        ),
    ],
)
def test_a_role_that_differs_from_its_declaration_fails(
    check: str, change: Change, says: str
) -> None:
    verdict = judged(check, change)
    assert (verdict.outcome, verdict.reason) == (Outcome.FAIL, says)


def test_a_role_of_one_side_on_purpose_passes() -> None:
    change = has("target", "billing_service", "postgres", "notification_service")
    assert judged(SAME, change).outcome is Outcome.PASS


@pytest.mark.parametrize(
    ("check", "change"),
    [
        (SAME, lambda it: it.update(source={"error": "no route"})),
        (SAME, lambda it: it.update(target={"error": "no route"})),
        (WORK, answers("read invoices", {"error": "there is no table invoices"})),
        (WORK, lambda it: it["allowed"].update(billing_service={"error": "cannot log in"})),
        (WORK, lambda it: it["allowed"].clear()),
        (NO_MORE, answers("connect to auth", {"error": "no route"})),
        (NO_MORE, lambda it: it["allowed"].clear()),
    ],
)
def test_what_could_not_be_tried_is_not_proven(check: str, change: Change) -> None:
    assert judged(check, change).outcome is Outcome.NOT_PROVEN


@pytest.mark.parametrize("check", ALL)
def test_a_pair_that_was_not_reached_is_not_proven(check: str) -> None:
    for pairs in ({}, {"": {"error": "no route"}}):
        seen = clean() | {"database-roles": {CLUSTER.name: pairs}}
        assert CHECKS[check](case(seen)).outcome is Outcome.NOT_PROVEN


# --- what a profile may declare ---


def declared(**acts: tuple[str, ...]) -> DatabaseRole:
    return DatabaseRole.model_validate({"password_file": "/x", "database": "billing", **acts})


def test_no_role_may_make_roles_or_databases_or_become_postgres_without_a_word() -> None:
    assert declared(may=("read t",)).forbidden("postgresql") == (
        "create roles",
        "create databases",
        "become postgres",
    )
    maker = declared(may=("create databases",))
    assert maker.forbidden("postgresql") == ("create roles", "become postgres")
    assert maker.forbidden("mariadb") == ("create roles", "read mysql.global_priv")


@pytest.mark.parametrize(
    "acts",
    [
        {"may": ()},
        {"may": ("drop users",)},
        {"may": ("read users; drop table users",)},
        {"may": ("read users",), "must_not": ("read users",)},
    ],
)
def test_an_act_that_nothing_can_try_is_refused(acts: Mapping[str, tuple[str, ...]]) -> None:
    with pytest.raises(ValidationError):
        declared(**acts)


# --- a real server ---

SEED = r"""
create role billing_service login password 'secret';
create role lazy_service login password 'secret';
create role maker login createrole createdb password 'secret';
create role readonly_user login password 'secret';
alter role readonly_user set default_transaction_read_only = on;
create role owner_of_all nologin;
create role member login in role owner_of_all password 'secret';
create database billing;
create database auth;
revoke connect on database auth from public;
"""
TABLES = r"""
create table invoices (id serial primary key, number bigint generated always as identity,
  amount numeric, twice numeric generated always as (amount * 2) stored);
create table payments (id int primary key, amount numeric, note text);
create schema audit;
create table audit.log (line text);
create function refuse() returns trigger language plpgsql as $$begin raise 'closed'; end$$;
create table closed (id int);
create trigger closed before update on closed for each statement execute function refuse();
grant select, insert, update, delete on invoices, closed to billing_service, lazy_service;
grant usage on sequence invoices_id_seq to billing_service;
grant insert on audit.log to readonly_user;
grant usage on schema audit to readonly_user;
grant select (id), update (note) on payments to billing_service;
insert into invoices (amount) values (1);
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    if not IS_THERE:
        pytest.skip("postgresql-15 is not installed")
    with tempfile.TemporaryDirectory(prefix="cutover-pg-") as place:
        Path(place).chmod(0o755)
        with postgres(Path(place, "db")) as server:
            psql(server, "postgres", SEED)
            psql(server, "billing", TABLES)
            yield server


def tried(server: Server, name: str, may: tuple[str, ...], must_not: tuple[str, ...] = ()) -> Any:
    """Each act's answer, or why there is none."""
    databases = {"billing", "auth", "postgres"}
    role = Role(server.host, server.port, name, "secret", "billing", databases)
    found = allowed(role, may, must_not)
    return {act: it.value if isinstance(it, Known) else it.error for act, it in found.items()}


@pytest.mark.slow
def test_a_service_can_use_its_own_tables(server: Server) -> None:
    acts = ("read invoices", "write invoices", "read public.invoices", "connect to postgres")
    assert tried(server, "billing_service", acts) == dict.fromkeys(acts, True)


@pytest.mark.slow
def test_an_insert_needs_the_sequence_too(server: Server) -> None:
    assert tried(server, "lazy_service", ("insert into invoices", "update invoices")) == {
        "insert into invoices": False,
        "update invoices": True,
    }


@pytest.mark.slow
def test_a_part_of_a_right_is_not_enough_and_already_too_much(server: Server) -> None:
    acts = ("read payments", "update payments", "write payments")
    assert tried(server, "billing_service", acts) == dict.fromkeys(acts, False)
    assert tried(server, "billing_service", (), acts) == dict.fromkeys(acts, True)
    assert tried(server, "billing_service", (), ("insert into payments",)) == {
        "insert into payments": False
    }


@pytest.mark.slow
def test_what_belongs_to_others_is_refused(server: Server) -> None:
    acts = (
        *("read audit.log", "write audit.log", "create in public", "create in audit"),
        *("connect to auth", "become postgres", "create roles", "create databases"),
    )
    assert tried(server, "billing_service", (), acts) == dict.fromkeys(acts, False)


@pytest.mark.slow
def test_a_role_with_more_rights_is_found(server: Server) -> None:
    acts = ("create roles", "create databases")
    assert tried(server, "maker", (), acts) == dict.fromkeys(acts, True)
    assert tried(server, "member", (), ("become owner_of_all",)) == {"become owner_of_all": True}


@pytest.mark.slow
def test_a_role_that_reads_by_default_is_asked_for_its_rights(server: Server) -> None:
    acts = ("insert into invoices", "insert into audit.log", "create roles", "create databases")
    found = tried(server, "readonly_user", (), acts)
    assert found == {act: act == "insert into audit.log" for act in acts}


@pytest.mark.slow
def test_what_is_not_there_or_answers_otherwise_is_not_proven(server: Server) -> None:
    found = tried(
        server,
        "billing_service",
        ("read nothing", "connect to nowhere", "become nobody", "update closed"),
    )
    assert "there is no table nothing" in found["read nothing"]
    assert "there is no database nowhere" in found["connect to nowhere"]
    assert 'role "nobody" does not exist' in found["become nobody"]
    assert "closed" in found["update closed"]


@pytest.mark.slow
def test_a_role_that_cannot_log_in_is_told(server: Server) -> None:
    with pytest.raises(Unreachable, match="stranger cannot log in to billing"):
        tried(server, "stranger", ("read invoices",))


@pytest.mark.slow
def test_nothing_of_it_stays(server: Server) -> None:
    count = """
        select count(*) || ' ' || max(id) || ' ' || (select last_value from public.invoices_id_seq)
          || ' ' || (select count(*) from pg_roles) || ' ' || (select count(*) from pg_database)
          || ' ' || (select count(*) from pg_class) from public.invoices"""

    def state() -> object:
        with server.connect("billing") as connection:
            return rows(connection, count)

    before = state()
    tried(
        server,
        "maker",
        ("create roles", "create databases", "create in public", "become maker"),
        ("write invoices",),
    )
    tried(server, "billing_service", ("write invoices", "read invoices"))
    assert state() == before
