"""Writers of a bank on a real PostgreSQL whose standby is away."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from functools import partial
from pathlib import Path

import psycopg
import pytest

from harness.core.parallel import begin
from harness.core.waiting import until
from harness.ledger.writers import postgres as bank
from harness.ledger.writers.postgres import ACCOUNTS, Bank, open_bank
from harness.ledger.writers.protocol import DatabasePlace
from harness.tests.postgres_server import NEEDS_POSTGRES, postgres, psql
from harness.tests.switch_world import setup

pytestmark = NEEDS_POSTGRES

WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
COMMITTING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
# More than there are pairs of accounts: some have to wait for the rows of others.
WRITES = ACCOUNTS + 2


def test_writes_that_were_given_up_leave_the_server_its_connections(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bank, "_GIVE_UP", bank._GIVE_UP.replace("10s", "1s"))
    with tempfile.TemporaryDirectory() as folder, postgres(Path(folder)) as server:
        place = DatabasePlace(
            address=server.host, port=server.port, user="postgres", password="", name="postgres"
        )
        made = setup()
        open_bank(made, place)
        psql(server, "postgres", "ALTER SYSTEM SET synchronous_standby_names = 'away'")
        psql(server, "postgres", "SELECT pg_reload_conf()")

        def sessions(which: str) -> int:
            return int(psql(server, "postgres", which))

        writers = [Bank(made, number, lambda: place) for number in range(WRITES)]
        sent = [begin(partial(it.send, 0)) for it in writers]
        until(
            lambda: (
                sum(it.done() for it in sent) + sessions(WAITING) + sessions(COMMITTING) == WRITES
            ),
            within_s=60,
            what="every write waits, or has been refused",
        )
        for writer, call in zip(writers, sent, strict=True):
            writer.abandon()
            with suppress(psycopg.Error):
                call.result(timeout=30)
        until(lambda: sessions(WAITING) == 0, within_s=30, what="no session waits for a row")
        assert 1 <= sessions(COMMITTING) <= ACCOUNTS // 2
