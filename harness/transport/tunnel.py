"""Tunnels through machines to addresses that only machines reach, such as a service's.

No port is opened to the world: the connections run inside SSH connections. A local program that
needs a socket gets one end of a pair. A program that needs an address, as libpq does, gets a socket
file that no other user may open.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import tempfile
import threading
from collections.abc import Iterable
from pathlib import Path

import paramiko

from harness.core.errors import HarnessError
from harness.core.model import Machine
from harness.settings import SshAccess
from harness.transport.deadline import hang_up
from harness.transport.ssh import SshShell

_CHUNK = 32 * 1024
# A client that waits longer than this for its connection has given up already.
_OPENS_S = 3.0


class Tunnels:
    """Tunnels through the machines of an inventory, on connections of their own.

    Safe to use from several threads; what is open is closed with it.
    """

    def __init__(self, access: SshAccess, machines: Iterable[Machine]) -> None:
        self._shell = SshShell(access, machines)
        self._folder = Path(tempfile.mkdtemp(prefix="cutover-tunnel-"))
        self._forwards: dict[tuple[str, str, int], socket.socket] = {}
        self._lock = threading.Lock()

    def connect(
        self, machine: str, address: str, port: int, *, within_s: float = _OPENS_S
    ) -> socket.socket:
        """A socket whose other end is that port, reached from that machine.

        Raises NotListening, Unreachable, TimedOut, Denied or HostKeyUnknown if it cannot connect.
        """
        channel = self._shell.open_channel(machine, address, port, within_s=within_s)
        ours, theirs = socket.socketpair()
        _join(theirs, channel)
        return ours

    def unix_forward(self, machine: str, address: str, port: int) -> Path:
        """A socket file, named for libpq; each connection to it leads to that port.

        A connection that the machine cannot make is closed at once.
        """
        with self._lock:
            place = self._folder / f"{machine}-{address}"
            path = place / f".s.PGSQL.{port}"
            if (machine, address, port) not in self._forwards:
                place.mkdir(exist_ok=True)
                forward = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                forward.bind(str(path))
                forward.listen()
                self._forwards[machine, address, port] = forward
                words = (forward, machine, address, port)
                threading.Thread(target=self._receive, args=words, daemon=True).start()
            return path

    def close(self) -> None:
        for forward in self._forwards.values():
            # Closing alone would leave the accepting thread waiting.
            hang_up(forward)
            forward.close()
        self._shell.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _receive(self, forward: socket.socket, machine: str, address: str, port: int) -> None:
        while True:
            try:
                guest, _ = forward.accept()
            except OSError:
                return  # it was closed
            words = (guest, machine, address, port)
            threading.Thread(target=self._lead, args=words, daemon=True).start()

    def _lead(self, guest: socket.socket, machine: str, address: str, port: int) -> None:
        try:
            _join(guest, self._shell.open_channel(machine, address, port, within_s=_OPENS_S))
        except HarnessError:
            guest.close()  # which is how the client learns of it


def _join(end: socket.socket, channel: paramiko.Channel) -> None:
    """Carry bytes both ways until one side closes, on threads of their own; then close both."""

    def back() -> None:
        with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
            while chunk := channel.recv(_CHUNK):
                end.sendall(chunk)
        hang_up(end)

    returning = threading.Thread(target=back, daemon=True)

    def there() -> None:
        returning.start()
        with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
            while chunk := end.recv(_CHUNK):
                channel.sendall(chunk)
        with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
            channel.close()
        returning.join()
        end.close()

    threading.Thread(target=there, daemon=True).start()
