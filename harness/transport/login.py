"""Logs in to machines: pinned host keys, and root's rights by the login itself or by sudo.

``timeout`` runs every command and ends it at the deadline. The rules for sudo allow ``timeout``
without a password (``scenarios/provision/nodes.yaml``).
"""

from __future__ import annotations

import math
import shlex
import socket
from collections.abc import Sequence

import paramiko
from paramiko import common

from harness.core.declared import Machine
from harness.core.errors import ConfigError, Denied, HostKeyUnknown, Unreachable
from harness.core.parallel import within
from harness.settings import SshAccess
from harness.transport.protocols import Completed

# A machine that lost power sends nothing: the kernel drops a connection after this long.
_DEAD_AFTER_S = 15
_KEEPALIVE_S = 5

# The messages for an open channel: MSG_CHANNEL_CLOSE may follow them (RFC 4254, 9).
_OF_A_CHANNEL = (
    common.MSG_CHANNEL_WINDOW_ADJUST,
    common.MSG_CHANNEL_DATA,
    common.MSG_CHANNEL_EXTENDED_DATA,
    common.MSG_CHANNEL_EOF,
    common.MSG_CHANNEL_REQUEST,
)

ROOT = "root"
# The harness reads what programs and sudo say in English, so the login's language must not count.
_IN_ENGLISH = "/usr/bin/env LC_ALL=C"
_SUDO = f"{_IN_ENGLISH} sudo"
# sudo drops the variables that name the SSH connection; some faults must not cut it.
_KEEPING = f'{_IN_ENGLISH} SSH_CONNECTION="$SSH_CONNECTION"'
_REFUSED = (
    "a password is required",
    "a terminal is required",
    "is not allowed to",
    "is not in the sudoers file",
    "may not run sudo",
)


def limit(seconds: float) -> str:
    """Kills a command after this long, at least one second: 0 means no limit to timeout(1)."""
    return f"/usr/bin/timeout --signal KILL {math.ceil(max(seconds, 1))}"


def command_line(user: str, argv: Sequence[str], seconds: float) -> str:
    """The line for the login shell that runs a command as root, with a time limit."""
    if user == ROOT:
        return f"{_IN_ENGLISH} {limit(seconds)} {shlex.join(argv)}"
    return f"{_SUDO} -n -- {limit(seconds)} {_KEEPING} {shlex.join(argv)}"


def becoming(seconds: float) -> dict[str, str]:
    """The same for Ansible's modules, as inventory variables."""
    # sudo would take what follows `--` for a command: no user is named, which is root.
    return {
        "ansible_become_exe": _SUDO,
        "ansible_become_flags": f"-n -- {limit(seconds)}",
        "ansible_become_user": "",
    }


def must_be_root(user: str, done: Completed, where: str) -> None:
    """Denied if sudo refused: then no command ran, and its status means nothing."""
    if user == ROOT:
        return
    said = done.stderr.strip()
    absent = done.status == 127 and "sudo" in said.partition("not found")[0]
    refused = done.status == 1 and any(words in said for words in _REFUSED)
    if absent or (refused and said.startswith(("sudo:", "Sorry, user"))):
        raise Denied(
            f"{where}: {user} may not become root there: {said[-200:]}",
            remedy="run `./cutover provision nodes` once as a user who may become root: "
            "it installs the rules for sudo",
        )


def log_in(access: SshAccess, machine: Machine, within_s: float) -> paramiko.SSHClient:
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
            lambda: _authenticate(client, access, machine, key, within_s),
            what=f"{where}: logging in by SSH",
            abandon=client.close,
        )
    except BaseException:
        client.close()
        raise
    return client


def _authenticate(
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
            transport_factory=_Transport,  # type: ignore[arg-type]
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
            remedy=f"see that {machine.name} is up, that its sshd runs, and that its firewall lets "
            "this computer in",
        ) from error
    transport = client.get_transport()
    if transport is not None:
        transport.set_keepalive(_KEEPALIVE_S)


def _socket(address: str, port: int, within_s: float) -> socket.socket:
    sock = socket.create_connection((address, port), timeout=within_s)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _DEAD_AFTER_S * 1000)
    # As OpenSSH does: a command is several small packets, and none waits for the one before.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
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


class _Transport(paramiko.Transport):
    """Sends nothing for a closed channel but its close.

    Paramiko makes a message under the lock of its channel and sends it after. In between, its other
    thread may answer the machine's close, or a deadline may close the channel. sshd then frees the
    channel, and ends the connection, with all other commands on it, for data or an end of input
    that follows ("packet referred to nonexistent channel").
    """

    def _send_message(self, data: paramiko.Message) -> None:
        # The lock under which messages are sent is held here, so no close comes in between.
        kind, channel = data.asbytes()[0], int.from_bytes(data.asbytes()[1:5], "big")
        if kind in _OF_A_CHANNEL and not any(
            it.remote_chanid == channel and not it.closed
            for it in self._channels.values()  # type: ignore[attr-defined]
        ):
            return
        super()._send_message(data)  # type: ignore[misc]


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
