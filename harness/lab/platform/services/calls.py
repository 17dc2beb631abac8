"""HTTP between the parts, and to the APIs of Docker and Kubernetes: JSON there and back."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from typing import Any
from urllib.parse import urlsplit

Json = dict[str, Any]
WITHIN_S = 10
DOCKER = "/var/run/docker.sock"


class CallFailed(Exception):
    """The other side answered with an error."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"{status}: {text[:300]}")
        self.status = status


class _Socket(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.host)


def call(
    method: str,
    url: str,
    body: object = None,
    headers: dict[str, str] | None = None,
    context: ssl.SSLContext | None = None,
    within_s: float = WITHIN_S,
) -> Json:
    """Ask once; the answer's JSON. CallFailed for 400 and above, OSError when nothing answers.

    A path without a host goes to Docker's socket.
    """
    parts = urlsplit(url)
    connection: http.client.HTTPConnection
    if not parts.hostname:
        connection = _Socket(DOCKER, timeout=within_s)
    elif parts.scheme == "https":
        port = parts.port or 443
        connection = http.client.HTTPSConnection(
            parts.hostname, port, timeout=within_s, context=context
        )
    else:
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=within_s)
    sent = None if body is None else json.dumps(body).encode()
    kind = {"Content-Type": "application/json"} if sent else {}
    path = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
    try:
        connection.request(
            method, path, sent, {"Host": parts.hostname or "docker"} | kind | (headers or {})
        )
        answer = connection.getresponse()
        text = answer.read().decode(errors="replace")
    except http.client.HTTPException as error:
        raise OSError(f"{url}: {error!r}") from error
    finally:
        connection.close()
    if answer.status >= 400:
        raise CallFailed(answer.status, text)
    is_json = "json" in answer.headers.get("Content-Type", "")
    found = json.loads(text) if text and is_json else {}
    return found if isinstance(found, dict) else {"items": found}
