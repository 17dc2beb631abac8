"""The platform's data from a seed, in this host's PostgreSQL and MariaDB."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Iterator
from itertools import islice

import pytest
import yaml

from harness.backup.equality.compare import compared
from harness.facts.databases import Database
from harness.lab.cloudnativepg.program import HERE
from harness.lab.databases import filestore, mariadb, postgres
from harness.tests import filled_servers
from harness.tests.filled_servers import HAS_MARIADB, HAS_POSTGRES, Postgres

SEED, ROWS = 86, 40
CUSTOMERS = ("acme_1a2b3c4d", "globex_5e6f7a8b")
INSTANCE = "odoo_acme_1a2b3c4d"
OURS = {"auth", "billing", "instance", "communication", "analytics"}
needs_postgres = pytest.mark.skipif(not HAS_POSTGRES, reason="there is no PostgreSQL here")
needs_mariadb = pytest.mark.skipif(not HAS_MARIADB, reason="there is no MariaDB here")


@pytest.fixture(scope="module")
def source() -> Iterator[Postgres]:
    with filled_servers.postgres() as server:
        server.psql("postgres", postgres(SEED, ROWS, CUSTOMERS))
        yield server


def digest(seed: int, rows: int) -> str:
    found = hashlib.sha256()
    for text in (*postgres(seed, rows, CUSTOMERS), *mariadb(seed, rows)):
        found.update(text.encode())
    for name, content in filestore(seed, CUSTOMERS[0], rows):
        found.update(name.encode() + content)
    return found.hexdigest()


def test_the_same_seed_and_rows_give_the_same_bytes() -> None:
    assert digest(SEED, ROWS) == digest(SEED, ROWS)
    assert len({digest(SEED, ROWS), digest(SEED + 1, ROWS), digest(SEED, ROWS + 1)}) == 3


def test_a_million_rows_are_not_held_in_memory() -> None:
    begun = islice(postgres(SEED, 1_000_000, CUSTOMERS), 1000)
    assert sum(map(len, begun)) < 1_000_000


@needs_postgres
def test_postgres_has_the_platforms_databases_roles_and_extensions(source: Postgres) -> None:
    names = source.psql("postgres", ["select datname from pg_database where not datistemplate"])
    assert set(names.split()) == OURS | {"postgres"} | {f"odoo_{it}" for it in CUSTOMERS}
    roles = source.psql("postgres", ["select rolname from pg_roles where rolname !~ '^pg_'"])
    services = {f"{it}_service" for it in ("auth", "billing", "instance", "database")}
    assert set(roles.split()) == {"postgres", "readonly_user", "backup_user", *services}
    assert (
        source.psql(
            "postgres", ["select rolreplication from pg_roles where rolname = 'backup_user'"]
        )
        == "t"
    )
    found = {
        extension
        for database in OURS
        for extension in source.psql(database, ["select extname from pg_extension"]).split()
    }
    assert found == {"plpgsql", "uuid-ossp", "pgcrypto", "pg_trgm", "tablefunc"}


@needs_postgres
def test_every_table_that_grows_has_the_rows_and_sequences_go_on_after_them(
    source: Postgres,
) -> None:
    counts = "select count(*) from payments; select count(*) from subscriptions"
    assert source.psql("billing", [counts]).split() == [str(ROWS)] * 2
    added = "insert into user_sessions (user_id, token, expires_at) select id, 'new', now()"
    after = source.psql("auth", [f"begin; {added} from users limit 1 returning id; rollback"])
    assert int(after) > ROWS
    # A table without a key, in which rows are there twice.
    every, different = "select count(*), count(distinct events) from events", f"{ROWS}|30"
    assert source.psql("analytics", [every]) == different


@needs_postgres
def test_large_objects_are_there_and_an_update_fires_the_trigger(source: Postgres) -> None:
    receipts = "select length(lo_get(receipt)) > 0 from payments where receipt is not null"
    assert source.psql("billing", [receipts]).split() == ["t", "t"]
    told = source.psql(
        "instance",
        [
            "begin; update instances set status = 'error' where name = 'shop 1' "
            "returning updated_at = now(); rollback"
        ],
    )
    assert told == "t"


@needs_postgres
def test_attachments_and_the_filestore_name_each_other(source: Postgres) -> None:
    files = dict(filestore(SEED, CUSTOMERS[0], ROWS))
    for name, content in files.items():
        sha1 = hashlib.sha1(content, usedforsecurity=False).hexdigest()
        assert name == f"{sha1[:2]}/{sha1}"
    lines = source.psql(
        INSTANCE,
        [
            "select store_fname, checksum, file_size from ir_attachment "
            "where store_fname is not null"
        ],
    ).splitlines()
    told = [line.split("|") for line in lines]
    assert {name for name, _, _ in told} == files.keys()
    # The same content of two attachments is one file.
    assert len(told) > len(files)
    assert {(name, sha1, int(size)) for name, sha1, size in told} == {
        (name, name.partition("/")[2], len(content)) for name, content in files.items()
    }


def fill(source: Postgres, target: Postgres) -> None:
    """Restore a dump as the lab's Job does."""
    job = yaml.safe_load((HERE / "manifests/fill.yaml").read_text())
    (container,) = job["spec"]["template"]["spec"]["containers"]
    at = {"SOURCE": str(source.folder), "TARGET": str(target.folder), "PGUSER": "postgres"}
    command = [*container["command"], *container["args"]]
    done = subprocess.run(
        command, env={**os.environ, **at}, capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    assert set(at) < {it["name"] for it in container["env"]}


@pytest.mark.slow
@needs_postgres
def test_a_dump_of_it_restores_as_equal_and_one_changed_row_and_libc_are_found(
    source: Postgres,
) -> None:
    with filled_servers.postgres() as target:
        for _ in range(2):  # also after a fill that broke off
            fill(source, target)
        found = compared(source.server, target.server, [*OURS, INSTANCE])
        for name, it in found.items():
            assert isinstance(it, Database), (name, it)
            assert not it.catalogue.value, (name, it.catalogue)  # type: ignore[union-attr]
            assert all(table.source == table.target for table in it.tables.values()), name  # type: ignore[union-attr]
        # As a copy from musl to glibc has it: the same locale, sorted by another library.
        target.psql("auth", ["update pg_database set datcollversion = '2.36'"])
        target.psql("auth", ["update users set email = email || 'x' where is_active = false"])
        changed = compared(source.server, target.server, ["auth"])["auth"]
        assert isinstance(changed, Database)
        assert changed.tables["public.users"].differing == ROWS // 17  # type: ignore[union-attr]
        (database,) = changed.catalogue.value  # type: ignore[union-attr]
        assert "collation version 2.36" in str(database.target)


@needs_mariadb
def test_mariadb_has_killbills_money_and_the_webhooks_address() -> None:
    answer = mariadb_text("select count(*), count(distinct name), max(name) from accounts")
    assert answer == [f"{ROWS}\t7\t漢字"]
    assert mariadb_text("select min(tenant_key) from tenant_kvs") == ["PUSH_NOTIFICATION_CB"]


def mariadb_text(question: str) -> list[str]:
    asked = question.replace(" from ", " from killbill.")
    return filled_servers.mariadb_answers(mariadb(SEED, ROWS), asked)
