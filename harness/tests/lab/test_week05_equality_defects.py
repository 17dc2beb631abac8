"""Seeded defects of W5-EQUAL and W5-ACCESS: two PostgreSQL in pods, the second a restored dump."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.core.waiting import until
from harness.tests.lab import objects
from harness.tests.lab.asking import ask
from harness.tests.lab.forked import cutover
from harness.tests.lab.world import World

SPACE = "test-equality"
SERVER = (
    "echo secret >/tmp/pw && initdb --pgdata=/tmp/data --no-sync --username=postgres "
    "--pwfile=/tmp/pw --auth=scram-sha-256 >/dev/null && "
    "echo 'host all all all scram-sha-256' >>/tmp/data/pg_hba.conf && "
    "exec postgres -D /tmp/data -k /tmp -c listen_addresses='*'"
)
UNPRIVILEGED = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
DECLARED = f"""
equality:
  source: {{service: {SPACE}/old, password_file: PASSWORD}}
  target: {{service: {SPACE}/new, password_file: PASSWORD}}
  databases: [billing, instance]
  roles:
    billing_service:
      password_file: ROLE
      database: billing
      may: [read payments, insert into payments]
      must_not: [update payments, write accounts, create in public, connect to instance]
"""
SAME, WORK = "both sides have the same roles", "every role can do what it must"
NO_MORE = "no role can do what it must not"
ROWS, REST = "every table holds the same rows", "everything beside the rows is the same"
AHEAD, SOUND = "no sequence is behind", "every index fits its table"
SEED = r"""
create role billing_service login password 'x';
create database instance;
revoke connect on database instance from public;
create database billing;
\c billing
create extension pgcrypto;
create table accounts (name text primary key, owner text collate "C", active boolean not null);
insert into accounts select md5(i::text) || E'\t\\n', 'o' || i, i % 2 = 0
  from generate_series(1, 2000) i;
create table payments (
  id bigint generated always as identity primary key,
  account text not null references accounts, amount numeric, paid timestamptz, note text,
  constraint positive check (amount > 0)
);
insert into payments (account, amount, paid, note)
  select md5((i % 2000 + 1)::text) || E'\t\\n', i * 1.5,
    timestamptz '2026-01-01 UTC' + i * interval '1 s', null from generate_series(1, 5000) i;
create table events (kind int, at date) partition by range (at);
create table events_2026 partition of events for values from ('2026-01-01') to ('2027-01-01');
insert into events select i % 7, date '2026-03-01' from generate_series(1, 700) i;
create function folded(text) returns text language sql immutable as 'select pg_catalog.lower($1)';
create index folded_owner on accounts (folded(owner));
create index paid on payments (paid);
grant select, insert on payments to billing_service;
create policy own on accounts using (owner = current_user);
select lo_from_bytea(4711, 'an invoice');
"""
COPY = (
    "export PGPASSWORD=secret; pg_dumpall --host=/tmp --username=postgres | "
    "psql -Xq --host=new --username=postgres --dbname=postgres"
)
REACHES = (
    "PGPASSWORD=secret PGCONNECT_TIMEOUT=5 psql -XAtq --host=new --username=postgres "
    "--dbname=postgres --command='select 1'"
)
SOUNDNESS = "create extension amcheck"
BREAK = r"""
set session_replication_role = replica;
update payments set amount = amount::numeric(20, 3) where id = 1;
update payments set note = '' where id = 2;
update payments set paid = paid + interval '1 hour' where id = 3;
delete from payments where id = 4;
update accounts set active = not active where name = (select min(name) from accounts);
insert into events select kind, at from events limit 2;
select setval('payments_id_seq', 10);
select lo_unlink(4711);
revoke insert on payments from billing_service;
alter table payments drop constraint positive;
alter table payments add constraint positive check (amount > 0) not valid;
drop index paid;
drop policy own on accounts;
drop extension pgcrypto;
alter role billing_service connection limit 3;
create or replace function folded(text) returns text language sql immutable
  as 'select pg_catalog.reverse($1)';
