"""W5-POSTGRES, W5-EQUAL and W5-DURABLE on the lab's own databases: whole, and broken."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from harness.lab import cloudnativepg
from harness.tests.lab.asking import ask
from harness.tests.lab.forked import cutover
from harness.tests.lab.kept import LOST as NOTHING_LOST
from harness.tests.lab.kept import ledger
from harness.tests.lab.world import World

ALONE = "no write is acknowledged by the primary alone"
ROWS, REST = "every table holds the same rows", "everything beside the rows is the same"
LOST = "the drill lost no acknowledged write"
AHEAD, SOUND = "no sequence is behind", "every index fits its table"
IN = f"--namespace={cloudnativepg.NAMESPACE}"
PRIMARY = "--selector=cnpg.io/cluster=postgres,cnpg.io/instanceRole=primary"
NAME = "--output=jsonpath={.items[0].metadata.name}"


def sql(world: World, database: str, words: str) -> str:
    """psql's answer at the primary, whichever pod that is now."""
    pod = world.kubectl("get", "pods", IN, PRIMARY, NAME)
    psql = ("psql", "--username=postgres", f"--dbname={database}", "-XAtqc", words)
    return world.kubectl("exec", IN, pod, "--container=postgres", "--", *psql).strip()


def equal(world: World) -> dict[str, tuple[str, str]]:
    done = cutover(["backup", "equal", "--cluster", world.lab.name, "--json"], 180)
    verdicts = json.loads(done.stdout)["verdicts"]
    return {name: (it["outcome"], it["reason"]) for name, it in verdicts.items()}


@contextmanager
def falls_back(world: World) -> Iterator[None]:
    """Let the operator write without a standby when none is there."""
    path = "spec/postgresql/synchronous/dataDurability"

    def set_to(value: str) -> None:
        patch = json.dumps([{"op": "replace", "path": f"/{path}", "value": value}])
        world.kubectl(
            "patch", "cluster.postgresql.cnpg.io/postgres", IN, "--type=json", "-p", patch
        )

    set_to("preferred")
    try:
        yield
    finally:
        set_to("required")


@pytest.mark.defect(ALONE, ROWS, REST, AHEAD)
def test_an_operator_that_falls_back_and_one_changed_file_of_a_customer_are_found(
    world: World,
) -> None:
    customer = "odoo_acme_1a2b3c4d"
    with falls_back(world):
        outcome, reason = ask(world.lab.name, "postgres", ALONE)[ALONE]
    assert (outcome, "seen preferred" in reason) == ("fail", True), reason
    sql(world, customer, "update ir_attachment set file_size = file_size + 1 where id = 1")
    sql(world, "auth", "select setval('user_sessions_id_seq', 1)")
    sql(world, "auth", "alter role backup_user noreplication")
    try:
        found = equal(world)
    finally:
        sql(world, customer, "update ir_attachment set file_size = file_size - 1 where id = 1")
        sql(world, "auth", "select setval('user_sessions_id_seq', 63)")
        sql(world, "auth", "alter role backup_user replication")
    assert {found[it][0] for it in (ROWS, REST, AHEAD)} == {"fail"}, found
    assert f"{customer}, public.ir_attachment" in found[ROWS][1]
    assert "id 1 changed in file_size" in found[ROWS][1]
    assert "role backup_user: expected replication" in found[REST][1]
    assert "user_sessions_id_seq" in found[AHEAD][1]


def test_the_labs_new_databases_equal_the_old_ones_and_wait_for_a_standby(world: World) -> None:
    """After those defects: what they changed is as it was."""
    found = equal(world)
    assert {outcome for outcome, _ in found.values()} == {"pass"}, found
    assert set(found) == {ROWS, REST, AHEAD, SOUND}
    assert ask(world.lab.name, "postgres", ALONE)[ALONE][0] == "pass"


def drill(
    world: World, name: str = "kill-primary", within_s: float = 600
) -> subprocess.CompletedProcess[str]:
    words = ["--allow-disruption", "--json", "--cluster", world.lab.name]
    return cutover(["drill", name, *words], within_s)


@pytest.mark.defect(LOST)
def test_writes_that_vanish_from_the_platforms_own_database_are_missed(world: World) -> None:
    """By the ledger of ``kill-primary`` alone: the next test kills the primary beside it."""
    with ledger(world, "primary") as kept:
        kept.more(20)
        some = "(select ctid from writes limit 3)"
        sql(world, kept.targets.space.replace("-", "_"), f"delete from writes where ctid in {some}")
        kept.red(NOTHING_LOST, "primary: expected all of", "acknowledged writes, seen 3 lost")


def test_the_primary_is_killed_and_nothing_that_was_acknowledged_is_lost(world: World) -> None:
    before = world.kubectl("get", "pods", IN, PRIMARY, NAME)
    done = drill(world)
    assert done.returncode == 0, done.stdout + done.stderr
    assert world.kubectl("get", "pods", IN, PRIMARY, NAME) != before
    # The drill's own database is gone.
    left = "select count(*) from pg_database where datname like 'cutover%'"
    assert sql(world, "postgres", left) == "0"


@pytest.mark.long
def test_the_disk_of_the_primary_is_full_and_nothing_that_was_acknowledged_is_lost(
    world: World,
) -> None:
    """A claim of the lab is a folder of CephFS with a quota: a sparse file fills it."""
    done = drill(world, "fill-primary-volume", 1200)
    assert done.returncode == 0, done.stdout + done.stderr
    for node in world.lab.nodes:
        found = world.do(node, "find", "/mnt/cephfs/volumes", "-name", "cutover-fill-*")
        assert not found
