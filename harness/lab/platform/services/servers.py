"""Servers of the platform in its own image: KillBill's MariaDB, and customers' PostgreSQL."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from . import settings

MARIADB = Path("/var/lib/mysql/data")
# Beside the program in the image.
SCRIPT = Path(__file__).parents[1] / "killbill.sql"
# Debian's user of MariaDB comes with packages that the image does without: its user and group
# without rights do as well.
NO_RIGHTS = 65534
WITHOUT_RIGHTS = ["setpriv", f"--reuid={NO_RIGHTS}", f"--regid={NO_RIGHTS}", "--clear-groups"]
# CephFS has no native asynchronous writes.
SMALL = ["--no-defaults", "--innodb-log-file-size=8M", "--innodb-use-native-aio=off"]
SERVER = ["--bind-address=0.0.0.0", "--performance-schema=off", "--innodb-buffer-pool-size=8M"]
# As they are, these two take 60 MB of an idle server.
SERVER += ["--innodb-log-buffer-size=2M", "--aria-pagecache-buffer-size=1M"]

POSTGRES = Path(os.environ.get("PGDATA", "/var/lib/postgresql/data/pgdata"))
AS_POSTGRES = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"]


def mariadb() -> None:
    """Make KillBill's data as the old platform has it, if it is missing; then be the server."""
    if not MARIADB.exists():
        new = MARIADB.with_name("new")
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(mode=0o700)
        shutil.chown(new, NO_RIGHTS, NO_RIGHTS)
        install = ["mariadb-install-db", "--no-defaults", "--skip-test-db", f"--datadir={new}"]
        subprocess.run([*WITHOUT_RIGHTS, *install], check=True)
        with SCRIPT.open("rb") as script:
            fill = ["mariadbd", *SMALL, "--bootstrap", f"--datadir={new}"]
            subprocess.run([*WITHOUT_RIGHTS, *fill], stdin=script, check=True)
        new.rename(MARIADB)
    own = [f"--datadir={MARIADB}", "--socket=/tmp/mariadb.sock"]
    os.execvp("setpriv", [*WITHOUT_RIGHTS, "mariadbd", *SMALL, *SERVER, *own])


def postgres() -> None:
    """Make the data of a pool, or of one customer, if it is missing; then be the server."""
    if not (POSTGRES / "PG_VERSION").exists():
        new = POSTGRES.with_name(f"{POSTGRES.name}.new")
        subprocess.run(["rm", "-rf", new], check=True)
        own = ["install", "--directory", "--owner=postgres", "--group=postgres", "--mode=0700"]
        subprocess.run([*own, new], check=True)
        password = Path("/tmp/password")
        password.write_text(settings.superuser().password, encoding="utf-8")
        password.chmod(0o644)
        make = ["initdb", "--auth-local=trust", "--auth-host=scram-sha-256", f"--pwfile={password}"]
        locale = ["--locale=C.UTF-8", "--encoding=UTF8", "--no-sync", f"--pgdata={new}"]
        subprocess.run([*AS_POSTGRES, *make, *locale], check=True)
        password.unlink()
        with (new / "pg_hba.conf").open("a", encoding="utf-8") as rules:
            rules.write("host all all all scram-sha-256\n")
        new.rename(POSTGRES)
    small = ["-c", "listen_addresses=*", "-c", "shared_buffers=16MB", "-c", "max_connections=20"]
    os.execvp("setpriv", [*AS_POSTGRES, "postgres", "-D", str(POSTGRES), "-k", "/tmp", *small])
