"""Two platforms behind one front on loopback, with a share that is set by a file.

The front answers itself: each request is the old or the new platform's by weighted rounds, as with
Traefik's file provider. Sessions are shared, or of one side alone.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http.cookies import SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from math import inf
from pathlib import Path
from typing import Any

from harness.settings.shift import Shift as Declared


@dataclass
class Platforms:
    """Both platforms. The new one fails from the share ``sick_at`` on; ``forgets`` sessions.

    If ``breaks``, it answers visitors who are logged in with 500.

    Both end a session after ``lasts_s``; if ``closed``, nobody can log in any more. If it
    ``stumbles``, the new one answers a log-in with 500.
    """

    folder: Path
    port: int = 0
    sick_at: int = 101
    forgets: bool = False
    breaks: bool = False
    limits: bool = False
    lasts_s: float = inf
    closed: bool = False
    stumbles: bool = False
    began: dict[str, float] = field(default_factory=dict)
    sessions: dict[str, str] = field(default_factory=dict)
    bodies: list[bytes] = field(default_factory=list)
    # Writes that both platforms store in one place; the new one ``loses`` or ``doubles`` its own.
    loses: bool = False
    doubles: bool = False
    writes: list[str] = field(default_factory=list)
    # Writing and reading takes a session; with ``rotates``, each answer replaces it by a new one.
    guarded: bool = False
    rotates: bool = False
    refuses: bool = False  # the new one answers a write with 403
    one_sided: bool = False  # every write goes to the old one
    late_s: float = 0.0  # the new one answers no write, and stores it so much later
    late: list[threading.Timer] = field(default_factory=list)
    keeps_writes: bool = False  # a removal is answered, and nothing is removed
    _numbers: count[int] = field(default_factory=count)
    _turn: threading.Lock = field(default_factory=threading.Lock)

    @property
    def file(self) -> Path:
        return self.folder / "share"

    @property
    def share(self) -> int:
        return int(self.file.read_text())

    def turn(self, share: int) -> None:
        """Set the share while requests come: none may meet a file that is half written."""
        new = self.folder / "share.new"
        new.write_text(f"{share}\n")
        new.replace(self.file)

    def side(self) -> str:
        with self._turn:
            number = next(self._numbers)
        share = self.share
        return "rke2" if number * share // 100 != (number + 1) * share // 100 else "swarm"

    def session_of(self, headers: Message) -> str:
        """The session that a request names, if it is known and young enough; else nothing."""
        jar = SimpleCookie(headers.get("Cookie", ""))
        named = jar["sid"].value if "sid" in jar else headers.get("Authorization", "")
        named = named.removeprefix("Bearer ")
        is_young = time.monotonic() - self.began.get(named, -inf) < self.lasts_s
        return named if named in self.sessions and is_young else ""

    def opened(self, side: str) -> str:
        """A new session."""
        with self._turn:
            name = f"session-{len(self.began)}"
            self.sessions[name], self.began[name] = side, time.monotonic()
        return name

    def declared(self, **changes: Any) -> Declared:
        """A declaration of this front, whose share is a file of this computer."""
        write = 'echo "$1" > "$2.new" && mv "$2.new" "$2"'
        page = {"host": "app.example.com", "path": "/me", "status": 200}
        told: dict[str, Any] = {
            "front": {
                "machine": "vmi2887102",
                "address": "127.0.0.1",
                "port": self.port,
                "set": ["sh", "-c", write, "set-share", "{share}", str(self.file)],
                "read": ["cat", str(self.file)],
            },
            "steps": [10, 50, 100],
            "requests": [{"host": "app.example.com", "path": "/"}],
            "side": {"header": "X-Side", "source": "swarm", "target": "rke2"},
            # The computer that runs the tests may stand still for seconds.
            "sampling": {"per_s": 200, "hold_s": 0, "within_s": 30, "timeout_s": 30},
            "errors": {"p0": 0.01, "p1": 0.1, "alpha": 0.05, "beta": 0.05},
            "p99": {"floor_ms": 30_000},
            "visitors": {
                "count": 3,
                "login": {"host": "app.example.com", "path": "/login"},
                "page": page,
                "says": "hello",
                "every_s": 0.1,
            },
        }
        return Declared.model_validate(told | changes)


class _Handler(BaseHTTPRequestHandler):
    platforms: Platforms
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        it, side = self.platforms, self.platforms.side()
        if it.limits:
            self.say(429, side, "too many")
        elif side == "rke2" and it.share >= it.sick_at:
            self.say(502, None, "Bad Gateway")
        elif self.path.startswith("/writes"):
            self.show(side, self.path.removeprefix("/writes").removeprefix("/"))
        elif self.path == "/me" and it.breaks and side == "rke2":
            self.say(500, side, "Internal Server Error")
        elif self.path == "/me":
            owner = it.sessions.get(it.session_of(self.headers))
            known = owner is not None and (not it.forgets or owner == side)
            self.say(200 if known else 401, side, "hello" if known else "log in")
        else:
            self.say(200, side, json.dumps({"path": self.path}))

    def do_POST(self) -> None:
        it, side = self.platforms, self.platforms.side()
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == "/writes":
            self.store(side, str(json.loads(body)["text"]))
            return
        it.bodies.append(body)
        if it.stumbles and side == "rke2":
            self.say(500, side, "broken")
            return
        if it.closed:
            self.say(401, side, json.dumps({"detail": "Invalid credentials"}))
            return
        name = it.opened(side)
        if self.path == "/token":
            self.say(200, side, json.dumps({"tokens": {"access_token": name}}))
        else:
            self.say(200, side, "welcome", cookie=name)

    def do_DELETE(self) -> None:
        it, side, begin = self.platforms, self.platforms.side(), self.path.rpartition("/")[2]
        cookie = self.admitted(side)
        if cookie is None:
            return
        if not it.keeps_writes:
            it.writes[:] = [text for text in it.writes if not text.startswith(begin)]
        self.say(204, side, "", cookie)

    def show(self, side: str, begin: str) -> None:
        cookie = self.admitted(side)
        if cookie is not None:
            told = [text for text in self.platforms.writes if text.startswith(begin)]
            self.say(200, side, json.dumps(told), cookie)

    def store(self, side: str, text: str) -> None:
        it = self.platforms
        side = "swarm" if it.one_sided else side
        is_new = side == "rke2"
        if is_new and it.refuses:
            self.say(403, side, "read-only")
        elif is_new and it.late_s:
            it.late.append(threading.Timer(it.late_s, it.writes.append, [text]))
            it.late[-1].start()
            self.close_connection = True
        elif (cookie := self.admitted(side)) is not None:
            times = 0 if is_new and it.loses else 2 if is_new and it.doubles else 1
            it.writes += [text] * times
            self.say(201, side, "stored", cookie)

    def admitted(self, side: str) -> str | None:
        """The new session of a writer, or nothing; None, and the answer is given, without one."""
        it = self.platforms
        if not it.guarded:
            return ""
        named = it.session_of(self.headers)
        if not named:
            self.say(401, side, "log in")
            return None
        if not it.rotates:
            return ""
        del it.sessions[named]
        return it.opened(side)

    def say(self, status: int, side: str | None, text: str, cookie: str = "") -> None:
        body = text.encode()
        self.send_response(status)
        if side is not None:
            self.send_header("X-Side", side)
        if cookie:
            self.send_header("Set-Cookie", f"sid={cookie}; Path=/; HttpOnly")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    request_queue_size = 256
    daemon_threads = True


@contextmanager
def two_platforms(folder: Path, share: int = 0) -> Iterator[Platforms]:
    """Both platforms behind their front, while the body runs."""
    platforms = Platforms(folder)
    platforms.turn(share)
    handler = type("Handler", (_Handler,), {"platforms": platforms})
    with _Server(("127.0.0.1", 0), handler) as server:
        platforms.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield platforms
        finally:
            server.shutdown()
            thread.join()
