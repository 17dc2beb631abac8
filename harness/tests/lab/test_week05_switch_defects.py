"""Seeded defects of a rehearsed switch: two PostgreSQL in pods, and what goes wrong meanwhile."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import yaml

from harness.core.waiting import until
from harness.move.rehearsal import DATABASE
from harness.settings import ROOT
from harness.tests.lab import objects
from harness.tests.lab.forked import cutover
from harness.tests.lab.test_week05_equality_defects import (
    SERVER,
    UNPRIVILEGED,
    script,
    service,
)
from harness.tests.lab.world import Ruling, World

SPACE = "test-switch"
# Once the writers are at the target, some of what they wrote is gone, twice there, or changed.
SPOILS = """
delete from writes where ctid in (select ctid from writes limit 2);
insert into writes select * from writes limit 1;
update accounts set balance = balance + 1 where id = 1;
"""
# A template cannot be dropped.
STAYS = f"update pg_database set datistemplate = true where datname = '{DATABASE}'"
GOES = f"update pg_database set datistemplate = false where datname = '{DATABASE}'"
# The way back is published, and there is something to lose.
MOVED = (
    "select 1 from pg_publication_tables where pubname = 'cutover_back' and tablename = 'writes' "
    "and (select count(*) > 3 from writes)"
)
# It has written nothing: streams would wait for its end before they begin.
HOLDS = "begin; select pg_sleep(40)"


# A database with an index on a function, whose dump moves.
BILLING = r"""
create role billing_service;
create database billing;
\c billing
create table accounts (name text primary key, owner text);
insert into accounts select md5(i::text), 'o' || i from generate_series(1, 500) i;
create table invoices (id serial primary key, amount numeric);
insert into invoices (amount) select i * 1.5 from generate_series(1, 2000) i;
create index on invoices (amount);
create function folded(text) returns text language sql immutable as 'select pg_catalog.lower($1)';
create index folded_owner on accounts (folded(owner));
"""
# What a restore has spoilt, before anyone looks.
LOSES = f"""
delete from invoices where id = 7;
drop index invoices_amount_idx;
select setval('invoices_id_seq', 3);
create or replace function folded(text) returns text language sql immutable
  as 'select pg_catalog.reverse($1)';
{STAYS};
"""
RESTORE = 'pg_restore "$@" && printf %s "$0" | '
CUT = (
    'pg_dump "$@" && for it in "$@"; do case $it in --file=*) file=${it#--file=};; esac; done; '
    '[ "$file" = /dev/null ] || truncate --size=$(($(stat -c %s "$file") * 60 / 100)) "$file"'
)
BESIDE = {"namespace": SPACE, "selector": "app=new", "folder": "/tmp", "database": "billing"}


@pytest.fixture
def space(world: World) -> Iterator[objects.Namespace]:
    with objects.namespace(world, SPACE) as space:
        for name, node in (("old", world.one), ("new", world.two)):
            command = (*UNPRIVILEGED, "sh", "-c", f"{SERVER} -c wal_level=logical")
            labels = {"app": name}
            space.apply(objects.pod(name, node.name, *command, labels=labels), service(name))
        space.ready("old", "new")
        for name in ("old", "new"):
            until(
                lambda name=name: script(space, name, "postgres", "select 1").strip() == "1",  # type: ignore[misc]
                within_s=120,
                what=f"{name} answers",
            )
        yield space


def rehearsed(world: World, move: str = "switch", targets: str = "", **changes: object) -> Ruling:
    """A rehearsed move between the two pods, and its verdict."""
    password = world.scratch / "password"
    password.write_text("secret\n")
    sides = {
        side: {"service": f"{SPACE}/{name}", "password_file": str(password)}
        for side, name in (("source", "old"), ("target", "new"))
    }
    addresses = {
        key: {"host": world.kubectl("get", "service", f"--namespace={SPACE}", name, ADDRESS)}
        for key, name in (("source_at", "old"), ("target_at", "new"))
    }
    declared = yaml.safe_dump({"equality": sides, move: addresses | changes}, width=1000)
    profile = world.profile_with(
        [
            (world.section("equality"), ""),
            (world.section("switch"), declared),
            ("\ntargets:\n", f"\ntargets:\n{targets}"),
        ]
    )
    options = ["--cluster", profile, "--allow-disruption", "--json"]
    done = cutover(["rehearse", move, *options], 300)
    assert done.stdout, done.stderr
    return Ruling(done.returncode, json.loads(done.stdout))


ADDRESS = "--output=jsonpath={.spec.clusterIP}"


def once(space: objects.Namespace, pod: str, query: str, words: str) -> None:
    """Run statements as soon as a query says 1: asked in the pod itself, many times a second.

    The pod goes on alone: kubectl waits a minute at most, and a busy computer moves slower.
    """
    psql = f"psql -XAtq --username=postgres --host=/tmp --dbname={DATABASE}"
    asked = f'until {psql} --command="$0" 2>/dev/null | grep -qx 1; do sleep 0.02; done'
    line = f'{asked}; printf %s "$1" | {psql}'
    # The pod's first process is PostgreSQL: to it, a child that ends with an error is a crash.
    ends = 'timeout 280 sh -c "$@"; exit 0'
    alone = f"setsid sh -c '{ends}' alone \"$@\" </dev/null >/dev/null 2>&1 &"
    space.run(pod, "env", "PGPASSWORD=secret", "sh", "-c", alone, "alone", line, query, words)


@pytest.mark.defect(
    "the switch lost no acknowledged write",
    "the switch left no write twice or from nowhere",
    "the bank kept its total through the switch",
    "writers were stopped only briefly",
    "the rehearsal leaves nothing behind",
)
def test_a_database_moves_there_and_back_and_what_is_spoilt_meanwhile_is_told(
    space: objects.Namespace, world: World
) -> None:
    ruling = rehearsed(world)
    measured = ruling["W5-DURABLE"]["measured"]
    assert (measured["lost_count"], measured["acknowledged_count"] > 0) == (0, True), measured
    assert 0 < measured["frozen_s"] < 60
    assert DATABASE not in script(space, "old", "postgres", "select datname from pg_database")

    late = "  W5-DURABLE:\n    frozen_s: {number: 0.001, because: no switch is that fast}\n"
    once(space, "new", MOVED, f"{SPOILS}{STAYS};")
    ruling = rehearsed(world, targets=late)
    script(space, "new", "postgres", GOES)
    assert ruling.status == 1
    reason = ruling.reason("W5-DURABLE")
    for words in ("lost", "there twice", "another total", "without writes"):
        assert words in reason, reason
    assert "it could not be removed" in journal(ruling)


def journal(ruling: Ruling) -> str:
    """What the run wrote down: a reason for FAIL hides the gaps beside it."""
    folder = ROOT / "reports" / str(ruling.document["run"])
    return (folder / "journal.jsonl").read_text(encoding="utf-8")


@pytest.mark.defect("the databases moved there and back")
def test_a_long_transaction_keeps_the_databases_where_they_are(
    space: objects.Namespace, world: World
) -> None:
    once(space, "old", "select 1", HOLDS)
    ruling = rehearsed(world, within_s=5, transaction_s=0.01)
    assert ruling.status == 1
    assert "expected no transaction over 0.01 s" in ruling.reason("W5-DURABLE")


@pytest.mark.defect(
    "the dump was restored",
    "every restored table holds the dumped rows",
    "everything beside the rows was restored",
    "no restored sequence is behind",
    "every restored index fits its table",
    "the dump leaves nothing behind",
)
def test_a_database_moves_by_a_dump_and_what_its_restore_loses_is_told(
    space: objects.Namespace, world: World
) -> None:
    script(space, "old", "postgres", BILLING)
    script(space, "new", "postgres", "create role billing_service")
    # The same password has another secret on each server, as each salts it.
    secret = script(space, "old", "postgres", "select rolpassword from pg_authid where rolcanlogin")
    script(space, "new", "postgres", f"alter role postgres password '{secret.strip()}'")
    ruling = rehearsed(world, "dump", **BESIDE)
    measured = ruling["W5-DURABLE"]["measured"]
    assert {"dump_s", "restore_s", "compare_s", "dump_gb"} <= {*measured}, ruling
    assert measured["differences_count"] == 0
    assert ruling.status == 0, ruling
    assert DATABASE not in script(space, "new", "postgres", "select datname from pg_database")

    psql = f"psql -XAtq --username=postgres --host=/tmp --dbname={DATABASE}"
    ruling = rehearsed(world, "dump", pg_restore=["sh", "-c", f"{RESTORE}{psql}", LOSES], **BESIDE)
    script(space, "new", "postgres", GOES)
    script(space, "new", "postgres", f"drop database {DATABASE}")
    assert ruling.status == 1
    reason = ruling.reason("W5-DURABLE")
    for words in ("id 7 missing", "invoices_amount_idx", "expected at least 2000", "folded_owner"):
        assert words in reason, reason
    assert "it could not be removed" in journal(ruling)

    ruling = rehearsed(world, "dump", pg_dump=["sh", "-c", CUT, "sh"], **BESIDE)
    assert ruling.status == 1
    assert "pg_restore ended with status 1" in ruling.reason("W5-DURABLE")
