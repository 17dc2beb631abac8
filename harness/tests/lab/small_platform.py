"""One side of a move in small: a web server that knows who is logged in, and stores writes.

``python3 - SIDE PORT MOST``: MOST is how many requests a second it can answer; beyond that, each
gets 503. While /run/small-platform-forgets is there, it knows no session. Both sides store writes
in one folder of CephFS, a file each; two while /run/small-platform-doubles is there.
"""

from __future__ import annotations

import json
import sys
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

SIDE, PORT, MOST = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
FORGETS = Path("/run/small-platform-forgets")
DOUBLES = Path("/run/small-platform-doubles")
WRITES = Path("/mnt/cephfs/odoo_backups/staging/small-platform")
TURN = threading.Lock()
RECENT: list[float] = []


def is_too_much() -> bool:
    now = time.monotonic()
    with TURN:
        RECENT[:] = [it for it in RECENT if now - it < 1] + [now]
        return len(RECENT) > MOST


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        known = "sid=known" in self.headers.get("Cookie", "") and not FORGETS.exists()
        if self.path == "/login":
            self.say(200, "welcome", "sid=known; Path=/; HttpOnly")
        elif self.path == "/me":
            self.say(200 if known else 401, "hello" if known else "log in")
        elif self.path == "/writes":
            self.say(200, " ".join(it.name.partition("+")[0] for it in WRITES.iterdir()))
        elif is_too_much():
            self.say(503, "too much")
        else:
            self.say(200, SIDE)

    def do_POST(self) -> None:
        text = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["text"]
        # A write that comes twice is there twice.
        for _ in range(2 if DOUBLES.exists() else 1):
            (WRITES / f"{text}+{uuid.uuid4().hex}").touch()
        self.say(201, "stored")

    def do_DELETE(self) -> None:
        for it in WRITES.glob(f"{self.path.rpartition('/')[2]}*"):
            it.unlink(missing_ok=True)
        self.say(200, "removed")

    def say(self, status: int, text: str, cookie: str = "") -> None:
        self.send_response(status)
        if cookie:
            self.send_header("Set-Cookie", cookie)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Server(ThreadingHTTPServer):
    request_queue_size = 256
    daemon_threads = True


WRITES.mkdir(exist_ok=True)
Server(("0.0.0.0", PORT), Handler).serve_forever()
