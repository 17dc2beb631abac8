"""A site on loopback for tests of loads: it answers over TLS, and can keep everybody waiting."""

from __future__ import annotations

import ssl
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from harness.load.spec import LoadSpec, Page, Plan
from harness.probes.certificates import Authority
from harness.settings import ROOT

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
    # The method, host, path and body of each request.
    asked: list[tuple[str, str, str, str]] = field(default_factory=list)
    broken: str = ""  # the begin of the paths that get 500
    fails_every: int = 0  # so many requests, one gets 500; 0: none
    pool: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(1000))
    takes_s: float = 0.0  # with one place of the pool

    def order(self, *, per_s: float = 50, timeout_s: float = 5) -> LoadSpec:
        return LoadSpec(
            addresses=[HERE],
            pages=[Page(SITE, "/")],
            authority=str(self.authority),
            plan=Plan(per_s),
            timeout_s=timeout_s,
            lasts_s=60,
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
        here, host = self.server.site, self.headers["Host"]
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        here.hosts.add(host)
        here.asked.append((self.command, host, self.path, body))
        here.lets_through.wait(60)
        with here.pool:
            threading.Event().wait(here.takes_s)
        is_broken = bool(here.broken) and self.path.startswith(here.broken)
        is_broken |= here.fails_every > 0 and len(here.asked) % here.fails_every == 0
        status = 500 if is_broken else here.status
        self.send_response(status)
        self.send_header("Content-Length", "0")
        if status == 429:
            self.send_header("Retry-After", "7")
        self.end_headers()
        self.server.site.answered[status] += 1

    do_POST = do_GET  # noqa: N815 - http.server names it

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


@contextmanager
def working(
    spec: LoadSpec, count: int, program: Sequence[str] = ("-m", "harness.load.start")
) -> Iterator[list[subprocess.Popen[bytes]]]:
    """So many workers of the load's master."""
    assert spec.workers is not None
    command = [sys.executable, *program, HERE, str(spec.workers.port)]
    with ExitStack() as stack:
        yield [
            stack.enter_context(
                subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
            )
            for _ in range(count)
        ]
