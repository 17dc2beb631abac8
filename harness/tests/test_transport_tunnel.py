"""Tunnels through a real SSH server to a port that only it is asked to reach."""

from __future__ import annotations

import socket
import stat
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from harness.core.errors import NotListening, TransportError
from harness.tests.ssh_server import SshServer, ssh_server
from harness.transport.ssh import Tunnels


@pytest.fixture
def echo() -> Iterator[int]:
    """A port that says everything again, in capitals."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    guest, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=answer, args=(guest,), daemon=True).start()

        def answer(guest: socket.socket) -> None:
            with guest:
                while chunk := guest.recv(1024):
                    guest.sendall(chunk.upper())

        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def tunnels(tmp_path: Path) -> Iterator[tuple[Tunnels, SshServer]]:
    with (
        ssh_server(tmp_path) as (server, access, machine),
        closing(Tunnels(access, [machine])) as made,
    ):
        yield made, server


def said(end: socket.socket, words: bytes) -> bytes:
    end.settimeout(5)
    end.sendall(words)
    heard = b""
    while len(heard) < len(words):
        heard += end.recv(65536)
    return heard


def test_a_socket_leads_to_the_port(tunnels: tuple[Tunnels, SshServer], echo: int) -> None:
    with tunnels[0].connect("m1", "127.0.0.1", echo) as end:
        assert said(end, b"hello " * 20_000) == b"HELLO " * 20_000


def test_a_door_lets_one_connection_after_the_other_through(
    tunnels: tuple[Tunnels, SshServer], echo: int
) -> None:
    forward = tunnels[0].unix_forward("m1", "127.0.0.1", echo)
    assert forward.name == f".s.PGSQL.{echo}"
    assert tunnels[0].unix_forward("m1", "127.0.0.1", echo) == forward
    assert stat.S_IMODE(forward.parent.parent.stat().st_mode) == 0o700
    for _ in range(3):
        with socket.socket(socket.AF_UNIX) as end:
            end.connect(str(forward))
            assert said(end, b"hello") == b"HELLO"
    assert tunnels[1].logins == 1


def test_a_port_that_refuses_is_told_at_once_and_behind_a_door_closes(
    tunnels: tuple[Tunnels, SshServer],
) -> None:
    with pytest.raises(NotListening, match="cannot reach"):
        tunnels[0].connect("m1", "127.0.0.1", 1)
    with socket.socket(socket.AF_UNIX) as end:
        end.connect(str(tunnels[0].unix_forward("m1", "127.0.0.1", 1)))
        end.settimeout(5)
        assert end.recv(1) == b""


def test_a_lost_connection_ends_what_went_through_it_and_is_made_anew(
    tunnels: tuple[Tunnels, SshServer], echo: int
) -> None:
    with tunnels[0].connect("m1", "127.0.0.1", echo) as end:
        assert said(end, b"one") == b"ONE"
        tunnels[1].drop_connections()
        assert end.recv(1) == b""
    with tunnels[0].connect("m1", "127.0.0.1", echo) as end:
        assert said(end, b"two") == b"TWO"


def test_a_machine_that_does_not_answer_costs_the_deadline(
    tunnels: tuple[Tunnels, SshServer], echo: int
) -> None:
    tunnels[1].stall = True
    with pytest.raises(TransportError):
        tunnels[0].connect("m1", "127.0.0.1", echo, within_s=0.3)


def test_closing_leaves_nothing_behind(tunnels: tuple[Tunnels, SshServer], echo: int) -> None:
    forward = tunnels[0].unix_forward("m1", "127.0.0.1", echo)
    tunnels[0].close()
    assert not forward.parent.parent.exists()
