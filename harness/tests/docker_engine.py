"""Servers in the place of Docker's socket and of a site, which answer what a test gives them."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any


class Engine(socketserver.ThreadingUnixStreamServer):
    """A Docker that answers from a table: path → status and value."""

    answers: Mapping[str, tuple[int, Any]]


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, Engine | Site)
        status, value = server.answers[self.path]
        body = value.encode() if isinstance(value, str) else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


class Site(HTTPServer):
    """A service of the platform."""

    answers: Mapping[str, tuple[int, Any]]


@contextmanager
def serving(server: Any, answers: Mapping[str, tuple[int, Any]]) -> Iterator[Any]:
    server.answers = answers
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
