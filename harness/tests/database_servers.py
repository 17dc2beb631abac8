"""Real servers of databases for tests: on socket files in a folder of their own, without a network.

A test is skipped where the server is not installed: Debian's postgresql-15 and mariadb-server.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pymysql
import pytest

from harness.core.waiting import until

# Neither server runs as root.
_UNPRIVILEGED = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
_PASSWORD = "secret"
_STARTS_WITHIN_S = 60
_POSTGRES = Path("/usr/lib/postgresql/15/bin")


@contextmanager
def mariadb(*more: str) -> Iterator[Path]:
    """The socket file of a MariaDB; root's password is ``secret``."""
    _need("mariadbd", "mariadb-install-db")
    with _folder() as folder:
        data, socket = folder / "data", folder / "s"
        _run(
            *_UNPRIVILEGED,
            "mariadb-install-db",
            "--no-defaults",
            f"--datadir={data}",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
        )
        settings = ("--skip-networking", "--innodb-flush-log-at-trx-commit=0", *more)
        server = ("mariadbd", "--no-defaults", f"--datadir={data}", f"--socket={socket}", *settings)
        with _started(server, socket, lambda: _asked_mariadb(socket, "")):
            _asked_mariadb(socket, "", f"set password for root@localhost = password('{_PASSWORD}')")
            yield socket


def _asked_mariadb(socket: Path, password: str, statement: str = "select 1") -> None:
    with pymysql.connect(unix_socket=str(socket), user="root", password=password) as connection:
        connection.cursor().execute(statement)


def mariadb_script(socket: Path, script: str, database: str = "") -> None:
    """Run statements as root; raises when one fails."""
    client = ("mariadb", "--no-defaults", "--user=root", f"--password={_PASSWORD}")
    _run(*client, f"--socket={socket}", database, text=script)


@contextmanager
def postgresql(*more: str) -> Iterator[Path]:
    """The folder of the socket of a PostgreSQL on port 5432; postgres' password is ``secret``."""
    _need(str(_POSTGRES / "initdb"))
    with _folder() as folder:
        data, password = folder / "data", folder / "password"
        password.write_text(_PASSWORD)
        _run(
            *_UNPRIVILEGED,
            str(_POSTGRES / "initdb"),
            f"--pgdata={data}",
            f"--pwfile={password}",
            "--username=postgres",
            "--auth=scram-sha-256",
            "--no-sync",
        )
        settings = ("-c", "listen_addresses=", "-c", "fsync=off", *more)
        server = (str(_POSTGRES / "postgres"), "-D", str(data), "-k", str(folder), *settings)
        listens = folder / ".s.PGSQL.5432"
        with _started(server, listens, lambda: postgresql_script(folder, "select 1")):
            yield folder


def postgresql_script(folder: Path, script: str, database: str = "postgres") -> None:
    """Run statements as the superuser, each in a transaction of its own."""
    where = f"host={folder} user=postgres password={_PASSWORD} dbname={database}"
    with psycopg.connect(where, autocommit=True) as connection:
        for statement in filter(None, map(str.strip, script.split(";\n"))):
            connection.execute(statement.encode())


def _need(*programs: str) -> None:
    for program in programs:
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")


@contextmanager
def _folder() -> Iterator[Path]:
    """A folder of the unprivileged user; a socket's path has at most 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="cutover-db-", dir="/tmp") as name:
        shutil.chown(name, 65534, 65534)
        yield Path(name)


@contextmanager
def _started(server: Sequence[str], listens: Path, answers: Callable[[], object]) -> Iterator[None]:
    def is_up() -> bool:
        assert process.poll() is None, f"{server[0]} ended: {process.communicate()[0]}"
        if not listens.exists():
            return False
        try:
            answers()
        except (psycopg.Error, pymysql.Error):
            return False
        return True

    process = subprocess.Popen(
        (*_UNPRIVILEGED, *server),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        until(is_up, within_s=_STARTS_WITHIN_S, what=f"{server[0]} answers")
        yield
    finally:
        process.terminate()
        process.communicate(timeout=_STARTS_WITHIN_S)


def _run(*command: str, text: str = "") -> None:
    done = subprocess.run(
        [it for it in command if it],
        input=text,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, f"{command[0]}: {done.stdout}"
