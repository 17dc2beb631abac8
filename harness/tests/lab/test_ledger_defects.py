"""Positive controls of the ledger: it catches targets that lose or change acknowledged writes."""

from __future__ import annotations

import pytest

from harness.ledger.result import FAULT
from harness.ledger.targets import DURABLE, SERVE
from harness.tests.lab.kept import BANK, INVENTED, LOST, ON_TIME, ledger
from harness.tests.lab.world import World

_MAIN = 'if __name__ == "__main__":'
CHECKPOINT = (
    "PGPASSWORD=$(cat /secret/password) psql --host=127.0.0.1 --username=ledger --dbname=postgres "
    "--command=checkpoint"
)
# Leaves what it wrote to the client of its file system, which flushes a file when it is closed.
_WITHOUT_SYNC = """
OPEN = {}


def leave(folder, who, line):
    name = str(folder / f"{who}.{socket.gethostname()}.log")
    if name not in OPEN:
        OPEN[name] = open(name, "ab", buffering=0)
    OPEN[name].write(f"\\n{line}\\n".encode())


WAYS = {"append": leave, "rename": leave}
"""
# Answers at once, and writes what it has in memory every five seconds.
_FROM_MEMORY = """
import threading

KEPT = []


def later(*words):
    KEPT.append(words)


def write_behind():
    while not threading.Event().wait(5):
        due, KEPT[:] = list(KEPT), []
        for words in due:
            append(*words)


WAYS = {"append": later}
threading.Thread(target=write_behind, daemon=True).start()
"""


def serving(more: str) -> str:
    """The program that stores files, with extra code before it starts."""
    assert SERVE.count(_MAIN) == 1
    return SERVE.replace(_MAIN, f"{more}\n{_MAIN}")


@pytest.mark.defect(
    "no acknowledged write is lost",
    "the drill lost no acknowledged write",
    "the soak lost no acknowledged write",
    "the move loses no acknowledged write",
)
def test_a_database_that_commits_before_it_writes_its_log_is_caught(world: World) -> None:
    loose = {**DURABLE, "synchronous_commit": "off", "wal_writer_delay": "10s"}
    # Of rows alone, since a full page of the log is written at once: many fit into what is not.
    with ledger(world, "postgres", settings=loose, rate_per_s=20) as kept:
        kept.more()
        # The table itself must be on the disk, or no write follows at all.
        kept.kubectl("exec", "database-0", "--", "sh", "-c", CHECKPOINT)
        kept.more(40)
        kept.books.mark(FAULT)
        # All but the first process: it starts the others anew, on what is on the disk.
        kept.kubectl("exec", "database-0", "--", "sh", "-c", "kill -KILL -1")
        kept.more()
        kept.red(LOST, "postgres: expected all of", "lost (postgres/")


@pytest.mark.long
@pytest.mark.defect("no acknowledged write is lost")
def test_files_that_are_not_synced_are_caught_when_their_client_dies(world: World) -> None:
    with ledger(world, "cephfs", serve=serving(_WITHOUT_SYNC)) as kept:
        kept.more(30)
        kept.books.mark(FAULT)
        world.do(world.two, "systemctl", "kill", "--kill-whom=main", "-s", "KILL", "mnt-cephfs")
        kept.more()
        kept.red(LOST, "cephfs: expected all of", "lost (cephfs/1 ")


@pytest.mark.long
@pytest.mark.defect("no acknowledged write is lost")
def test_a_service_that_answers_from_memory_is_caught_when_it_is_killed(world: World) -> None:
    with ledger(world, "http", serve=serving(_FROM_MEMORY)) as kept:
        kept.more(40)
        kept.books.mark(FAULT)
        kept.kill("--selector=cutover/pod=http")
        kept.more()
        kept.red(LOST, "http: expected all of")
        # What was in memory at the end is missing too: one of before the fault must be.
        assert kept.tallies["http"].rpo_s > 0


@pytest.mark.defect(
    "no write is there twice or was never made",
    "the bank's total never changed",
    "writing went on again in time",
    "the drill left no write twice or from nowhere",
    "writing went on in time",
    "the bank kept its total through the drill",
    "the soak left no write twice or from nowhere",
    "the bank kept its total through the soak",
)
def test_rows_money_and_time_that_nobody_gave_are_caught(world: World) -> None:
    with ledger(world, "postgres", "bank", "http") as kept:
        kept.more()
        kept.books.mark(FAULT)
        kept.sql("INSERT INTO writes SELECT * FROM writes WHERE writer = 'postgres/0' LIMIT 2")
        kept.sql("INSERT INTO writes VALUES ('postgres/1', 999999, 'f00')")
        kept.sql("UPDATE accounts SET balance = balance + 1 WHERE id = 3")
        kept.kubectl("scale", "deployment/http", "--replicas=0")
        kept.kubectl("wait", "--for=delete", "pod", "--selector=cutover/pod=http", "--timeout=60s")
        kept.more(of=["postgres"])
        kept.kubectl("scale", "deployment/http", "--replicas=2")
        kept.more()
        kept.red(
            INVENTED, "postgres: expected each write once, seen 2 there twice", "no writer made"
        )
        kept.red(BANK, "bank: expected 800 in each of", "801, not 800")
        kept.red(ON_TIME, "http: expected writing to go on within 1 s", outage_s=1.0)
