"""A small HTTPS server on 127.0.0.1 that behaves as the Kubernetes API does, as far as we ask it.

It answers from ``answers``: path without query → (status, body), or a function of the handler.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import yaml

from harness.probes.certificates import Authority
from harness.transport.kube import ApiKube

EXEC = "/api/v1/namespaces/space/pods/pod/exec"
TOKEN = "planted-token"
_MAGIC = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455
Reply: TypeAlias = "tuple[int, Any] | Callable[[ApiHandler], None]"


@dataclass
class ApiServer:
    """Where it listens, what it answers, and what it was asked: (method, path, headers, body)."""

    url: str
    kubeconfig: Path
    authority: Authority
    answers: dict[str, Reply] = field(default_factory=dict)
    asked: list[tuple[str, str, dict[str, str], str]] = field(default_factory=list)


class ApiHandler(BaseHTTPRequestHandler):
    """Answers one request from the server's table."""

    protocol_version = "HTTP/1.1"
    api: ApiServer

    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length).decode()
        headers = {key.lower(): value for key, value in self.headers.items()}
        self.api.asked.append((self.command, self.path, headers, body))
        reply = self.api.answers.get(self.path.partition("?")[0])
        if reply is None:
            self.say(404, {"kind": "Status", "message": f"{self.path} is not there"})
        elif callable(reply):
            reply(self)
        else:
            self.say(*reply)

    do_POST = do_PATCH = do_DELETE = do_GET  # noqa: N815 (http.server looks for these names)

    def say(self, status: int, body: Any) -> None:
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        """Tests need no log."""

    # --- websocket frames, as far as exec needs them ---

    def upgrade(self) -> None:
        key = self.headers["Sec-WebSocket-Key"] + _MAGIC
        accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", accept)
        self.send_header("Sec-WebSocket-Protocol", self.headers["Sec-WebSocket-Protocol"])
        self.end_headers()
        self.close_connection = True

    def send_frame(self, data: bytes, opcode: int = 2) -> None:
        length = len(data)
        head = bytes([0x80 | opcode])
        head += bytes([length]) if length < 126 else bytes([126]) + length.to_bytes(2, "big")
        self.wfile.write(head + data)

    def read_frame(self) -> bytes:
        _, length = self.rfile.read(2)
        length &= 0x7F
        if length == 126:
            length = int.from_bytes(self.rfile.read(2), "big")
        mask = self.rfile.read(4)
        return bytes(byte ^ mask[i % 4] for i, byte in enumerate(self.rfile.read(length)))


@contextlib.contextmanager
def api_server(folder: Path, authority: Authority | None = None) -> Iterator[ApiServer]:
    """A server with a certificate of its own authority or this one, and a kubeconfig for it."""
    authority = authority or Authority()
    certificate, key = authority.issue("127.0.0.1")
    (folder / "server.pem").write_text(certificate + key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")
    handler = type("Handler", (ApiHandler,), {})
    server = _Quiet(("127.0.0.1", 0), handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    url = f"https://127.0.0.1:{server.server_address[1]}"
    api = ApiServer(url, write_kubeconfig(folder / "kubeconfig", url, authority.pem), authority)
    handler.api = api  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield api
    finally:
        server.shutdown()
        server.server_close()


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that go away are what the tests are about."""

    def shutdown_request(self, request: Any) -> None:
        with contextlib.suppress(OSError):
            request.shutdown(socket.SHUT_RDWR)
        self.close_request(request)


def write_kubeconfig(path: Path, url: str, ca: str, **cluster: Any) -> Path:
    data = base64.b64encode(ca.encode()).decode()
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "it",
        "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
        "clusters": [
            {
                "name": "it",
                "cluster": {"server": url, "certificate-authority-data": data, **cluster},
            }
        ],
        "users": [{"name": "it", "user": {"token": TOKEN}}],
    }
    path.write_text(yaml.safe_dump(document))
    return path


def talk(handler: ApiHandler, result: bytes) -> None:
    """Say who is there, repeat the input until it ends, and close with a result."""
    handler.upgrade()
    handler.send_frame(b"\x01out")
    handler.send_frame(b"\x02err")
    if "stdin=true" in handler.path:
        while (frame := handler.read_frame()) != b"\xff\x00":
            handler.send_frame(b"\x01" + frame[1:])
    handler.send_frame(b"\x03" + result)
    handler.send_frame(b"\x03\xe8", opcode=8)


@pytest.fixture
def api(tmp_path: Path) -> Iterator[ApiServer]:
    with api_server(tmp_path) as server:
        yield server


@pytest.fixture
def kube(api: ApiServer) -> Iterator[ApiKube]:
    made = ApiKube(api.kubeconfig)
    yield made
    made.close()
