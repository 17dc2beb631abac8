"""Messages that are made before their channel is closed, and sent after that.

sshd ends the whole connection for such a message; so does the server here.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TypeAlias

import paramiko
import pytest
from paramiko.common import MSG_CHANNEL_CLOSE, MSG_CHANNEL_DATA, MSG_CHANNEL_EOF

from harness.core.errors import TimedOut
from harness.tests.ssh_server import ssh_server
from harness.transport.ssh import SshShell, Tunnels

SENDING = "_send_user_message"
WAIT_S = 10


class Late:
    """The client's next message of a kind, which waits until its channel's close is sent.

    ``held``: it is made; ``sent``: it went the way of all messages, after the close.
    """

    def __init__(self, kind: int) -> None:
        self._kind = kind
        self._channel = (0, b"")
        self.held, self._closed, self.sent = (threading.Event() for _ in range(3))

    def send(
        self,
        send: Callable[[paramiko.Transport, paramiko.Message], None],
        transport: paramiko.Transport,
        message: paramiko.Message,
    ) -> None:
        kind, channel = message.asbytes()[0], (id(transport), message.asbytes()[1:5])
        of_a_caller = not transport.server_mode and threading.current_thread() is not transport
        if kind == self._kind and of_a_caller and not self.held.is_set():
            self._channel = channel
            self.held.set()
            assert self._closed.wait(WAIT_S)
            send(transport, message)
            self.sent.set()
            return
        send(transport, message)
        if kind == MSG_CHANNEL_CLOSE and channel == self._channel:
            self._closed.set()


Delay: TypeAlias = Callable[[int], Late]


@pytest.fixture
def delay(monkeypatch: pytest.MonkeyPatch) -> Delay:
    """Makes the next message of a kind late."""
    send = vars(paramiko.Transport)[SENDING]

    def begin(kind: int) -> Late:
        late = Late(kind)
        monkeypatch.setattr(paramiko.Transport, SENDING, lambda *message: late.send(send, *message))
        return late

    return begin


def pipe_in(folder: Path, name: str) -> Path:
    os.mkfifo(folder / name)
    return folder / name


@contextmanager
def kept(folder: Path) -> Iterator[tuple[SshShell, ThreadPoolExecutor]]:
    """A connection on which another command runs, and ends as if nothing had happened."""
    pipe = pipe_in(folder, "other")
    with (
        ssh_server(folder) as (server, access, machine),
        closing(SshShell(access, [machine])) as shell,
        ThreadPoolExecutor(max_workers=2) as pool,
    ):
        other = pool.submit(shell.run, "m1", ("cat", str(pipe)))
        with pipe.open("w") as end:
            yield shell, pool
            end.write("whole\n")
        assert other.result().stdout == "whole\n"
        assert shell.run("m1", ("echo", "here")).stdout == "here\n"
        assert server.logins == 1


@pytest.mark.parametrize("kind", [MSG_CHANNEL_EOF, MSG_CHANNEL_DATA], ids=["its end", "its data"])
def test_input_that_a_command_does_not_wait_for_ends_no_connection(
    tmp_path: Path, delay: Delay, kind: int
) -> None:
    pipe = pipe_in(tmp_path, "pipe")
    with kept(tmp_path) as (shell, pool):
        late = delay(kind)
        running = pool.submit(shell.run, "m1", ("cat", str(pipe)), stdin="unread")
        assert late.held.wait(WAIT_S)
        pipe.open("w").close()
        assert running.result().status == 0
        assert late.sent.wait(WAIT_S)


def test_input_that_is_on_its_way_at_the_deadline_ends_no_connection(
    tmp_path: Path, delay: Delay
) -> None:
    pipe = pipe_in(tmp_path, "pipe")
    with kept(tmp_path) as (shell, _):
        late = delay(MSG_CHANNEL_DATA)
        with pytest.raises(TimedOut):
            shell.run("m1", ("cat", str(pipe)), stdin="unread", within_s=2)
        assert late.sent.wait(WAIT_S)


def test_what_is_sent_to_a_port_that_has_closed_ends_no_connection(
    tmp_path: Path, delay: Delay
) -> None:
    with (
        ssh_server(tmp_path) as (server, access, machine),
        closing(Tunnels(access, [machine])) as tunnels,
        socket.create_server(("127.0.0.1", 0)) as port,
    ):
        number = port.getsockname()[1]
        with tunnels.connect("m1", "127.0.0.1", number) as other, port.accept()[0] as far:
            far.settimeout(WAIT_S)
            other.sendall(b"first")
            assert far.recv(64) == b"first"
            with tunnels.connect("m1", "127.0.0.1", number) as end:
                late = delay(MSG_CHANNEL_DATA)
                end.sendall(b"unread")
                assert late.held.wait(WAIT_S)
                port.accept()[0].close()
                assert late.sent.wait(WAIT_S)
            other.sendall(b"still here?")
            assert far.recv(64) == b"still here?"
        assert server.logins == 1
