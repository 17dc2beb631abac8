"""Runs commands on machines by SSH, and makes tunnels: kept connections, hard deadlines.

The commands run as root with any login (``transport.login``).

Tunnels lead through machines to addresses that only machines reach, such as a service's. No port is
opened to the world: the connections run inside SSH connections. A local program that needs a socket
gets one end of a pair. A program that needs an address, as libpq does, gets a socket file that no
other user may open.
"""

from __future__ import annotations

import contextlib
import logging
import shlex
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeAlias

import paramiko

from harness.core.declared import Machine
from harness.core.errors import ConfigError, HarnessError, NotListening, TimedOut, Unreachable
from harness.core.parallel import hang_up, within
from harness.settings import SshAccess
from harness.transport.login import command_line, log_in, must_be_root
from harness.transport.protocols import Completed

# A kept connection on which no session opens in this time counts as dead.
_PROMPT_S = 5.0
# sshd refuses more sessions on one connection than MaxSessions, by default 10.
_SESSIONS = 8
_CHUNK = 64 * 1024
Hear: TypeAlias = Callable[[str], None]

# Every failure is raised; its echo in a log would only confuse.
logging.getLogger("paramiko").addHandler(logging.NullHandler())

_PIECE = 32 * 1024
# A client that waits longer than this for its connection has given up already.
_OPENS_S = 3.0


class SshShell:
    """Runs commands on the machines of an inventory; safe to use from several threads."""

    def __init__(self, access: SshAccess, machines: Iterable[Machine]) -> None:
        self._connections = {machine.name: _Connection(access, machine) for machine in machines}

    def run(
        self,
        machine: str,
        argv: Sequence[str],
        *,
        stdin: str = "",
        within_s: float = 30.0,
        hear: Hear | None = None,
    ) -> Completed:
        """Run one command on a machine and wait for it; ``hear`` is told each line as it comes.

        Raises Unreachable, TimedOut, Denied or HostKeyUnknown when the machine cannot be asked, and
        Denied when the login may not become root on it; ConfigError when the SSH key cannot be
        used.
        """
        if machine not in self._connections:
            raise ConfigError(f"the inventory has no machine {machine}")
        return self._connections[machine].run(argv, stdin.encode(), within_s, hear)

    def open_channel(
        self, machine: str, address: str, port: int, *, within_s: float = 5.0
    ) -> paramiko.Channel:
        """A connection from a machine to a TCP port that it can reach; the caller closes it.

        Raises NotListening when the port refused the machine, Unreachable, TimedOut, Denied or
        HostKeyUnknown when the machine cannot be asked.
        """
        return self._connections[machine].open_channel(address, port, within_s)

    def close(self) -> None:
        for connection in self._connections.values():
            connection.close()


