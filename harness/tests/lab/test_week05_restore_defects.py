"""Seeded defects of W5-RESTORE and W9-BACKUP: a customer in one pod, restored into another."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

import pytest
import yaml

from harness.core.waiting import until
from harness.tests.lab import objects
from harness.tests.lab.forked import cutover
from harness.tests.lab.test_week05_equality_defects import (
    SERVER,
    UNPRIVILEGED,
    script,
    service,
)
from harness.tests.lab.world import Ruling, World

SPACE = "test-restore"
CUSTOMER = "odoo_demo"
SEED = r"""
create role odoo login;
create database odoo_demo;
\c odoo_demo
create table ir_config_parameter (key text primary key, value text);
insert into ir_config_parameter values ('database.uuid', '6d1c0000-demo');
create table ir_attachment (id serial primary key, store_fname text);
insert into ir_attachment (store_fname) values ('FILE');
create table partner (id serial primary key, name text not null);
insert into partner (name) select 'partner ' || i from generate_series(1, 500) i;
alter table partner owner to odoo;
create table heartbeat (at timestamptz not null);
"""
FILES = f"""
set -e
mkdir -p /tmp/data/filestore/{CUSTOMER} /tmp/restored /data/backups
cd /tmp/data/filestore/{CUSTOMER}
printf 'an invoice' > content
name=$(sha1sum content | cut -c1-40)
mkdir -p "$(printf %.2s "$name")"
mv content "$(printf %.2s "$name")/$name"
echo "$(printf %.2s "$name")/$name"
"""
PLATFORM = f"""
set -e
export PGPASSWORD=secret
cd /data/backups
name={CUSTOMER}_$(date +%s%N)
pg_dump --host=/tmp --username=postgres {CUSTOMER} > "$name"_database.sql
tar -C /tmp/data -czf "$name"_data.tar.gz .
echo '{{"database_name": "{CUSTOMER}", "status": "completed"}}' > "$name"_metadata.json
"""
CUT = """
sql="$name"_database.sql
truncate -s $(($(stat -c %s $sql) * 60 / 100)) $sql
"""
# Nothing is missing in such a dump when its last tenth is cut off: the defect is not noticed.
BLANK = """
yes '' | head -c 100000 >> "$name"_database.sql
"""
SPOILS = """
set -e
export PGPASSWORD=secret
psql="psql --quiet --host=/tmp --username=postgres"
$psql --dbname=postgres --command='create database {restored}'
$psql --dbname={restored} --file=/data/backups/{backup}_database.sql
$psql --dbname={restored} --command='delete from partner where id = 7'
mkdir -p {folder}/filestore/{restored}
"""
PSQL = ["env", "PGPASSWORD=secret", "psql", "--username=postgres", "--host=/tmp"]


@pytest.fixture
def space(world: World) -> Iterator[objects.Namespace]:
    with objects.namespace(world, SPACE) as space:
        space.apply(objects.claim("backups", "1Gi"))
        for name, node in (("old", world.one), ("new", world.two)):
            command = (*UNPRIVILEGED, "sh", "-c", SERVER)
            labels = {"app": name}
            one = objects.pod(name, node.name, *command, claim="backups", labels=labels)
            space.apply(one, service(name))
        space.ready("old", "new")
        for name in ("old", "new"):
            until(
                lambda name=name: script(space, name, "postgres", "select 1").strip() == "1",  # type: ignore[misc]
                within_s=120,
                what=f"{name} answers",
            )
        file = space.run("old", "sh", "-c", FILES).strip()
        space.run("new", "mkdir", "-p", "/tmp/restored")
        assert "ERROR" not in script(space, "old", "postgres", SEED.replace("FILE", file))
        script(space, "new", "postgres", "create role odoo login")
        yield space


def profile(
    world: World, then: str = "", target: Mapping[str, object] | None = None, **changes: object
) -> str:
    """The lab's profile with the round trip of this customer; ``then`` spoils its backup."""
    password = world.scratch / "password"
    password.write_text("secret\n")
    sides = {
        name: {
            "namespace": SPACE,
            "selector": f"app={name}",
            "server": {"service": f"{SPACE}/{name}", "password_file": str(password)},
            "backups": "/data/backups",
        }
        for name in ("old", "new")
    }
    told = {
        "customers": {"demo": {"database": CUSTOMER, "folder": "/tmp/data"}},
        "source": sides["old"],
        "target": {**sides["new"], "folder": "/tmp/restored", "psql": PSQL, **(target or {})},
        "backup": {"command": ["bash", "-c", PLATFORM + then]},
        "heartbeat": {
            "write": "insert into public.heartbeat values (now())",
            "newest": "select max(at) from public.heartbeat",
        },
        "answer": {"sql": "select count(*) > 400 from public.partner", "says": "True"},
        "mutations": {"public.heartbeat": {"rows": "true", "because": "the drill writes it"}},
        "different": {"role *": "roles belong to the server"},
    }
    text = yaml.safe_dump({"restore": {**told, **changes}}, width=1000)
    late = "rto_minutes: {number: 0.0001, because: no restore is that fast}"
    targets = f"\ntargets:\n  W5-RESTORE:\n    {late}\n" if target else "\ntargets:\n"
    return world.profile_with([("\nstack:", f"\n{text}\nstack:"), ("\ntargets:\n", targets)])


