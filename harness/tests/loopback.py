"""A small web server on loopback, which a function of a test answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TypeAlias

# A status, header fields beside the length, and a body.
Answer: TypeAlias = tuple[int, Sequence[tuple[str, str]], bytes]


@dataclass(frozen=True)
class Asked:
    """A request; ``headers`` are by their names as they came."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def host(self) -> str:
        """The Host header without its port."""
        return self.headers["Host"].partition(":")[0]


@contextmanager
def answering(answer: Callable[[Asked], Answer]) -> Iterator[int]:
    """Answer requests by this function while the body runs; the port."""

    class Handler(BaseHTTPRequestHandler):
        def _do(self) -> None:
            sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            asked = Asked(self.command, self.path, dict(self.headers), sent)
            status, fields, body = answer(asked)
            self.send_response_only(status)
            for name, value in (*fields, ("Content-Length", str(len(body)))):
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_DELETE = do_OPTIONS = _do  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Keep the tests' output clean."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
