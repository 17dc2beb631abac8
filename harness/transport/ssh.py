"""Runs commands on machines by SSH: pinned host keys, one kept connection each, hard deadlines.

The commands run as root with any login (``root``).
"""

from __future__ import annotations

import contextlib
import logging
import shlex
import socket
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

import paramiko

from harness.core.errors import (
    ConfigError,
    Denied,
    HostKeyUnknown,
    NotListening,
    TimedOut,
    Unreachable,
)
from harness.core.model import Machine
from harness.settings import SshAccess
from harness.transport import root
from harness.transport.deadline import within
from harness.transport.protocols import Completed

# A machine that lost power sends nothing: the kernel drops a connection after this long.
_DEAD_AFTER_S = 15
_KEEPALIVE_S = 5
# A kept connection on which no session opens in this time counts as dead.
_PROMPT_S = 5.0
# sshd refuses more sessions on one connection than MaxSessions, by default 10.
_SESSIONS = 8
_CHUNK = 64 * 1024
Hear: TypeAlias = Callable[[str], None]

# Every failure is raised; its echo in a log would only confuse.
logging.getLogger("paramiko").addHandler(logging.NullHandler())


class SshShell:
    """Runs commands on the machines of an inventory; safe to use from several threads."""

    def __init__(self, access: SshAccess, machines: Iterable[Machine]) -> None:
        self._lines = {machine.name: _Line(access, machine) for machine in machines}

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
        if machine not in self._lines:
            raise ConfigError(f"the inventory has no machine {machine}")
        return self._lines[machine].run(argv, stdin.encode(), within_s, hear)

    def open_channel(
        self, machine: str, address: str, port: int, *, within_s: float = 5.0
    ) -> paramiko.Channel:
        """A connection from a machine to a TCP port that it can reach; the caller closes it.

        Raises NotListening when the port refused the machine, Unreachable, TimedOut, Denied or
        HostKeyUnknown when the machine cannot be asked.
        """
        return self._lines[machine].open_channel(address, port, within_s)

    def close(self) -> None:
        for line in self._lines.values():
            line.close()


class _Line:
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
        left_s = max(0.1, deadline - time.monotonic())
        try:
            return transport.open_channel(
                "direct-tcpip", (address, port), ("127.0.0.1", 0), timeout=left_s
            )
        except paramiko.ChannelException as error:
            raise NotListening(f"{self._where}: cannot reach {address}:{port}: {error}") from error
        except (paramiko.SSHException, EOFError, OSError) as error:
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
            return transport.open_session(timeout=max(0.1, deadline - time.monotonic()))
        except paramiko.ChannelException as error:
            raise Unreachable(f"{self._where}: sshd refused a session: {error}") from error
        except (paramiko.SSHException, EOFError, OSError) as error:
            self._retire(client)
            raise Unreachable(f"{self._where}: no session: {error}") from error

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
                client = connect(self._access, self._machine, left_s)
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
        command = root.command_line(self._access.user, argv, within_s + 1)
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
        transport = channel.get_transport()
        if status < 0 and not transport.is_active():
            raise Unreachable(f"{self._where}: connection lost while {argv[0]} ran")
        done = Completed(
            status=status,
            stdout=stdout.decode(errors="replace"),
            stderr=stderr.decode(errors="replace"),
            took_s=took_s,
        )
        root.must_be_root(self._access.user, done, self._where)
        return done


def _converse(
    channel: paramiko.Channel, command: str, stdin: bytes, hear: Hear | None
) -> tuple[int, bytes, bytes]:
    """Send a command and its input, and read both outputs to their ends, in parallel.

    The two outputs share one window: reading them one after the other would block on large ones.
    """
    channel.exec_command(command)
    stderr = bytearray()

    def read_stderr() -> None:
        while chunk := channel.recv_stderr(_CHUNK):
            stderr.extend(chunk)

    def write_stdin() -> None:
        # A command may end without reading its input: its status counts, not the broken pipe.
        with contextlib.suppress(OSError, EOFError):
            channel.sendall(stdin)
            channel.shutdown_write()

    helpers = [threading.Thread(target=work, daemon=True) for work in (read_stderr, write_stdin)]
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