class _Connection:
    """The connection to one machine: opened on first use, kept, and opened again when it broke."""

    def __init__(self, access: SshAccess, machine: Machine) -> None:
        self._access = access
        self._machine = machine
        self._client: paramiko.SSHClient | None = None
        self._retired: list[paramiko.SSHClient] = []
        self._connecting = threading.Lock()
        self._sessions = threading.BoundedSemaphore(_SESSIONS)
        self._where = f"{machine.name} ({machine.address})"

    def run(
        self, argv: Sequence[str], stdin: bytes, within_s: float, hear: Hear | None
    ) -> Completed:
        deadline = time.monotonic() + within_s
        if not self._sessions.acquire(timeout=within_s):
            raise TimedOut(f"{self._where}: {_SESSIONS} commands were still running there")
        try:
            channel = self._session(deadline)
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                channel.close()
                raise TimedOut(f"{self._where}: no time was left to run {argv[0]}")
            return self._ask(channel, argv, stdin, left_s, hear)
        finally:
            self._sessions.release()

    def open_channel(self, address: str, port: int, within_s: float) -> paramiko.Channel:
        deadline = time.monotonic() + within_s
        client, transport = self._connected(deadline)
        try:
            return self._opened(transport, deadline, "direct-tcpip", (address, port))
        except paramiko.ChannelException as error:
            raise NotListening(f"{self._where}: cannot reach {address}:{port}: {error}") from error
        except (paramiko.SSHException, EOFError, OSError, TimedOut) as error:
            # Silence may be that of the address: then others still use this connection.
            if not transport.is_active():
                self._retire(client)
            raise Unreachable(f"{self._where}: cannot reach {address}:{port}: {error}") from error

    def close(self) -> None:
        self._retire(self._client)
        while self._retired:
            self._retired.pop().close()

    def _retire(self, client: paramiko.SSHClient | None) -> None:
        """Stop using a connection, but leave it open for the commands that may still run on it."""
        if client is not None and client is self._client:
            self._client = None
            self._retired.append(client)

    def _session(self, deadline: float) -> paramiko.Channel:
        if self._client is not None:
            # It may be dead because its machine lost power: leave time to try a new one.
            with contextlib.suppress(Unreachable):
                return self._open_session(min(deadline, time.monotonic() + _PROMPT_S))
        return self._open_session(deadline)

    def _open_session(self, deadline: float) -> paramiko.Channel:
        client, transport = self._connected(deadline)
        try:
            return self._opened(transport, deadline, "session")
        except paramiko.ChannelException as error:
            raise Unreachable(f"{self._where}: sshd refused a session: {error}") from error
        except (paramiko.SSHException, EOFError, OSError, TimedOut) as error:
            self._retire(client)
            raise Unreachable(f"{self._where}: no session: {error}") from error

    def _opened(
        self,
        transport: paramiko.Transport,
        deadline: float,
        kind: str,
        to: tuple[str, int] | None = None,
    ) -> paramiko.Channel:
        """A new channel; paramiko's own limit begins only when its request has been sent."""
        left_s = max(0.1, deadline - time.monotonic())
        return within(
            left_s,
            lambda: transport.open_channel(kind, to, ("127.0.0.1", 0), timeout=left_s),
            what=f"{self._where}: opening a channel",
            abandon=lambda: None,
        )

    def _connected(self, deadline: float) -> tuple[paramiko.SSHClient, paramiko.Transport]:
        if not self._connecting.acquire(timeout=max(0.0, deadline - time.monotonic())):
            raise TimedOut(f"{self._where}: another command was still connecting")
        try:
            client = self._client
            transport = client.get_transport() if client else None
            if client is None or transport is None or not transport.is_active():
                self._retire(client)
                left_s = deadline - time.monotonic()
                if left_s <= 0:
                    raise TimedOut(f"{self._where}: no time was left to log in")
                client = log_in(self._access, self._machine, left_s)
                transport = client.get_transport()
                self._client = client
            assert transport is not None  # a client that connected has one
            return client, transport
        finally:
            self._connecting.release()

    def _ask(
        self,
        channel: paramiko.Channel,
        argv: Sequence[str],
        stdin: bytes,
        within_s: float,
        hear: Hear | None,
    ) -> Completed:
        # Closing a session ends no process on the machine, so the machine has the time limit too.
        command = command_line(self._access.user, argv, within_s + 1)
        started = time.monotonic()
        try:
            status, stdout, stderr = within(
                within_s,
                lambda: _converse(channel, command, stdin, hear),
                what=f"{self._where}: {shlex.join(argv)[:80]}",
                abandon=channel.close,
            )
        except (paramiko.SSHException, EOFError, OSError) as error:
            raise Unreachable(f"{self._where}: connection lost: {error}") from error
        took_s = time.monotonic() - started
        channel.close()
        if _is_cut_off(channel, status):
            raise Unreachable(f"{self._where}: connection lost while {argv[0]} ran")
        done = Completed(
            status=status,
            stdout=stdout.decode(errors="replace"),
            stderr=stderr.decode(errors="replace"),
            took_s=took_s,
        )
        must_be_root(self._access.user, done, self._where)
        return done


def _is_cut_off(channel: paramiko.Channel, status: int) -> bool:
    """True if the connection was lost before the end of the output, or before the status.

    sshd may send the status before the rest of the output, and then the end of the output. A
    command that a signal ended has no status. Paramiko closes the channels of a lost connection
    before it calls the connection inactive.
    """
    transport = channel.get_transport()
    is_lost = transport.saved_exception is not None or not transport.is_active()
    return not channel.eof_received or (status < 0 and is_lost)


def _converse(
    channel: paramiko.Channel, command: str, stdin: bytes, hear: Hear | None
) -> tuple[int, bytes, bytes]:
    """Send a command and its input, and read both outputs to their ends, in parallel.

    The two outputs share one window: reading them one after the other would block on large ones.
    """
    # The end of an input that is not there need not be sent.
    channel.exec_command(command if stdin else f"{command} </dev/null")
    stderr = bytearray()

    def read_stderr() -> None:
        while chunk := channel.recv_stderr(_CHUNK):
            stderr.extend(chunk)

    def write_stdin() -> None:
        # A command may end without reading its input: its status counts, not the broken pipe.
        with contextlib.suppress(OSError, EOFError):
            channel.sendall(stdin)
            channel.shutdown_write()

    works = (read_stderr, write_stdin) if stdin else (read_stderr,)
    helpers = [threading.Thread(target=work, daemon=True) for work in works]
    for helper in helpers:
        helper.start()
    stdout = bytearray()
    told = 0
    while chunk := channel.recv(_CHUNK):
        stdout.extend(chunk)
        end = stdout.rfind(b"\n") + 1
        if hear is not None and end > told:
            for line in stdout[told:end].decode(errors="replace").splitlines():
                hear(line)
            told = end
    for helper in helpers:
        helper.join()
    return channel.recv_exit_status(), bytes(stdout), bytes(stderr)


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
            while chunk := channel.recv(_PIECE):
                end.sendall(chunk)
        hang_up(end)

    returning = threading.Thread(target=back, daemon=True)

    def there() -> None:
        returning.start()
        with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
            while chunk := end.recv(_PIECE):
                channel.sendall(chunk)
        with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
            channel.close()
        returning.join()
        end.close()

    threading.Thread(target=there, daemon=True).start()
