"""PostgreSQL and MariaDB of this host, each a small server of a test's own behind a socket file."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from harness.backup.equality.session import Server

_FOUND = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
HAS_POSTGRES = bool(_FOUND)
HAS_MARIADB = shutil.which("mariadbd") is not None
PORT = 5432
_WITHIN_S = 60


@contextmanager
def _folder(user: str) -> Iterator[tuple[Path, Sequence[str]]]:
    """A folder of a user, and what starts a program as him; both of ours, if we are not root."""
    with tempfile.TemporaryDirectory(prefix="cutover-") as name:
        as_user: tuple[str, ...] = ()
        if os.geteuid() == 0:
            entry = pwd.getpwnam(user)
            os.chown(name, entry.pw_uid, entry.pw_gid)
            as_user = ("setpriv", f"--reuid={user}", f"--regid={entry.pw_gid}", "--clear-groups")
        yield Path(name), as_user


def _run(*argv: str, script: Iterable[str] = ()) -> str:
    done = subprocess.run(
        argv, input="".join(script), capture_output=True, text=True, timeout=_WITHIN_S, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@dataclass(frozen=True)
class Postgres:
    """A running PostgreSQL; everybody on this host may be its superuser."""

    folder: Path

    @property
    def server(self) -> Server:
        return Server(str(self.folder), PORT, "postgres", "unused")

    def psql(self, database: str, script: Iterable[str]) -> str:
        """Run a script to its end, with rows as lines of fields between bars."""
        command = ("psql", "-XAtq", "-v", "ON_ERROR_STOP=1", *self._at, f"--dbname={database}")
        return _run(*command, script=script).strip()

    @property
    def _at(self) -> Sequence[str]:
        return (f"--host={self.folder}", f"--port={PORT}", "--username=postgres")


@contextmanager
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL with nothing in it."""
    programs = _FOUND[-1].parent
    with _folder("postgres") as (folder, as_user):
        data = folder / "data"
        make = ("--auth=trust", "--no-sync", "--username=postgres", f"--pgdata={data}")
        _run(*as_user, f"{programs}/initdb", *make)
        options = f"-k {folder} -p {PORT} -c listen_addresses='' -c fsync=off"
        control = (*as_user, f"{programs}/pg_ctl", "-ws", f"--pgdata={data}", f"--log={folder}/log")
        _run(*control, "-o", options, "start")
        try:
            yield Postgres(folder)
        finally:
            _run(*control, "-m", "immediate", "stop")


def mariadb_answers(script: Iterable[str], question: str) -> list[str]:
    """Fill an empty MariaDB with a script, without any server, and ask it one question."""
    with _folder("nobody") as (folder, as_user):
        data = folder / "data"
        make = ("--no-defaults", "--skip-test-db", f"--datadir={data}")
        _run(*as_user, "mariadb-install-db", *make)
        own = ("--no-defaults", "--bootstrap", f"--datadir={data}")
        _run(*as_user, "mariadbd", *own, script=script)
        answer = folder / "answer"
        asked = f"{question} into outfile '{answer}' character set utf8mb4;\n"
        _run(*as_user, "mariadbd", *own, script=[asked])
        return answer.read_text(encoding="utf-8").splitlines()
