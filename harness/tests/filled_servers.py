"""PostgreSQL and MariaDB of this host, each a small server of a test's own behind a socket file."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from harness.backup.equality.session import Server

HAS_POSTGRES = any(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
HAS_MARIADB = shutil.which("mariadbd") is not None
PORT = 5432
_WITHIN_S = 60
_NO_RIGHTS = 65534
_UNPRIVILEGED = ("setpriv", f"--reuid={_NO_RIGHTS}", f"--regid={_NO_RIGHTS}", "--clear-groups")


@contextmanager
def _folder(within: Path | None = None) -> Iterator[tuple[Path, Sequence[str]]]:
    """A folder in ``within``, and what starts a program that may write to it.

    No server runs as root: a user without rights runs it then.
    """
    with tempfile.TemporaryDirectory(prefix="cutover-", dir=within) as name:
        as_user: tuple[str, ...] = ()
        if os.geteuid() == 0:
            os.chown(name, _NO_RIGHTS, _NO_RIGHTS)
            as_user = _UNPRIVILEGED
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
def postgres(system: Path | None = None) -> Iterator[Postgres]:
    """A PostgreSQL with nothing in it: this host's, or that of another Debian ``system``'s folder.

    Only root can run a program of another system.
    """
    root = system or Path("/")
    programs = _programs(root)
    with _folder(system and system / "tmp") as (folder, as_user):
        start = as_user if system is None else ("chroot", str(system), *as_user)
        inside = Path("/") / folder.relative_to(root)
        data = inside / "data"
        make = ("--auth=trust", "--no-sync", "--username=postgres", "--locale=C.UTF-8")
        _run(*start, f"{programs}/initdb", *make, f"--pgdata={data}")
        options = f"-k {inside} -p {PORT} -c listen_addresses='' -c fsync=off"
        control = (*start, f"{programs}/pg_ctl", "-ws", f"--pgdata={data}", f"--log={inside}/log")
        _run(*control, "-o", options, "start")
        try:
            yield Postgres(folder)
        finally:
            _run(*control, "-m", "immediate", "stop")


def _programs(root: Path) -> Path:
    """The folder of the newest PostgreSQL's programs, as its system names it."""
    found = sorted(root.glob("usr/lib/postgresql/*/bin/initdb"))
    return Path("/") / found[-1].parent.relative_to(root)


def mariadb_answers(script: Iterable[str], question: str) -> list[str]:
    """Fill an empty MariaDB with a script, without any server, and ask it one question."""
    with _folder() as (folder, as_user):
        data = folder / "data"
        make = ("--no-defaults", "--skip-test-db", f"--datadir={data}")
        _run(*as_user, "mariadb-install-db", *make)
        own = ("--no-defaults", "--bootstrap", f"--datadir={data}")
        _run(*as_user, "mariadbd", *own, script=script)
        answer = folder / "answer"
        asked = f"{question} into outfile '{answer}' character set utf8mb4;\n"
        _run(*as_user, "mariadbd", *own, script=[asked])
        return answer.read_text(encoding="utf-8").splitlines()
