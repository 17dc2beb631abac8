"""What ledgers write to in tests, in this process: a database, a service of files, an API."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest

from harness.core.errors import NotListening
from harness.ledger import serve_script
from harness.ledger.writers import WriterSetup
from harness.ledger.writers.protocol import DatabasePlace
from harness.tests.fake_transport import FakeKube
from harness.tests.probe_rig import reach
from harness.transport.ssh import Tunnels


@dataclass
class FakeDatabase:
    """What the writers' few statements do, and a COMMIT that can warn, fail or roll back."""

    writes: list[tuple[str, int, str]] = field(default_factory=list)
    accounts: dict[int, int] = field(default_factory=dict)
    down: bool = False
    commits: str = "COMMIT"
    warns: str = ""
    breaks: bool = False
    connections: int = 0
    # Databases of ledgers on the platform's own server.
    others: list[str] = field(default_factory=list)

    def connect(self, **words: Any) -> FakeConnection:
        assert words["target_session_attrs"] == "read-write"
        assert len(words["host"].split(",")) == 3
        if self.down:
            raise psycopg.OperationalError("connection refused")
        self.connections += 1
        return FakeConnection(self)


class FakeConnection:
    """One connection, with one transaction at a time."""

    def __init__(self, database: FakeDatabase) -> None:
        self._database = database
        self._due: list[Callable[[], object]] = []
        self._hear: Callable[[Any], None] = lambda _: None
        self._ends = socket.socketpair()
        self.closed = False
        self.autocommit = False

    def add_notice_handler(self, hear: Callable[[Any], None]) -> None:
        self._hear = hear

    def fileno(self) -> int:
        return self._ends[0].fileno()

    def _connected(self) -> bool:
        try:
            self._ends[0].send(b".")
        except OSError:
            return False
        return True

    def execute(self, statement: str, words: Sequence[Any] = ()) -> Any:
        database = self._database
        if database.breaks or database.down or not self._connected():
            raise psycopg.OperationalError("server closed the connection unexpectedly")
        if " DATABASE " in statement or "pg_database" in statement:
            return self._administer(statement.split())
        if statement.startswith("INSERT INTO writes"):
            row = cast(tuple[str, int, str], tuple(words))
            self._due.append(lambda: database.writes.append(row))
        elif statement.startswith("INSERT INTO accounts"):
            for account in range(1, words[1] + 1):
                database.accounts.setdefault(account, words[0])
        elif statement.startswith("UPDATE accounts"):
            self._due.append(lambda: self._move(words[0], words[1]))
        elif statement.startswith("SELECT coalesce"):
            total = sum(database.accounts.values())
            return SimpleNamespace(fetchall=lambda: [(total,)])
        elif statement == "COMMIT":
            return self._commit()
        return None

    def _administer(self, words: Sequence[str]) -> Any:
        others = self._database.others
        if words[0] == "CREATE":
            others.append(words[2])
        elif words[0] == "DROP":
            others.remove(words[4])
        return SimpleNamespace(fetchall=lambda: [(name,) for name in others])

    def _move(self, amount: int, account: int) -> None:
        self._database.accounts[account] += amount

    def _commit(self) -> Any:
        if self._database.commits == "COMMIT":
            for act in self._due:
                act()
        self._due.clear()
        if self._database.warns:
            says = SimpleNamespace(
                severity_nonlocalized="WARNING",
                sqlstate="01000",
                message_primary=self._database.warns,
            )
            self._hear(says)
        return SimpleNamespace(statusmessage=self._database.commits)

    def rollback(self) -> None:
        self._due.clear()

    @contextmanager
    def cursor(self, name: str) -> Iterator[Any]:
        assert name

        def select(statement: str, words: Sequence[str]) -> list[tuple[str, int, str]]:
            assert statement.startswith("SELECT writer, seq, seal FROM writes")
            kind = words[0].removesuffix("%")
            return [row for row in self._database.writes if row[0].startswith(kind)]

        yield SimpleNamespace(execute=select)

    def close(self) -> None:
        self.closed = True
        for end in self._ends:
            end.close()