def drilled(profile: str) -> Ruling:
    options = ["--cluster", profile, "--customer", "demo", "--allow-disruption", "--json"]
    done = cutover(["backup", "drill", *options], 400)
    assert done.stdout, done.stderr
    return Ruling(done.returncode, json.loads(done.stdout))


@pytest.mark.defect("the restore leaves nothing behind")
def test_a_backup_comes_back_from_one_pod_into_another_and_what_stays_is_told(
    space: objects.Namespace, world: World
) -> None:
    ruling = drilled(profile(world))
    assert ruling.status == 0, ruling.document
    assert ruling.outcome("W5-RESTORE") == ruling.outcome("W9-BACKUP") == "pass"
    assert ruling["W9-BACKUP"]["measured"] == {"differences_count": 0.0, "undetected_count": 0.0}
    assert "cutover_restored" not in script(
        space, "new", "postgres", "select datname from pg_database"
    )
    assert space.run("new", "ls", "/tmp/restored") == ""

    ruling = drilled(profile(world, target={"remove": ["false"]}))
    assert ruling.outcome("W9-BACKUP") == "not_proven", ruling.document
    assert "what it made: false ended with status 1" in ruling.reason("W9-BACKUP")


@pytest.mark.usefixtures("space")
@pytest.mark.defect("a whole backup of the customer is made")
def test_a_dump_that_is_cut_is_never_restored(world: World) -> None:
    ruling = drilled(profile(world, CUT))
    assert ruling.status == 1
    for requirement in ("W5-RESTORE", "W9-BACKUP"):
        assert "cut: the dump ends" in ruling.reason(requirement)


@pytest.mark.usefixtures("space")
@pytest.mark.defect(
    "the inspection notices every known defect",
    "the restored database is the customer's",
    "the restored files are the customer's",
    "every restored row finds its file",
    "the restored customer is served in time",
    "little enough work is lost",
)
def test_a_restore_that_loses_data_and_is_late_is_red_for_each(
    world: World,
) -> None:
    target = {"command": ["bash", "-c", SPOILS]}
    heartbeat = {"newest": "select now() - interval '40 minutes'"}
    ruling = drilled(profile(world, BLANK, target, heartbeat=heartbeat))
    assert ruling.status == 1
    first, last = ruling.reason("W5-RESTORE"), ruling.reason("W9-BACKUP")
    for words in (
        "public.partner: expected the same rows, seen 500 and 499: id 7 missing",
        "1 files were not restored",
        "1 rows name a missing file",
    ):
        assert words in first, first
        assert words in last, last
    for words in ("expected an answer within 0.0001 min", "expected at most 15 min of work lost"):
        assert words in first, first
    assert "dump cut at 90 %: expected the inspection to notice it" in last, last
