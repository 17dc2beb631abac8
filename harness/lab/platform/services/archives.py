"""Backups as the platform makes them: three flat files in odoo_backups/active.

The instance is stopped. A restore drops the database first, and changes on purpose what a copy must
not share with its original: database.uuid, database.is_neutralized, and whether crons run.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from . import customer_database, defects, settings
from .orchestrator import Instance
from .postgres import Row, connect

CHANGED = """
update ir_config_parameter set value = gen_random_uuid() where key = 'database.uuid';
update ir_config_parameter set value = 'true' where key = 'database.is_neutralized';
update ir_cron set active = false;
"""


def _files(backup: str) -> tuple[Path, Path, Path]:
    """The dump, the archive and the description of a backup."""
    active = settings.BACKUPS / "active"
    endings = ("database.sql", "data.tar.gz", "metadata.json")
    dump, archive, metadata = (active / f"{backup}_{ending}" for ending in endings)
    return dump, archive, metadata


def make(it: Instance, data: Path, backup: str) -> None:
    """Back up a stopped instance whose data is in a folder."""
    dump, archive, metadata = _files(backup)
    dump.parent.mkdir(parents=True, exist_ok=True)
    command = ["pg_dump", "--no-owner", "--no-privileges", f"--file={dump}"]
    subprocess.run(
        [*command, *customer_database.words(it)],
        env=customer_database.environment(),
        check=True,
        capture_output=True,
    )
    if defects.on("empty-archive"):
        archive.touch()
    else:
        _tar("--create", archive, data, ".")
    sizes = {"database_size": dump.stat().st_size, "data_size": archive.stat().st_size}
    described = {
        "backup_name": backup,
        "instance_id": it.id,
        "instance_name": it.name,
        "database_name": it.database,
        "created_at": datetime.now(UTC).isoformat(),
        **sizes,
        "total_size": sum(sizes.values()),
        "odoo_version": "17.0",
        "status": "completed",
    }
    metadata.write_text(json.dumps(described, indent=2), encoding="utf-8")


def restore(it: Instance, data: Path, backup: str) -> None:
    """Replace a stopped instance's database, and unpack its files over those that are there."""
    dump, archive, _ = _files(backup)
    if not dump.exists():
        raise FileNotFoundError(f"no backup {backup}")
    customer_database.drop_database(it)
    with connect(settings.superuser(host=it.host, port=it.port)) as server:
        customer_database.empty(server, it)
    command = ["psql", "--no-psqlrc", "--quiet", f"--file={dump}", *customer_database.words(it)]
    environment = customer_database.environment()
    environment["PGOPTIONS"] = f"-c role={it.database}"
    subprocess.run(command, env=environment, check=True, capture_output=True)
    if archive.stat().st_size:
        _tar("--extract", archive, data)
    with connect(settings.superuser(it.database, it.host, it.port)) as own:
        own.execute(CHANGED.encode())


def _tar(what: str, archive: Path, folder: Path, *names: str) -> None:
    command = ["tar", what, "--gzip", f"--file={archive}", f"--directory={folder}", *names]
    subprocess.run(command, check=True, capture_output=True)


def listed(instance: str) -> list[Row]:
    """The backups of an instance, the newest first."""
    found = []
    for path in (settings.BACKUPS / "active").glob("*_metadata.json"):
        try:
            described = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            continue  # one that is being written
        if described.get("instance_id") == instance:
            found.append({"backup_id": described["backup_name"], **described})
    return sorted(found, key=lambda it: str(it["created_at"]), reverse=True)


def free(folder: Path) -> None:
    """Remove a folder with everything in it."""
    shutil.rmtree(folder, ignore_errors=True)


def job() -> None:
    """One backup or restore, as WHAT says, in a pod with the INSTANCE's claim at DATA_FOLDER."""
    it = Instance(**json.loads(os.environ["INSTANCE"]))
    work = {"backup": make, "restore": restore}[os.environ["WHAT"]]
    work(it, Path(os.environ["DATA_FOLDER"]), os.environ["BACKUP"])
