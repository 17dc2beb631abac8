"""Two real PostgreSQL and a customer between them, for tests of round trips."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from harness.backup import manifest
from harness.backup.equality.session import Server
from harness.backup.restore.round_trip import carry_out
from harness.backup.restore.side import Side
from harness.backup.restore.trip import Trip
from harness.checks import CHECKS
from harness.core.model import Case, Observation, Outcome
from harness.facts.restore import RESTORE, RoundTrip
from harness.facts.schema import dump
from harness.settings.restore import Restore
from harness.tests.backup_files import FILES
from harness.tests.clean_cluster import CLUSTER
from harness.tests.postgres_server import ThisShell, postgres, psql

DATABASE = "odoo_demo"
RESTORED = "cutover_restored_demo"
SEED = """
create table ir_config_parameter (key text primary key, value text);
insert into ir_config_parameter values ('database.uuid', '6d1c0000-demo');
create table ir_cron (id serial primary key, name text not null, active boolean not null,
  nextcall timestamp);
insert into ir_cron (name, active) select 'job ' || i, true from generate_series(1, 9) i;
create table ir_attachment (id serial primary key, name text, store_fname text);
create table partner (id serial primary key, name text not null);
insert into partner (name) select 'partner ' || i from generate_series(1, 500) i;
create table invoice (id serial primary key, partner int not null references partner,
  amount numeric check (amount > 0), paid timestamptz);
insert into invoice (partner, amount, paid)
  select i % 500 + 1, i * 1.5, timestamptz '2026-01-01 UTC' + i * interval '1 minute'
  from generate_series(1, 2000) i;
create index on invoice (paid);
create table heartbeat (at timestamptz not null);
alter table invoice owner to odoo;
"""
# What the platform does: a dump, a tar and its word that both are there.
PLATFORM = """
set -e
cd {backups}
name={database}_$(date +%s%N)
pg_dump -h {socket} -U postgres {{database}} > "$name"_database.sql
tar -C {data} -czf "$name"_data.tar.gz .
cat > "$name"_metadata.json <<END
{{"database_name": "{database}", "status": "completed",
 "database_size": $(stat -c %s "$name"_database.sql),
 "data_size": $(stat -c %s "$name"_data.tar.gz),
 "created_at": "$(date -u +%Y-%m-%dT%H:%M:%S.%6N)"}}
END
"""
CUT = """
sql="$name"_database.sql
truncate -s $(($(stat -c %s $sql) * {at} / 100)) $sql
"""
MUTATIONS = {
    "public.heartbeat": {"rows": "true", "because": "the drill writes it"},
    "public.ir_config_parameter": {
        "rows": "key in ('database.uuid', 'database.is_neutralized')",
        "at_most": 2,
        "because": "a restored customer has an identity of its own",
    },
    "public.ir_cron": {"columns": ["active"], "because": "a restored customer runs no jobs"},
}
WHOLE = "a whole backup of the customer is made"
NOTICED = "the inspection notices every known defect"
ROWS = "the restored database is the customer's"
FILES_EQUAL = "the restored files are the customer's"
MOMENT = "every restored row finds its file"
SERVED = "the restored customer is served in time"
LOST = "little enough work is lost"
LEFT = "the restore leaves nothing behind"
ALL = (WHOLE, NOTICED, ROWS, FILES_EQUAL, MOMENT, SERVED, LOST, LEFT)
TARGETS = {"differences_count": 0.0, "undetected_count": 0.0, "rto_minutes": 30, "rpo_minutes": 15}


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[Server, Server]]:
    """Two servers, each with the customer's role; the first has a customer as a template."""
    with tempfile.TemporaryDirectory(prefix="cutover-pg-") as place:
        Path(place).chmod(0o755)
        with postgres(Path(place, "old")) as old, postgres(Path(place, "new")) as new:
            for server in (old, new):
                psql(server, "postgres", "create role odoo login")
            psql(old, "postgres", "create database seed")
            psql(old, "seed", SEED)
            for at, name in enumerate(FILES):
                row = f"insert into ir_attachment (name, store_fname) values ('{at}', '{name}')"
                psql(old, "seed", row)
            yield old, new


