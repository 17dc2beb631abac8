"""A real PostgreSQL in a folder of its own, for tests; and a shell to this machine."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

import pytest

from harness.backup.equality.session import Server
from harness.core.errors import TimedOut
from harness.core.waiting import until
from harness.transport import Completed

BINARIES = Path("/usr/lib/postgresql/15/bin")
IS_THERE = (BINARIES / "postgres").exists()
NEEDS_POSTGRES = [
    pytest.mark.slow,
    pytest.mark.skipif(not IS_THERE, reason=f"no PostgreSQL in {BINARIES}"),
]
# ReadyForQuery, idle: the end of a log-in (PostgreSQL, "Message Formats").
_READY = b"Z\x00\x00\x00\x05I"
_UNPRIVILEGED = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
_SETTINGS = (
    *("-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=30"),
    *("-c", "shared_buffers=16MB", "-c", "autovacuum=off"),
)


class ThisShell:
    """Every machine is this one; ``before`` may answer in its place."""

    def __init__(self) -> None:
        self.before: Callable[[str, Sequence[str]], Completed | None] = lambda *_: None

    def run(
        self,
        machine: str,
        argv: Sequence[str],
        *,
        stdin: str = "",
        within_s: float = 30.0,
        hear: Callable[[str], None] | None = None,
    ) -> Completed:
        answer = self.before(machine, argv)
        if answer is not None:
            return answer
        path = f"{BINARIES}:{os.environ['PATH']}"
        try:
            done = subprocess.run(
                argv,
                input=stdin,
                capture_output=True,
                text=True,
                check=False,
                timeout=within_s,
                env={**os.environ, "PATH": path},
            )
        except subprocess.TimeoutExpired as error:
            raise TimedOut(f"{machine}: {argv[0]}: no answer within {within_s} s") from error
        return Completed(status=done.returncode, stdout=done.stdout, stderr=done.stderr)

    def close(self) -> None:
        """Nothing is open."""


@contextmanager
def postgres(folder: Path, port: int = 5432, *settings: str) -> Iterator[Server]:
    """A server whose socket is in ``folder``; it trusts everyone on this machine.

    A folder ``data`` is used as it is, once its server has ended. ``settings`` are more of
    postgres' own words: ``-c``, ``wal_level=logical``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    own: tuple[str, ...] = ()
    if os.geteuid() == 0:
        own = _UNPRIVILEGED
        shutil.chown(folder, 65534, 65534)
    data = str(folder / "data")
    if not Path(data).exists():
        initdb = (str(BINARIES / "initdb"), f"--pgdata={data}", "--no-sync", "--username=postgres")
        _must((*own, *initdb, "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8"))
    log = (folder / "log").open("wb")
    command = (*own, str(BINARIES / "postgres"), "-D", data, "-k", str(folder), *_SETTINGS)
    words = (*command, *settings, "-p", str(port))
    with log, subprocess.Popen(words, stdout=log, stderr=log) as process:
        try:
            ready = (str(BINARIES / "pg_isready"), "-q", "-h", str(folder), "-p", str(port))
            until(
                lambda: subprocess.run(ready, check=False).returncode == 0,
                within_s=120,
                every_s=0.05,
                what="PostgreSQL answers",
            )
            yield Server(str(folder), port, "postgres", "unused")
        finally:
            process.send_signal(signal.SIGINT)  # does not wait for clients


def psql(server: Server, database: str, statements: str) -> str:
    """The answer of a script; it must succeed."""
    words = ("-h", server.host, "-p", str(server.port), "-U", "postgres", "-d", database)
    options = ("-XAtq", "--set=ON_ERROR_STOP=1")
    return _must((str(BINARIES / "psql"), *words, *options), statements)


def _must(argv: Sequence[str], stdin: str = "") -> str:
    done = subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextmanager
def silent_after_log_in(server: Server) -> Iterator[Server]:
    """The server behind a way that carries each log-in, and nothing after it."""
    with tempfile.TemporaryDirectory(prefix="cutover-pg-") as place, ExitStack() as held:
        way = held.enter_context(closing(socket.socket(socket.AF_UNIX)))
        way.bind(f"{place}/.s.PGSQL.{server.port}")
        way.listen()

        def carry(client: socket.socket, there: socket.socket) -> None:
            there.connect(f"{server.host}/.s.PGSQL.{server.port}")
            there.sendall(client.recv(8192))
            answer = b""
            while not answer.endswith(_READY):
                answer += there.recv(8192)
            client.sendall(answer)

        def accept() -> None:
            with suppress(OSError):  # the way is closed
                while True:
                    client, _ = way.accept()
                    held.callback(client.close)
                    there = held.enter_context(closing(socket.socket(socket.AF_UNIX)))
                    carry(client, there)

        threading.Thread(target=accept, daemon=True).start()
        held.callback(way.shutdown, socket.SHUT_RDWR)
        yield Server(place, server.port, server.user, server.password)