"""


@pytest.fixture
def space(world: World) -> Iterator[objects.Namespace]:
    with objects.namespace(world, SPACE) as space:
        for name, node in (("old", world.one), ("new", world.two)):
            labels = {"app": name}
            command = (*UNPRIVILEGED, "sh", "-c", SERVER)
            space.apply(objects.pod(name, node.name, *command, labels=labels), service(name))
        space.ready("old", "new")
        for name in ("old", "new"):
            until(
                lambda name=name: sql(space, name, "select 1").strip() == "1",  # type: ignore[misc]
                within_s=120,
                what=f"{name} answers",
            )
        until(
            lambda: space.run("old", "sh", "-c", REACHES).strip() == "1",
            within_s=60,
            what="the old one reaches the new one by its service",
        )
        assert "ERROR" not in script(space, "old", "postgres", SEED)
        said = space.run("old", "sh", "-c", COPY)
        # The dump creates what initdb has made already.
        assert {line for line in said.splitlines() if "ERROR" in line} == {
            'ERROR:  role "postgres" already exists'
        }, said
        for name in ("billing", "instance"):
            script(space, "new", name, SOUNDNESS)
        yield space


@pytest.fixture
def profile(world: World) -> str:
    password = world.scratch / "password"
    password.write_text("secret\n")
    role = world.scratch / "role-password"
    role.write_text("x\n")
    declared = textwrap.dedent(DECLARED).replace("PASSWORD", str(password))
    declared = declared.replace("ROLE", str(role))
    return world.profile_with([(world.section("equality"), declared)])


def service(name: str) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": {"app": name}, "ports": [{"port": 5432}]},
    }


def sql(space: objects.Namespace, pod: str, words: str) -> str:
    return script(space, pod, "postgres", words)


def script(space: objects.Namespace, pod: str, database: str, words: str) -> str:
    psql = ("psql", "-XAtq", "--username=postgres", "--host=/tmp", f"--dbname={database}")
    line = f'printf %s "$0" | {" ".join(psql)}'
    return space.run(pod, "env", "PGPASSWORD=secret", "sh", "-c", line, words)


def compared(profile: str) -> dict[str, tuple[str, str]]:
    """Outcome and reason of each check, as the command prints them."""
    done = cutover(["backup", "equal", "--cluster", profile, "--json"], 120)
    verdicts = json.loads(done.stdout)["verdicts"]
    worst = {"fail": 1, "not_proven": 3}
    outcomes = {it["outcome"] for it in verdicts.values()}
    assert done.returncode == next((worst[it] for it in worst if it in outcomes), 0)
    return {name: (it["outcome"], it["reason"]) for name, it in verdicts.items()}


@pytest.mark.defect(
    "every table holds the same rows",
    "everything beside the rows is the same",
    "no sequence is behind",
    "every index fits its table",
)
def test_databases_that_were_copied_are_equal_and_every_difference_is_found(
    space: objects.Namespace, profile: str
) -> None:
    for _ in range(3):
        found = compared(profile)
        assert {outcome for outcome, _ in found.values()} == {"pass"}, found
    assert "7701 rows of" in found[ROWS][1]

    itself = Path(profile).with_name("itself.yaml")
    itself.write_text(Path(profile).read_text().replace(f"{SPACE}/new", f"{SPACE}/old"))
    done = cutover(["backup", "equal", "--cluster", str(itself)], 120)
    assert (done.returncode, "are the same PostgreSQL" in done.stdout) == (3, True), done

    assert "ERROR" not in script(space, "new", "billing", BREAK)
    found = compared(profile)
    assert {outcome for outcome, _ in found.values()} == {"fail"}, found
    rows, rest = found[ROWS][1], found[REST][1]
    for words in (
        "billing, public.payments: expected the same rows, seen 5000 and 4999: id 1 changed in "
        "amount, id 2 changed in note, id 3 changed in paid and 1 more",
        "billing, public.accounts: expected the same rows, seen 2000 and 2000",
        "changed in active",
        "billing, public.events_2026: expected the same rows, seen 700 and 702",
        "billing, pg_catalog.pg_largeobject: expected the same rows, seen 1 and 0",
    ):
        assert words in rows, rows
    for words in (
        "constraint positive on public.payments: expected CHECK ((amount > (0)::numeric)), seen",
        "not validated",
        "extension pgcrypto: expected it on both sides, seen on the source alone",
        "function public.folded(text): expected",
        "index public.paid: expected it on both sides",
        "large object 4711: expected it on both sides",
        "policy own on public.accounts: expected it on both sides",
        "role billing_service: expected nothing, seen at most 3 connections",
        "table public.payments: expected billing_service may INSERT",
    ):
        assert words in rest, rest
    assert "payments_id_seq: expected at least 5000, seen 10" in found[AHEAD][1]
    assert "public.folded_owner: expected an index that fits its table" in found[SOUND][1]


@pytest.mark.defect(
    "both sides have the same roles",
    "every role can do what it must",
    "no role can do what it must not",
)
def test_roles_with_less_or_more_than_their_rights_are_found(
    space: objects.Namespace, profile: str
) -> None:
    checks = (SAME, WORK, NO_MORE)
    found = ask(profile, "database-roles", *checks)
    assert {it: found[it][0] for it in checks} == dict.fromkeys(checks, "pass"), found

    more = """
    create role notification_service;
    revoke insert on payments from billing_service;
    grant update (note) on payments to billing_service;
    grant connect on database instance to public;
    """
    assert "ERROR" not in script(space, "new", "billing", more)
    found = ask(profile, "database-roles", *checks)
    told = {
        SAME: "notification_service: expected the role on both sides, seen on the target alone",
        WORK: "billing_service: expected that it may insert into payments, seen that it may not",
        NO_MORE: "billing_service: expected that it may not update payments, seen that it may; "
        "billing_service: expected that it may not connect to instance, seen that it may",
    }
    assert {it: found[it] for it in checks} == {it: ("fail", told[it]) for it in checks}
