"""A database server that falls silent holds up no comparison: it is unreachable."""

from __future__ import annotations

import socket
import tempfile
from contextlib import closing
from pathlib import Path

import pytest

from harness.backup.equality import compare, session
from harness.backup.equality.mariadb import compare as mariadb
from harness.backup.equality.mariadb.session import Server as MariaDB
from harness.core.errors import Unreachable
from harness.tests.postgres_server import IS_THERE, postgres, silent_after_log_in

SOON_S = 0.5


@pytest.mark.slow
@pytest.mark.skipif(not IS_THERE, reason="no PostgreSQL")
def test_a_postgresql_that_falls_silent_after_the_log_in_is_unreachable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("harness.backup.equality.session._ANSWERS_WITHIN_S", SOON_S)
    with (
        tempfile.TemporaryDirectory(prefix="cutover-pg-", dir="/tmp") as place,
        postgres(Path(place)) as server,
        silent_after_log_in(server) as silent,
    ):
        for pair in ((silent, server), (server, silent)):
            with pytest.raises(Unreachable, match=r"no answer within 0\.5 s"):
                compare.compared(*pair)
        with pytest.raises(Unreachable, match=r"no answer within 0\.5 s"):
            session.names(silent)


def test_a_mariadb_that_accepts_and_says_nothing_is_unreachable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("harness.backup.equality.mariadb.session._ANSWERS_WITHIN_S", SOON_S)
    with (
        tempfile.TemporaryDirectory(prefix="cutover-db-", dir="/tmp") as place,
        closing(socket.socket(socket.AF_UNIX)) as silent,
    ):
        silent.bind(f"{place}/s")
        silent.listen()
        server = MariaDB(f"{place}/s", "root", "secret")
        with pytest.raises(Unreachable, match=r"timed out|Lost connection"):
            mariadb.compared(server, server)
