"""A real SSH server on 127.0.0.1, in this process, whose commands run in a shell."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import paramiko
from paramiko.common import (
    AUTH_FAILED,
    AUTH_SUCCESSFUL,
    OPEN_FAILED_CONNECT_FAILED,
    OPEN_SUCCEEDED,
)

from harness.core.declared import Machine
from harness.settings import SshAccess

_CHUNK = 32 * 1024


class SshServer:
    """Accepts one key; ``stall`` makes it accept connections and say nothing.

    ``programs`` is a folder of programs that commands find before all others. As sshd, it ends the
    connection for a message to a channel that both sides have closed.
    """

    def __init__(self, host_key: paramiko.PKey, client_key: paramiko.PKey) -> None:
        self.host_key = host_key
        self.client_key = client_key
        self.stall = False
        self.programs: Path | None = None
        self.logins = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._transports: list[paramiko.Transport] = []
        self._stalled: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def drop_connections(self) -> None:
        for transport in self._transports:
            transport.close()

    def close(self) -> None:
        self._listener.close()
        self.drop_connections()
        for sock in self._stalled:
            sock.close()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            if self.stall:
                self._stalled.append(sock)
                continue
            transport = paramiko.Transport(sock)
            transport.add_server_key(self.host_key)
            transport.channels_seen = _Freed()
            self._transports.append(transport)
            with contextlib.suppress(paramiko.SSHException, EOFError):
                transport.start_server(threading.Event(), _Session(self, transport))


class _Freed(dict[int, bool]):
    """Paramiko ignores messages to the channels in here, after their close; sshd ignores none."""

    def __setitem__(self, channel: int, seen: bool) -> None:
        pass


class _Session(paramiko.ServerInterface):
    def __init__(self, server: SshServer, transport: paramiko.Transport) -> None:
        self._server = server
        self._transport = transport
        self._round_trip = threading.Lock()
        # Paramiko itself would forget them before the other side has closed them, too.
        self._channels: list[paramiko.Channel] = []
        self._far: dict[int, socket.socket] = {}

    def get_allowed_auths(self, username: str) -> str:
        return "publickey"

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        if key != self._server.client_key:
            return AUTH_FAILED
        self._server.logins += 1
        return AUTH_SUCCESSFUL

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return OPEN_SUCCEEDED

    def check_channel_direct_tcpip_request(
        self,
        chanid: int,
        origin: tuple[str, int],
        destination: tuple[str, int],
    ) -> int:
        try:
            far = socket.create_connection(destination, timeout=5)
        except OSError:
            return OPEN_FAILED_CONNECT_FAILED
        far.settimeout(None)
        self._far[chanid] = far
        threading.Thread(target=self._join, daemon=True).start()
        return OPEN_SUCCEEDED

    def _join(self) -> None:
        """Join a channel that is about to be opened with its connection to elsewhere."""
        channel = self._transport.accept(5)
        assert channel is not None
        self._channels.append(channel)
        far = self._far.pop(channel.get_id())
        threading.Thread(target=_carry, args=(channel.recv, far.sendall), daemon=True).start()
        _carry(far.recv, channel.sendall)
        with contextlib.suppress(OSError, EOFError):
            channel.close()
        far.close()

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        self._channels.append(channel)
        threading.Thread(target=self._answer, args=(channel, command), daemon=True).start()
        return True

    def _answer(self, channel: paramiko.Channel, command: bytes) -> None:
        # Nothing may overtake the grant of the request, which the connection's own thread sends
        # on its way to reading the reply to this one.
        with self._round_trip:
            channel.get_transport().global_request("round-trip@localhost", wait=True)
        found_in = [str(it) for it in (self._server.programs,) if it] + [os.environ["PATH"]]
        here = f"127.0.0.1 1 127.0.0.1 {self._server.port}"
        _execute(channel, command, {"PATH": os.pathsep.join(found_in), "SSH_CONNECTION": here})


def _carry(receive: Callable[[int], bytes], send: Callable[[bytes], object]) -> None:
    with contextlib.suppress(OSError, EOFError):
        while chunk := receive(_CHUNK):
            send(chunk)


def _execute(channel: paramiko.Channel, command: bytes, environment: Mapping[str, str]) -> None:
    process = subprocess.Popen(
        ["/bin/sh", "-c", command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, **environment},
    )
    assert process.stdin
    assert process.stdout
    assert process.stderr
    stdin, stdout, stderr = process.stdin, process.stdout, process.stderr

    def feed() -> None:
        with contextlib.suppress(OSError), stdin:
            while chunk := channel.recv(_CHUNK):
                stdin.write(chunk)

    def copy_errors() -> None:
        with contextlib.suppress(OSError, EOFError), stderr:
            while chunk := stderr.read1(_CHUNK):  # type: ignore[attr-defined]
                channel.sendall_stderr(chunk)

    helpers = [threading.Thread(target=work, daemon=True) for work in (feed, copy_errors)]
    for helper in helpers:
        helper.start()
    with contextlib.suppress(OSError, EOFError), stdout:
        while chunk := stdout.read1(_CHUNK):  # type: ignore[attr-defined]
            channel.sendall(chunk)
    helpers[1].join()
    status = process.wait()
    with contextlib.suppress(OSError, EOFError):
        if status >= 0:
            channel.send_exit_status(status)
        channel.close()


@contextlib.contextmanager
def ssh_server(folder: Path, user: str = "root") -> Iterator[tuple[SshServer, SshAccess, Machine]]:
    """A server, how to log in to it (key and pinned host key in files), and its machine."""
    client_key, host_key = paramiko.ECDSAKey.generate(), paramiko.ECDSAKey.generate()
    client_key.write_private_key_file(str(folder / "key"))
    server = SshServer(host_key, client_key)
    access = SshAccess(
        user=user, port=server.port, key=folder / "key", known_hosts=folder / "known_hosts"
    )
    pin(access, server, host_key)
    try:
        yield server, access, Machine(name="m1", address="127.0.0.1", roles=("server",))
    finally:
        server.close()


def pin(access: SshAccess, server: SshServer, key: paramiko.PKey) -> None:
    line = f"[127.0.0.1]:{server.port} {key.get_name()} {key.get_base64()}\n"
    access.known_hosts.write_text(line)