@dataclass
class World:
    """A customer with its files, a platform that makes backups, and an empty target."""

    folder: Path
    old: Server
    new: Server
    shell: ThisShell

    @property
    def files(self) -> Path:
        return self.folder / f"data/filestore/{DATABASE}"

    def psql(self, on: Server) -> list[str]:
        return ["psql", "-h", on.host, "-U", "postgres"]

    def platform(self, *, then: str = "", database: str = DATABASE) -> list[str]:
        """The platform's command; ``then`` spoils what it made, which is ``$name``."""
        made = PLATFORM.format(
            backups=self.folder / "backups",
            socket=self.old.host,
            data=self.folder / "data",
            database=database,
        )
        return ["bash", "-c", f"{made}\n{then}"]

    def declared(self, **changes: Any) -> Restore:
        backups = str(self.folder / "backups")
        server = {"machine": "unused", "address": "127.0.0.1", "password_file": "/unused"}
        target = {
            "machine": "new",
            "server": server,
            "backups": backups,
            "folder": str(self.folder / "restored"),
            "psql": self.psql(self.new),
        }
        told: dict[str, Any] = {
            "customers": {"demo": {"database": DATABASE, "folder": str(self.folder / "data")}},
            "source": {"machine": "old", "server": server, "backups": backups},
            "target": target | changes.pop("target", {}),
            "backup": {"command": self.platform(), "within_min": 0.5},
            "heartbeat": {
                "write": "insert into public.heartbeat values (now())",
                "newest": "select max(at) from public.heartbeat",
                "every_s": 0.05,
            },
            "answer": {"sql": "select count(*) from public.partner", "says": "500"},
            "mutations": MUTATIONS,
            "different": {"role *": "roles belong to the server"},
        }
        return Restore.model_validate(told | changes)

    def trip(self, **changes: Any) -> Trip:
        declared = self.declared(**changes)
        backups = str(self.folder / "backups")
        return Trip(
            name="demo",
            customer=declared.customers["demo"],
            declared=declared,
            source=Side(shell=self.shell, place="old", server=self.old, backups=backups),
            target=Side(shell=self.shell, place="new", server=self.new, backups=backups),
            tell=lambda _: None,
        )

    def spoiled(self, then: str) -> RoundTrip:
        """A round trip whose backup is spoiled as soon as it is made."""
        return carry_out(self.trip(backup={"command": self.platform(then=then)}))

    def is_clean(self) -> bool:
        """True if the target has nothing of a restore."""
        found = psql(self.new, "postgres", "select datname from pg_database")
        return RESTORED not in found and not list((self.folder / "restored").iterdir())


@pytest.fixture
def world(servers: tuple[Server, Server], monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    old, new = servers
    with tempfile.TemporaryDirectory(prefix="cutover-trip-") as place:
        folder = Path(place)
        monkeypatch.setattr(manifest, "FOLDERS", str(folder / "manifests"))
        for name in ("backups", "restored", "data/sessions"):
            (folder / name).mkdir(parents=True)
        made = World(folder, old, new, ThisShell())
        for name, content in FILES.items():
            (made.files / name).parent.mkdir(parents=True, exist_ok=True)
            (made.files / name).write_bytes(content)
        statements = f"drop database if exists {DATABASE} with (force)"
        psql(old, "postgres", statements)
        psql(old, "postgres", f"create database {DATABASE} template seed")
        yield made
        psql(new, "postgres", f"drop database if exists {RESTORED} with (force)")


def judged(trip: RoundTrip, declared: Restore) -> dict[str, tuple[Outcome, str]]:
    """Outcome and reason of each check, after a way through JSON."""
    seen = Observation(RESTORE.name, CLUSTER.name, time.time(), 1.0, dump(trip))
    cluster = replace(CLUSTER, restore=declared.declared())
    case = Case(cluster=cluster, targets=TARGETS, observations=[seen])
    verdicts = {check: CHECKS[check](case) for check in ALL}
    return {check: (it.outcome, it.reason) for check, it in verdicts.items()}


def red(world: World, trip: RoundTrip, **changes: Any) -> dict[str, str]:
    """The reasons of the checks that fail."""
    found = judged(trip, world.declared(**changes))
    return {check: says for check, (outcome, says) in found.items() if outcome is Outcome.FAIL}
