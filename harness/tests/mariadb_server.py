"""A real MariaDB for tests: on a socket file in a folder of its own, without a network.

A test is skipped where it is not installed: Debian's mariadb-server-core and mariadb-client.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pymysql
import pytest

from harness.backup.equality.mariadb.session import Server
from harness.core.waiting import until

_UNPRIVILEGED = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
_PASSWORD = "secret"
_STARTS_WITHIN_S = 120


@contextmanager
def mariadb() -> Iterator[Server]:
    """A server as its root reaches it; its data is in ``data`` beside the socket."""
    for program in ("mariadbd", "mariadb-install-db", "mariadb-dump"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    # A socket's path has at most 107 bytes, so it is in no folder of pytest's.
    with tempfile.TemporaryDirectory(prefix="cutover-db-", dir="/tmp") as name:
        shutil.chown(name, 65534, 65534)
        data, socket = Path(name) / "data", Path(name) / "s"
        own = (*_UNPRIVILEGED, "mariadb-install-db", "--no-defaults", f"--datadir={data}")
        _run(*own, "--auth-root-authentication-method=normal", "--skip-test-db")
        settings = ("--skip-networking", "--innodb-flush-log-at-trx-commit=0")
        server = ("mariadbd", "--no-defaults", f"--datadir={data}", f"--socket={socket}")
        with subprocess.Popen(
            (*_UNPRIVILEGED, *server, *settings),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            try:
                until(lambda: _answers(socket), within_s=_STARTS_WITHIN_S, what="MariaDB answers")
                _ask(socket, f"set password for root@localhost = password('{_PASSWORD}')")
                yield Server(str(socket), "root", _PASSWORD)
            finally:
                process.terminate()


def script(server: Server, statements: str, database: str = "") -> None:
    """Run statements as root; all must succeed."""
    client = ("mariadb", "--no-defaults", f"--user={server.user}", f"--password={server.password}")
    _run(*client, f"--socket={server.socket}", database, text=statements)


def _answers(socket: Path) -> bool:
    try:
        # PyMySQL leaves its socket open when there is none to connect to.
        return socket.exists() and _ask(socket, "select 1")
    except pymysql.Error:
        return False


def _ask(socket: Path, statement: str) -> bool:
    with pymysql.connect(unix_socket=str(socket), user="root") as connection:
        connection.cursor().execute(statement)
    return True


def _run(*command: str, text: str = "") -> None:
    done = subprocess.run(
        [it for it in command if it],
        input=text,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, f"{command[0]}: {done.stdout}"
