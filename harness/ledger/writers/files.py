"""Files that a program in a pod stores (``serve_script``): on CephFS, and behind a service.

On CephFS, a pod on each machine stores them on a shared claim, and answers when it has synced file
and folder. Each writer uses its own machine's pod, over that machine's own network only. Each
writer reads the writes of all, so that the result shows a machine that sees less than another. The
service has two pods on different machines; requests reach its address through any machine that
works.
"""

from __future__ import annotations

import http.client
from collections.abc import Iterator, Sequence
from contextlib import closing

from harness.core.errors import NeverSent, NotProven, TransportError
from harness.core.parallel import hang_up
from harness.ledger.checker import Found, kind_of
from harness.ledger.writers.protocol import FILES_PORT, WriterSetup, seal, unsealed

_ANSWERS_WITHIN_S = 100.0  # the socket's time limit; the caller has its own deadline
# Reading files back is slow: each costs another client up to a tick of the metadata server, 5 s.
_RENAMES_EVERY = 5
_HTTP_WRITERS = 2


class Files:
    """One writer's connection to a service that stores files, through one of some machines."""

    def __init__(self, setup: WriterSetup, name: str, service: str, ways: tuple[str, ...]) -> None:
        self.name = name
        self._setup = setup
        self._address = setup.services[service]
        self._ways = ways
        self._open: http.client.HTTPConnection | None = None

    def keep(self, way: str, seq: int) -> None:
        """Store one line; NotProven for any answer but the acknowledgement."""
        sealed = seal(self._setup.run, self.name, seq)
        status, said = self._ask("POST", f"/{way}/{self.name}/{seq}/{sealed}")
        if (status, said) != (200, f"kept {self.name} {seq} {sealed}\n".encode()):
            raise NotProven(f"{self.name}: answered {status}: {said[:200]!r}")

    def read(self) -> Iterator[Found]:
        """Every line of the kind; NotProven when the answer is incomplete."""
        kind = kind_of(self.name)
        status, said = self._ask("GET", f"/list/{kind}")
        lines = said.decode(errors="replace").split("\n")[:-1]
        if status != 200 or not lines or lines[-1] != f"end {len(lines) - 1}":
            text = f"{self.name}: the list of {kind} is incomplete"
            raise NotProven(f"{text}: {status}, {said[-200:]!r}")
        for line in lines[:-1]:
            # A line with too few words is the beginning of a partial line.
            who, _, rest = line.partition(" ")
            seq, _, found = rest.partition(" ")
            if seq.isdecimal():
                yield from unsealed(self._setup.run, who, int(seq), found)

    def abandon(self) -> None:
        connection, self._open = self._open, None
        if connection is not None:
            hang_up(connection.sock)

    def close(self) -> None:
        """No connection stays open between two writes."""

    def _ask(self, method: str, path: str) -> tuple[int, bytes]:
        """Send one request on a new connection; NeverSent when no connection can be made."""
        connection = http.client.HTTPConnection("ledger", timeout=_ANSWERS_WITHIN_S)
        self._connect(connection)
        self._open = connection
        with closing(connection):
            connection.request(method, path, headers={"Connection": "close"})
            response = connection.getresponse()
            return response.status, response.read()

    def _connect(self, connection: http.client.HTTPConnection) -> None:
        problems = []
        for machine in self._ways:
            try:
                connection.sock = self._setup.tunnels.connect(machine, self._address, FILES_PORT)
            except TransportError as error:
                problems.append(str(error))
            else:
                # The next write tries this machine first.
                at = self._ways.index(machine)
                self._ways = self._ways[at:] + self._ways[:at]
                connection.sock.settimeout(_ANSWERS_WITHIN_S)
                return
        raise NeverSent(f"{self.name}: {'; '.join(problems)}")


class CephFS(Files):
    """Renames a file with every fifth write, and appends with the other writes."""

    def __init__(self, setup: WriterSetup, number: int) -> None:
        super().__init__(setup, f"cephfs/{number}", "files", (setup.machines[number],))

    def send(self, seq: int) -> None:
        self.keep("append" if seq % _RENAMES_EVERY else "rename", seq)


class Http(Files):
    """Posts one request per write."""

    def __init__(self, setup: WriterSetup, number: int) -> None:
        super().__init__(setup, f"http/{number}", "http", setup.ways(number))

    def send(self, seq: int) -> None:
        self.keep("append", seq)


def on_cephfs(setup: WriterSetup) -> Sequence[CephFS]:
    return [CephFS(setup, number) for number in range(len(setup.machines))]


def over_http(setup: WriterSetup) -> Sequence[Http]:
    return [Http(setup, number) for number in range(_HTTP_WRITERS)]
