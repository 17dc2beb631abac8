"""What a stranger sees, on loopback: open and closed ports, web servers, certificates."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.core.errors import Denied, NotListening, TimedOut, Unreachable
from harness.core.parallel import hang_up
from harness.probes.certificates import Authority
from harness.tests.strict_tls import as_python_3_13
from harness.transport import EntryPoint
from harness.transport.network import Network

HERE = "127.0.0.1"
HOST = "shop.example"


@contextmanager
def listening() -> Iterator[socket.socket]:
    with socket.create_server((HERE, 0)) as server:
        yield server


def port_of(server: socket.socket) -> int:
    port: int = server.getsockname()[1]
    return port


@given(st.data())
@settings(max_examples=20, deadline=None)
def test_exactly_the_open_ports_are_found_whatever_lies_around_them(data: st.DataObject) -> None:
    with listening() as one, listening() as other:
        ours = {port_of(one), port_of(other)}
        around = data.draw(st.integers(0, 900))
        # Low ones, because servers of other tests would hear the knocking.
        ports = sorted(ours | set(range(1, 1 + around)))
        seen = Network().scan_ports(HERE, ports)
    assert set(seen.open) >= ours
    assert len(seen.open) + seen.refused + seen.silent == len(ports)
    assert seen.silent == 0


def test_more_ports_than_files_may_be_open_are_knocked_at() -> None:
    # Below the ports that servers of other tests are given: they would hear the knocking.
    with listening() as server:
        ports = [*range(1, 30_000), port_of(server)]
        seen = Network().scan_ports(HERE, ports)
        assert port_of(server) in seen.open
    assert len(seen.open) + seen.refused == len(ports)


def test_a_port_that_says_nothing_is_silent_in_bounded_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("harness.transport.network._PATIENCE_S", 0.2)
    with socket.socket() as full:
        full.bind((HERE, 0))
        full.listen(0)
        waiting = [socket.socket() for _ in range(3)]
        for one in waiting:  # fills the queue: whoever comes now is not answered
            one.setblocking(False)
            with suppress(BlockingIOError):
                one.connect(full.getsockname())
        seen = Network().scan_ports(HERE, [port_of(full)])
        for one in waiting:
            one.close()
    assert (seen.open, seen.refused, seen.silent) == ((), 0, 1)


@contextmanager
def answering(words: bytes, server: socket.socket) -> Iterator[None]:
    """The server hears something and answers with these words."""

    def serve() -> None:
        connection, _ = server.accept()
        with connection:
            connection.settimeout(5)
            connection.recv(4096)
            connection.sendall(words)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield
    thread.join(5)


def test_an_exchange_is_everything_that_the_other_side_says() -> None:
    with listening() as server, answering(b"balanced", server):
        assert Network().exchange(HERE, port_of(server), b"N") == b"balanced"
    with pytest.raises(NotListening):
        Network().exchange(HERE, port_of_nobody(), b"N")


def port_of_nobody() -> int:
    with listening() as server:
        return port_of(server)


def test_who_never_answers_is_timed_out() -> None:
    with listening() as server, pytest.raises(TimedOut):
        Network().exchange(HERE, port_of(server), b"N", within_s=0.3)


def test_a_site_is_asked_for_by_its_name() -> None:
    said = b"HTTP/1.1 429 Too Many\r\nRetry-After: 2\r\nContent-Length: 2\r\n\r\nno"
    with listening() as server, answering(said, server):
        entry = EntryPoint("http", port_of(server))
        answer = Network().get(HOST, "/", at=HERE, entry=entry)
    assert (answer.status, answer.body, answer.headers["retry-after"]) == (429, "no", "2")


def test_a_page_that_breaks_off_is_not_taken_for_the_whole() -> None:
    said = b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n<html>half"
    with listening() as server, answering(said, server):
        entry = EntryPoint("http", port_of(server))
        with pytest.raises(Unreachable, match=r"IncompleteRead\(10 bytes read, 4990 more expected"):
            Network().request("GET", HOST, "/", at=HERE, entry=entry)


def test_a_long_page_is_read_to_the_first_megabyte() -> None:
    said = b"HTTP/1.1 200 OK\r\nContent-Length: 2000000\r\n\r\n" + bytes(2_000_000)
    with listening() as server, answering(said, server):
        entry = EntryPoint("http", port_of(server))
        answer = Network().request("GET", HOST, "/", at=HERE, entry=entry)
    assert (len(answer.body), answer.is_whole) == (1 << 20, False)


def test_over_https_a_site_is_asked_with_any_certificate(tmp_path: Path) -> None:
    said = b"HTTP/1.1 404 Not Found\r\nContent-Length: 19\r\n\r\n404 page not found\n"
    issued = Authority().issue("TRAEFIK DEFAULT CERT", days=-1)
    with site(tmp_path, issued, said) as port:
        answer = Network().get(HOST, "/", at=HERE, entry=EntryPoint("https", port))
    assert (answer.status, answer.body) == (404, "404 page not found\n")


def test_a_server_that_hangs_up_during_tls_has_refused_nothing() -> None:
    """As an ingress does that is being stopped: that says nothing about its certificates."""
    with listening() as server:
        at = port_of(server)
        with answering(b"", server), pytest.raises(Unreachable, match="ended during TLS"):
            Network().certificate(HOST, at=HERE, port=at)
        with answering(b"", server), pytest.raises(Unreachable, match="ended during TLS"):
            Network().get(HOST, "/", at=HERE, entry=EntryPoint("https", at))


def test_a_server_that_speaks_no_tls_is_not_asked_over_it() -> None:
    with listening() as server, answering(b"hello, this is plain\r\n", server):
        entry = EntryPoint("https", port_of(server))
        with pytest.raises((Denied, Unreachable)):
            Network().get(HOST, "/", at=HERE, entry=entry)


@contextmanager
def site(folder: Path, issued: tuple[str, str], said: bytes = b"") -> Iterator[int]:
    """The port of a TLS server with a certificate; it answers every client."""
    (folder / "crt").write_text(issued[0])
    (folder / "key").write_text(issued[1])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "crt", folder / "key")
    with listening() as server:

        def serve() -> None:
            connection, _ = server.accept()
            with suppress(OSError), context.wrap_socket(connection, server_side=True) as talk:
                talk.recv(4096)
                talk.sendall(said)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield port_of(server)
        thread.join(5)


def test_a_valid_certificate_is_shown(tmp_path: Path) -> None:
    authority = Authority()
    issued = authority.issue(HOST)
    with site(tmp_path, issued) as port:
        shown = Network().certificate(HOST, at=HERE, port=port, authority=authority.pem)
    assert shown.split() == issued[0].split()


@pytest.mark.parametrize(
    ("host", "days", "known", "says"),
    [
        ("other.example", 1, True, "shop.example"),
        (HOST, -1, True, "expired"),
        (HOST, 1, False, "unable to get local issuer|self-signed"),
    ],
)
def test_a_certificate_that_a_browser_would_refuse_is_denied(
    tmp_path: Path,
    host: str,
    days: int,
    known: bool,
    says: str,
) -> None:
    authority = Authority()
    trusted = authority if known else Authority()
    with (
        site(tmp_path, authority.issue(host, days=days)) as port,
        pytest.raises(Denied, match=says),
    ):
        Network().certificate(HOST, at=HERE, port=port, authority=trusted.pem)


def issued_plainly(host: str) -> tuple[str, tuple[str, str]]:
    """An authority (PEM), and a certificate of it without key identifiers, as by openssl 3.0."""
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    called = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, it)]) for it in ("plain", host)]
    now, day = datetime.now(UTC), timedelta(days=1)
    made = [
        x509.CertificateBuilder(called[0], name, key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - day)
        .not_valid_after(now + day)
        for name, key in zip(called, keys, strict=True)
    ]
    root = made[0].add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    leaf = made[1].add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
    plain, coded = serialization.NoEncryption(), serialization.Encoding.PEM
    key = keys[1].private_bytes(coded, serialization.PrivateFormat.PKCS8, plain).decode()
    root_pem, leaf_pem = (
        it.sign(keys[0], hashes.SHA256()).public_bytes(coded).decode() for it in (root, leaf)
    )
    return root_pem, (leaf_pem, key)


def test_a_certificate_without_key_identifiers_is_shown_by_python_3_13_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    as_python_3_13(monkeypatch)
    root, issued = issued_plainly(HOST)
    with site(tmp_path, issued) as port:
        shown = Network().certificate(HOST, at=HERE, port=port, authority=root)
    assert shown.split() == issued[0].split()


def test_a_server_without_tls_shows_no_certificate() -> None:
    with (
        listening() as server,
        answering(b"hello, this is plain\r\n", server),
        pytest.raises((Denied, Unreachable)),
    ):
        Network().certificate(HOST, at=HERE, port=port_of(server))


def test_who_is_hung_up_on_keeps_the_number_until_its_own_thread_lets_go() -> None:
    here, there = socket.socketpair()
    with there:
        heard: list[bytes] = []
        reader = threading.Thread(target=lambda: heard.append(here.recv(10)), daemon=True)
        reader.start()
        hang_up(here)
        reader.join(5)
        assert heard == [b""]
        assert here.fileno() != -1
        here.close()
        hang_up(here)
        hang_up(None)
