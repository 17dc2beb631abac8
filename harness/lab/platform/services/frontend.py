"""frontend-service: the pages that customers see; what they do goes to the API by its host.

A page that never changes needs no FastAPI, which takes four times the memory of this program.
"""

from __future__ import annotations

import json
import signal
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from . import defects, health, settings

PAGE = Path(__file__).with_name("frontend.html")
# One page for every path of the application, as a single-page application has it.
PATHS = ("/", "/login", "/register", "/dashboard")
_REGISTERS = 'call("POST", "/user/auth/register", form)'
# By defect: what of the page is replaced, and by what.
_DEFECTS = {
    "script-error": ("go(location.pathname);", "go(location.pathname);\nstatistics.begin();"),
    "wrong-field": (_REGISTERS, _REGISTERS.replace("form", "{...form, email: form.mail}")),
    "blocked-resource": (
        "<title>",
        '<link rel="stylesheet" href="//static.{{ domain }}/style.css"><title>',
    ),
}


def _page() -> str:
    page = PAGE.read_text(encoding="utf-8")
    for name, (right, wrong) in _DEFECTS.items():
        page = page.replace(right, wrong) if defects.on(name) else page
    return page.replace("{{ domain }}", settings.DOMAIN)


_HTML = ("text/html; charset=utf-8", _page().encode())
_HEALTH = ("application/json", json.dumps(health.said()).encode())
_UNKNOWN = ("application/json", b'{"detail":"Not Found"}')
ANSWERS = {"/health": _HEALTH, **dict.fromkeys(PATHS, _HTML)}


class Handler(BaseHTTPRequestHandler):
    """Answers a GET with one of the pages; another path with 404."""

    protocol_version = "HTTP/1.1"
    timeout = settings.KEEP_ALIVE_S
    # Headers and body leave together.
    wbufsize = -1

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        kind, content = ANSWERS.get(path, _UNKNOWN)
        self.send_response(200 if path in ANSWERS else 404)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header(health.HEADER, health.VERSION)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing of each request."""


class Server(ThreadingHTTPServer):
    """Takes a busy hour's connections; none of them holds up its end."""

    request_queue_size = 128
    daemon_threads = True


def serve() -> None:
    """Be the server; the first process of a container has to end by itself when it is told to."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    Server((settings.HOST, settings.PORT), Handler).serve_forever()
