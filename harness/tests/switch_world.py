"""Two real PostgreSQL with logical replication between them, and rehearsals of a switch."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from harness.backup.equality.session import Server
from harness.ledger.writers import WriterSetup
from harness.ledger.writers.protocol import DatabasePlace
from harness.move.direction import Limits
from harness.move.rehearsal import Rehearsal
from harness.move.side import Address, Side
from harness.tests.postgres_server import postgres, psql
from harness.tests.probe_rig import reach
from harness.transport.ssh import Tunnels

_LOGICAL = ("-c", "wal_level=logical")
LIMITS = Limits(step_s=10, copy_s=30, freeze_s=20, transaction_s=0.5)


class SocketFiles:
    """Ways to the servers of this host: a place's address is the folder of its socket file."""

    def unix_forward(self, machine: str, address: str, port: int) -> Path:
        assert machine
        return Path(address, f".s.PGSQL.{port}")


def setup() -> WriterSetup:
    """Writers that reach the servers of this host by their socket files."""
    return WriterSetup(
        run="run",
        seed=7,
        reach=reach(),
        space="",
        tunnels=cast(Tunnels, SocketFiles()),
        services={},
        password="",
    )


@dataclass
class World:
    """The two servers; ``told`` is what a rehearsal has said."""

    old: Server
    new: Server
    folder: Path
    told: list[str] = field(default_factory=list)

    def side(self, name: str) -> Side:
        server = self.old if name == "source" else self.new
        return Side(name, server, Address(server.host, server.port))

    def rehearsal(self, limits: Limits = LIMITS) -> Rehearsal:
        self.folder.mkdir(exist_ok=True)
        return Rehearsal(
            source=self.side("source"),
            target=self.side("target"),
            places={
                name: DatabasePlace(
                    address=server.host, port=server.port, user="postgres", password="", name=""
                )
                for name, server in (("source", self.old), ("target", self.new))
            },
            limits=limits,
            stage=setup(),
            folder=self.folder,
            rate_per_s=20,
            tell=self.told.append,
            on_begin=lambda: self.told.append("begun"),
        )

    def remains(self) -> list[str]:
        """What a rehearsal left on either server."""
        queries = (
            "select datname from pg_database where datname like 'cutover%' or not datallowconn "
            "and datname <> 'template0'",
            "select slot_name from pg_replication_slots",
            "select setdatabase || array_to_string(setconfig, ' ') from pg_db_role_setting",
            "select subname from pg_subscription",
            "select query from pg_stat_activity where query like 'do %'",
        )
        return [
            it
            for server in (self.old, self.new)
            for query in queries
            for it in psql(server, "postgres", query).split("\n")
            if it
        ]


@contextmanager
def two_servers() -> Iterator[tuple[Server, Server]]:
    """Two servers that can send their changes to each other."""
    with tempfile.TemporaryDirectory(prefix="cutover-pg-") as place:
        Path(place).chmod(0o755)
        with (
            postgres(Path(place, "old"), 5432, *_LOGICAL) as old,
            postgres(Path(place, "new"), 5432, *_LOGICAL) as new,
        ):
            yield old, new
