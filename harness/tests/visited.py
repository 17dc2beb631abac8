"""A site on loopback for tests of loads: it answers over TLS, and can keep everybody waiting."""

from __future__ import annotations

import ssl
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from harness.load.spec import LoadSpec, Page, Plan, users_for
from harness.probes.certificates import Authority

HERE, NOBODY = "127.0.0.1", "127.0.0.2"
SITE = "shop.example"


@dataclass
class Site:
    """Where it is, and what it does; while ``lets_through`` is not set, nobody is answered."""

    port: int
    authority: Path
    status: int = 200
    lets_through: threading.Event = field(default_factory=threading.Event)
    hosts: set[str] = field(default_factory=set)
    answered: Counter[int] = field(default_factory=Counter)

    def order(self, *, per_s: float = 50, timeout_s: float = 5, users: int = 0) -> LoadSpec:
        return LoadSpec(
            addresses=[HERE],
            pages=[Page(SITE, "/")],
            authority=str(self.authority),
            plan=Plan(per_s),
            timeout_s=timeout_s,
            lasts_s=60,
            users=users or users_for(per_s, timeout_s),
            port=self.port,
        )


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1000
    site: Site
    trust: ssl.SSLContext | None = None

    def handle_error(self, request: object, client_address: object) -> None:
        """Whoever goes away in the middle is the test's own doing."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def setup(self) -> None:
        # Here, in the request's own thread: a slow handshake must hold up nobody else.
        if self.server.trust is not None:
            self.request = self.server.trust.wrap_socket(self.request, server_side=True)
        super().setup()

    def finish(self) -> None:
        super().finish()
        self.request.close()

    def do_GET(self) -> None:
        self.server.site.hosts.add(self.headers["Host"])
        self.server.site.lets_through.wait(60)
        status = self.server.site.status
        self.send_response(status)
        self.send_header("Content-Length", "0")
        if status == 429:
            self.send_header("Retry-After", "7")
        self.end_headers()
        self.server.site.answered[status] += 1

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is said about each request."""


@contextmanager
def site(folder: Path, *, tls: bool = True) -> Iterator[Site]:
    """The site, open."""
    authority = Authority()
    certificate, key = authority.issue(SITE)
    files = {name: folder / name for name in ("ca.crt", "tls.crt", "tls.key")}
    for name, text in zip(files, (authority.pem, certificate, key), strict=True):
        files[name].write_text(text)
    with _Server((HERE, 0), _Handler) as server:
        if tls:
            server.trust = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            server.trust.load_cert_chain(files["tls.crt"], files["tls.key"])
        server.site = Site(server.server_address[1], files["ca.crt"])
        server.site.lets_through.set()
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server.site
        finally:
            server.site.lets_through.set()
            server.shutdown()
            thread.join()
