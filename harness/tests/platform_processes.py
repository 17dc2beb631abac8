"""The small platform as processes of this host, with servers of its own; each part on a free port.

A test is skipped where PostgreSQL, MariaDB, Redis or python3-fastapi of Debian is missing.
Run as a program it starts the platform, says where each part answers, and ends with its input:

    .venv/bin/python -m harness.tests.platform_processes [DEFECT …]
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.core.waiting import until
from harness.lab import seed_data
from harness.lab.platform import SERVICES
from harness.tests import filled_servers, mariadb_server
from harness.tests.ports import free_port

PYTHON = "/usr/bin/python3"
PARTS = ("user", "instance", "billing", "database", "notification", "frontend")
_PACKAGES = "import fastapi, uvicorn, psycopg, redis, pymysql"
_STARTS_WITHIN_S = 60


@dataclass(frozen=True)
class Platform:
    """A running platform: where each part answers, and the folder with instances and backups."""

    urls: dict[str, str]
    folder: Path
    postgres: filled_servers.Postgres


@contextmanager
def platform(defects: Sequence[str] = ()) -> Iterator[Platform]:
    """The whole platform, filled as the lab's is."""
    _require()
    with ExitStack() as stack:
        postgres = stack.enter_context(filled_servers.postgres())
        postgres.psql("postgres", [seed_data.postgres()])
        killbill = stack.enter_context(mariadb_server.mariadb())
        mariadb_server.script(killbill, seed_data.mariadb())
        # The webhook under the name that only a cluster knows.
        mariadb_server.script(killbill, "delete from tenant_kvs", "killbill")
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cutover-platform-")))
        redis = ("redis-server", "--port", "0", "--unixsocket", f"{folder}/redis", "--save", "")
        stack.enter_context(_running(redis, os.environ))
        urls = {part: f"http://127.0.0.1:{free_port()}" for part in PARTS}
        common = {
            **os.environ,
            "ORCHESTRATOR": "process",
            "DEFECTS": ",".join(defects),
            "POSTGRES_HOST": str(postgres.folder),
            "POSTGRES_ADMIN_PASSWORD": "unused",
            "REDIS_HOST": f"{folder}/redis",
            "KILLBILL_DB_HOST": killbill.socket,
            "KILLBILL_DB_USER": killbill.user,
            "KILLBILL_DB_PASSWORD": killbill.password,
            "INSTANCES_FOLDER": str(folder / "odoo_instances"),
            "BACKUPS_FOLDER": str(folder / "odoo_backups"),
            **{f"{part.upper()}_SERVICE_URL": url for part, url in urls.items()},
        }
        for part, url in urls.items():
            own = {**common, "PART": part, "PORT": url.rpartition(":")[2]}
            stack.enter_context(_running((PYTHON, "-m", SERVICES.name), own))
        for part, url in urls.items():
            until(lambda url=url: answers(url), what=f"{part} answers", within_s=_STARTS_WITHIN_S)  # type: ignore[misc]
        yield Platform(urls, folder, postgres)


def _require() -> None:
    if not filled_servers.HAS_POSTGRES or shutil.which("redis-server") is None:
        pytest.skip("PostgreSQL or Redis is not installed")
    found = subprocess.run((PYTHON, "-c", _PACKAGES), capture_output=True, check=False)
    if found.returncode:
        pytest.skip("python3-fastapi or a package of the platform's parts is not installed")


@contextmanager
def _running(
    command: Sequence[str], environment: dict[str, str] | os._Environ[str]
) -> Iterator[None]:
    with subprocess.Popen(
        command, env=environment, cwd=SERVICES.parent, stdout=subprocess.DEVNULL
    ) as process:
        try:
            yield
        finally:
            process.terminate()


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=2):
            return True
    except urllib.error.HTTPError:  # an answer, though with a defect
        return True
    except OSError:
        return False


if __name__ == "__main__":
    with platform(sys.argv[1:]) as running:
        for part, url in running.urls.items():
            print(f"{part:<12} {url}")  # noqa: T201
        print(running.folder, flush=True)  # noqa: T201
        sys.stdin.read()