class FakeTunnels:
    """Ways to a server of files in this process; ``closed`` machines lead nowhere."""

    def __init__(self, port: int, folder: Path) -> None:
        self._port = port
        self._folder = folder
        self.closed: set[str] = set()
        self.asked: list[str] = []

    def connect(self, machine: str, address: str, port: int) -> socket.socket:
        assert (address, port) == ("10.43.0.9", 8642)
        self.asked.append(machine)
        if machine in self.closed:
            raise NotListening(f"{machine}: no way to {address}:{port}")
        return socket.create_connection(("127.0.0.1", self._port))

    def unix_forward(self, machine: str, address: str, port: int) -> Path:
        assert address == "10.43.0.5"
        return self._folder / machine / f".s.PGSQL.{port}"


class FakeObjects(FakeKube):
    """An API that keeps ConfigMaps and lists them two at a time; ``down``: it answers nobody."""

    def __init__(self) -> None:
        super().__init__()
        self.made: list[dict[str, Any]] = []
        self.down = False

    def create(self, path: str, manifest: Mapping[str, Any], *, within_s: float = 10.0) -> Any:
        if self.down:
            raise NotListening("the API is not there")
        assert path == "/api/v1/namespaces/space/configmaps"
        self.made.append(dict(manifest))
        return manifest

    def get(self, path: str, *, within_s: float = 10.0) -> Any:
        query = parse_qs(urlsplit(path).query)
        assert query["labelSelector"] == ["cutover/ledger=objects"]
        begin = int(query.get("continue", ["0"])[0])
        end = begin + 2
        more = {"continue": str(end)} if end < len(self.made) else {}
        return {"items": self.made[begin:end], "metadata": more}


@dataclass
class Ground:
    """Everything that writers write to, and the stage that they get."""

    stage: WriterSetup
    database: FakeDatabase
    tunnels: FakeTunnels
    kube: FakeObjects
    folder: Path

    def spoil(self, kind: str) -> None:
        """Change the last write that is there of a kind, wherever that is."""
        if kind in ("postgres", "bank", "primary"):
            who, seq, _ = self.database.writes.pop()
            self.database.writes.append((who, seq, "0" * 12))
        elif kind == "objects":
            self.kube.made[-1]["data"]["seal"] = "0" * 12
        else:
            newest = max((self.folder / kind).iterdir(), key=lambda it: it.stat().st_mtime_ns)
            os.truncate(newest, newest.stat().st_size - 13)
            with newest.open("ab") as file:
                file.write(b"0" * 12)

    def shut(self) -> None:
        """Nothing can be reached any more."""
        self.database.down = self.kube.down = True
        self.tunnels.closed = set(self.stage.machines)


@contextmanager
def ground(folder: Path, patch: pytest.MonkeyPatch) -> Iterator[Ground]:
    """A ground of fakes; the files are kept by the real program, in a folder of ``folder``.

    They outlive this process, and another ground in the same folder finds them.
    """
    kept = folder / "kept"
    kept.mkdir(exist_ok=True)
    patch.setattr(serve_script.Handler, "folder", kept, raising=False)
    database, kube = FakeDatabase(), FakeObjects()
    patch.setattr("harness.ledger.writers.postgres.psycopg.connect", database.connect)
    with serve_script.Server(("127.0.0.1", 0), serve_script.Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        tunnels = FakeTunnels(server.server_port, folder)
        stage = WriterSetup(
            run="run",
            seed=7,
            reach=reach(kube=kube),
            space="space",
            tunnels=cast(Tunnels, tunnels),
            services={"database": "10.43.0.5", "files": "10.43.0.9", "http": "10.43.0.9"},
            password="secret",
            primary=DatabasePlace(
                address="10.43.0.5",
                port=5432,
                user="postgres",
                password="secret",
                name="cutover_ledger_0a1b",
            ),
        )
        try:
            yield Ground(stage, database, tunnels, kube, kept)
        finally:
            server.shutdown()
            thread.join()
