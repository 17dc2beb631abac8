"""Runs commands in pods, over the API's websocket.

The client's own ``stream`` swaps methods of a shared ApiClient, which breaks other threads, and
polls beneath TLS, which can miss data; so the frames are read here. Only protocol v5 (Kubernetes
1.30 and newer) can tell a command that its input has ended.
"""

from __future__ import annotations

import contextlib
import json
import re
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from urllib.parse import urlencode

import websocket
from kubernetes.client import Configuration
from kubernetes.stream.ws_client import create_websocket

from harness.core.errors import Denied, TransportError, Unreachable
from harness.core.parallel import hang_up, within
from harness.transport.protocols import Completed

_STDIN, _STDOUT, _STDERR, _RESULT, _CLOSE = 0, 1, 2, 3, 255
_CHUNK = 32 * 1024
# What containerd with runc or crun says of a program that the container has not, or that it may not
# run. The kubelet makes it an internal error; with Docker it was the exit status of a shell.
_NOT_THERE = re.compile(
    r'executable file .*not found in \$PATH|exec: "[^"]*": .*no such file or directory'
)
_NOT_ALLOWED = re.compile(r"exec: .*: permission denied")
# The API starts a command in a pod's only container; for a pod of several it wants a name.
_CHOOSE = "a container name must be specified"


def run_in_pod(
    configuration: Configuration,
    host: str,
    namespace: str,
    pod: str,
    argv: Sequence[str],
    *,
    stdin: bytes,
    within_s: float,
    first: Callable[[], str],
) -> Completed:
    """Run one command in a pod's first container, through the API at ``host``, and wait for it.

    ``first`` gives that container's name; it is asked if the pod has several.
    A program that is missing there has the status of a shell's: 127, or 126 if it may not run.
    Raises Denied, Unreachable or TimedOut; TransportError when the pod is missing.
    """
    where = f"{namespace}/{pod}"
    url = partial(_url, host, namespace, pod, argv, wants_input=bool(stdin))
    opened: list[websocket.WebSocket] = []

    def ask() -> Completed:
        socket = _connected(configuration, url, first)
        opened.append(socket)
        started = time.monotonic()
        streams = _converse(socket, stdin)
        status, says = _ended(where, bytes(streams[_RESULT]))
        return Completed(
            status=status,
            stdout=streams[_STDOUT].decode(errors="replace"),
            stderr=streams[_STDERR].decode(errors="replace") + says,
            took_s=time.monotonic() - started,
        )

    def abandon() -> None:
        for socket in opened:
            hang_up(socket.sock)

    try:
        return within(within_s, ask, what=f"{argv[0]} in pod {where}", abandon=abandon)
    except websocket.WebSocketBadStatusException as error:
        refused = Denied if error.status_code in (401, 403) else TransportError
        said = f"{error.status_code}: {_message(error.resp_body)}"
        raise refused(f"{argv[0]} in pod {where}: the API answered {said}") from error
    except (websocket.WebSocketException, OSError) as error:
        raise Unreachable(f"{argv[0]} in pod {where}: connection lost: {error}") from error


def _connected(
    configuration: Configuration, url: Callable[[str], str], first: Callable[[], str]
) -> websocket.WebSocket:
    """A connection to the command in the pod's only container, or in the first of several."""
    headers = {"sec-websocket-protocol": "v5.channel.k8s.io"}
    if authorization := configuration.get_api_key_with_prefix("authorization"):
        headers["authorization"] = authorization
    try:
        socket: websocket.WebSocket = create_websocket(configuration, url(""), headers)
    except websocket.WebSocketBadStatusException as error:
        if _CHOOSE not in _message(error.resp_body):
            raise
        socket = create_websocket(configuration, url(first()), headers)
    return socket


def _url(
    host: str, namespace: str, pod: str, argv: Sequence[str], container: str, *, wants_input: bool
) -> str:
    query = [("command", word) for word in argv]
    query += [("container", container)] if container else []
    query += [(stream, "true") for stream in ("stdout", "stderr")]
    query += [("stdin", "true")] if wants_input else []
    path = f"/api/v1/namespaces/{namespace}/pods/{pod}/exec?{urlencode(query)}"
    return f"{host.replace('http', 'ws', 1)}{path}"


def _message(body: bytes | None) -> str:
    """The API's message beside the status of a refusal."""
    try:
        return str(json.loads(body or b"")["message"])
    except (ValueError, KeyError, TypeError):
        return (body or b"").decode(errors="replace")


def _converse(socket: websocket.WebSocket, stdin: bytes) -> dict[int, bytearray]:
    """Send the input and read the output until the other side closes; then close too.

    Only this function closes, after everything is sent: OpenSSL uses the socket's number.
    """

    def send() -> None:
        # A command may end without reading its input: its status counts, not the broken pipe.
        with contextlib.suppress(websocket.WebSocketException, OSError):
            for start in range(0, len(stdin), _CHUNK):
                socket.send_binary(bytes([_STDIN]) + stdin[start : start + _CHUNK])
            socket.send_binary(bytes([_CLOSE, _STDIN]))

    helpers = [threading.Thread(target=send, daemon=True)] if stdin else []
    for helper in helpers:
        helper.start()
    streams = {_STDOUT: bytearray(), _STDERR: bytearray(), _RESULT: bytearray()}
    try:
        while True:
            opcode, data = socket.recv_data()
            if opcode == websocket.ABNF.OPCODE_CLOSE:
                return streams
            if data and data[0] in streams:
                streams[data[0]].extend(data[1:])
    finally:
        hang_up(socket.sock)
        for helper in helpers:
            helper.join()
        socket.shutdown()


def _ended(where: str, result: bytes) -> tuple[int, str]:
    """The exit status in the API's closing words, and why a program was not started.

    TransportError when the command never ran for another reason.
    """
    try:
        said = json.loads(result)
    except ValueError:
        raise Unreachable(f"pod {where}: the connection ended before the command did") from None
    if said.get("status") == "Success":
        return 0, ""
    for cause in said.get("details", {}).get("causes", ()):
        if cause.get("reason") == "ExitCode":
            return int(cause["message"]), ""
    says = str(said.get("message", "the command was not run"))
    for status, words in ((127, _NOT_THERE), (126, _NOT_ALLOWED)):
        if "failed to start exec" in says and words.search(says):
            return status, says
    raise TransportError(f"pod {where}: {says}")