def connect(access: SshAccess, machine: Machine, within_s: float) -> paramiko.SSHClient:
    """Log in to one machine, which must show the host key that known_hosts pins for its address."""
    where = f"{machine.name} ({machine.address})"
    key = _our_key(access)
    client = paramiko.SSHClient()
    client.set_missing_host_key_policy(_Pinned(access, where))
    if access.known_hosts.exists():
        client.load_host_keys(str(access.known_hosts))
    try:
        within(
            within_s,
            lambda: _log_in(client, access, machine, key, within_s),
            what=f"{where}: logging in by SSH",
            abandon=client.close,
        )
    except BaseException:
        client.close()
        raise
    return client


def _log_in(
    client: paramiko.SSHClient,
    access: SshAccess,
    machine: Machine,
    key: paramiko.PKey,
    within_s: float,
) -> None:
    where = f"{machine.name} ({machine.address})"
    try:
        client.connect(
            machine.address,
            port=access.port,
            username=access.user,
            pkey=key,
            sock=_socket(machine.address, access.port, within_s),
            timeout=within_s,
            banner_timeout=within_s,
            auth_timeout=within_s,
            allow_agent=False,
            look_for_keys=False,
        )
    except paramiko.BadHostKeyException as error:
        raise _changed(access, where, error) from error
    except paramiko.AuthenticationException as error:
        raise Denied(
            f"{where} refused the key {access.key} for {access.user}: {error}",
            remedy=f"add {access.key}.pub to ~{access.user}/.ssh/authorized_keys on {machine.name}",
        ) from error
    except (paramiko.SSHException, EOFError, OSError) as error:
        raise Unreachable(
            f"{where} port {access.port}: {error or type(error).__name__}",
            remedy=f"is {machine.name} up, is its sshd running, does its firewall allow it?",
        ) from error
    transport = client.get_transport()
    if transport is not None:
        transport.set_keepalive(_KEEPALIVE_S)


def _socket(address: str, port: int, within_s: float) -> socket.socket:
    sock = socket.create_connection((address, port), timeout=within_s)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _DEAD_AFTER_S * 1000)
    return sock


def _our_key(access: SshAccess) -> paramiko.PKey:
    try:
        return paramiko.PKey.from_path(access.key)
    except (OSError, ValueError, TypeError, paramiko.SSHException) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(
            f"cannot use the SSH key {access.key}: {why}",
            remedy="access.ssh.key in the profile names a private key without a passphrase",
        ) from error


class _Pinned(paramiko.MissingHostKeyPolicy):
    """Refuses a machine that known_hosts does not name, and says how to pin it."""

    def __init__(self, access: SshAccess, where: str) -> None:
        self._access = access
        self._where = where

    def missing_host_key(
        self,
        client: paramiko.SSHClient,
        hostname: str,
        key: paramiko.PKey,
    ) -> None:
        raise HostKeyUnknown(
            f"{self._where} showed the host key {key.fingerprint}, and {self._access.known_hosts} "
            f"pins none for {hostname}",
            remedy="compare that with `ssh-keygen -lf /etc/ssh/ssh_host_*_key.pub` on the "
            f"machine's console; when they agree, add the line `{hostname} {key.get_name()} "
            f"{key.get_base64()}` to {self._access.known_hosts}",
        )


def _changed(access: SshAccess, where: str, error: paramiko.BadHostKeyException) -> HostKeyUnknown:
    return HostKeyUnknown(
        f"{where} showed the host key {error.key.fingerprint}, but {access.known_hosts} pins "
        f"{error.expected_key.fingerprint}: another machine may answer at its address",
        remedy="find out why; only if the machine was installed again, replace its line in "
        f"{access.known_hosts}",
    )
