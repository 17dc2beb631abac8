"""The network from where the harness stands: port scans, single connections, single requests.

Each is answered within its deadline, or a TransportError says why not.
"""

from __future__ import annotations

import errno
import http.client
import resource
import selectors
import socket
import ssl
import struct
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import urlsplit

from harness.core.errors import Denied, NotListening, TimedOut, Unreachable
from harness.core.parallel import hang_up, within
from harness.core.tls import trusting
from harness.transport.protocols import HTTP, Answer, Echoed, EntryPoint, PortScan, Response

T = TypeVar("T")
_API_BYTES = 4 * 1024 * 1024
# The kernel sends a lost first packet again after one second.
_PATIENCE_S = 2.5
# For one address; several machines, each with two families, are scanned in parallel.
_AT_ONCE = 900
_FILES = 16_384
_PAGE_BYTES = 1024 * 1024
# Closing resets the connection: thousands in TIME_WAIT would use up the local ports.
_RESET = struct.pack("ii", 1, 0)
# Datagrams get lost: each is sent this often, this far apart.
_ROUNDS = 6
_EVERY_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """Trusted authority and client identity (PEM); no ``ca_file``: the system's authorities."""

    ca_file: str | None
    cert_file: str | None = None
    key_file: str | None = None
    authorization: str | None = None


def get(url: str, credentials: Credentials | None, *, within_s: float) -> Answer:
    """Ask a server for a page's first 4 MiB.

    Without credentials the harness sends none and verifies no certificate. Raises Denied when the
    certificate is not signed by the authority, NotListening when the port is closed, Unreachable or
    TimedOut when no answer comes.
    """
    target = urlsplit(url)
    path = f"{target.path or '/'}?{target.query}" if target.query else target.path or "/"
    connection = http.client.HTTPSConnection(
        target.hostname or "", target.port, timeout=within_s, context=tls_context(credentials)
    )
    headers = {"Accept": "application/json, text/plain"}
    if credentials and credentials.authorization:
        headers["Authorization"] = credentials.authorization

    def ask() -> Answer:
        with closing(connection):
            connection.request("GET", path, headers=headers)
            shown = connection.sock.getpeercert(binary_form=True) or b""
            response = connection.getresponse()
            return Answer(
                status=response.status,
                body=_begin_of(response, _API_BYTES)[0].decode(errors="replace"),
                certificate=ssl.DER_cert_to_PEM_cert(shown),
            )

    return answered(
        ask,
        f"GET {url}",
        within_s,
        lambda: connection.sock,
        refusal=ssl.SSLCertVerificationError,
        because="the certificate is not signed by the authority in the kubeconfig, or not for this "
        "address: ",
    )


def _begin_of(response: http.client.HTTPResponse, most: int) -> tuple[bytes, bool]:
    """So many bytes of a body, and whether it is whole; IncompleteRead if it breaks off."""
    body = response.read(most)
    is_whole = not response.read(1)
    # http.client takes the end of a connection for the end of a body, of whatever length.
    if is_whole and response.length:
        raise http.client.IncompleteRead(body, response.length)
    return body, is_whole


def tls_context(credentials: Credentials | None) -> ssl.SSLContext:
    """Trust only the cluster's authority, show the client identity; without credentials neither."""
    if credentials is None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    context = trusting(file=credentials.ca_file)
    if credentials.cert_file:
        context.load_cert_chain(credentials.cert_file, credentials.key_file)
    return context


def answered(
    call: Callable[[], T],
    what: str,
    within_s: float,
    connection: Callable[[], socket.socket | None],
    *,
    refusal: type[ssl.SSLError] = ssl.SSLError,
    because: str = "",
) -> T:
    """What the call returns within ``within_s`` seconds; the call closes its connection.

    Raises Denied for a TLS error that is a ``refusal``, with ``because`` before its message,
    NotListening when the port is closed, Unreachable or TimedOut when no answer comes.
    """
    try:
        return within(within_s, call, what=what, abandon=lambda: hang_up(connection()))
    except ssl.SSLEOFError as error:  # no refusal: a server that is stopped hangs up, too
        raise Unreachable(f"{what}: the connection ended during TLS") from error
    except refusal as error:
        says = getattr(error, "verify_message", "") or error
        raise Denied(f"{what}: {because}{says}") from error
    except TimeoutError as error:
        raise TimedOut(f"{what}: no answer within {within_s:g} s") from error
    except ConnectionRefusedError as error:
        raise NotListening(f"{what}: connection refused") from error
    except (OSError, http.client.HTTPException) as error:
        raise Unreachable(f"{what}: {error or type(error).__name__}") from error


class Network:
    """The network, from where the harness stands."""

    def scan_ports(self, address: str, ports: Iterable[int]) -> PortScan:
        """Try a TCP connection to each port; send nothing on those that are accepted.

        All 65,535 ports take seconds where they are refused, three minutes where nothing answers.
        """
        _allow_files()
        return _Scan(address).at(ports)

    def send(self, address: str, payloads: Mapping[int, bytes]) -> Echoed:
        """Send each UDP port its payload and report the replies; see ``send_datagrams``."""
        return send_datagrams(address, payloads)

    def exchange(self, address: str, port: int, words: bytes, *, within_s: float = 5.0) -> bytes:
        """Connect, send the bytes, and read everything until the other side closes.

        Raises NotListening, Unreachable or TimedOut.
        """
        talk = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        talk.settimeout(within_s)

        def call() -> bytes:
            with talk:
                talk.connect((address, port))
                talk.sendall(words)
                return b"".join(iter(lambda: talk.recv(65536), b""))

        return answered(call, f"{address}:{port}", within_s, lambda: talk)

    def get(
        self, host: str, path: str, *, at: str, entry: EntryPoint = HTTP, within_s: float = 5.0
    ) -> Answer:
        """GET a host's path from the web server at an address; otherwise as ``request``."""
        answer = self.request("GET", host, path, at=at, entry=entry, within_s=within_s)
        return Answer(
            status=answer.status,
            body=answer.body.decode(errors="replace"),
            certificate="",
            headers={name.lower(): value for name, value in answer.headers},
        )

    def request(
        self,
        method: str,
        host: str,
        path: str,
        *,
        at: str,
        entry: EntryPoint = HTTP,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        within_s: float = 5.0,
    ) -> Response:
        """Ask the web server at an address for a host's path; its status is data.

        The first megabyte of the body counts. Over https any certificate will do: ``certificate``
        is there to judge it. Raises NotListening, Unreachable or TimedOut; Denied if TLS fails.
        """
        connection = http.client.HTTPConnection(at, entry.port, timeout=within_s)

        def call() -> Response:
            with closing(connection):
                connection.connect()
                if entry.scheme == "https":
                    connection.sock = _any_certificate().wrap_socket(
                        connection.sock, server_hostname=host, do_handshake_on_connect=False
                    )
                    connection.sock.do_handshake()
                sent = {"Host": entry.host(host), **(headers or {})}
                connection.request(method, path, body=body, headers=sent)
                response = connection.getresponse()
                page, is_whole = _begin_of(response, _PAGE_BYTES)
                headers_of = tuple(response.getheaders())
                return Response(response.status, headers_of, page, is_whole)

        what = f"{entry.scheme}://{entry.host(host)}{path} at {at}"
        return answered(call, what, within_s, lambda: connection.sock)

    def certificate(
        self,
        host: str,
        *,
        at: str,
        port: int = 443,
        authority: str | None = None,
        within_s: float = 5.0,
    ) -> str:
        """The certificate (PEM) that the web server at an address shows for a host.

        Denied if it is not for the host, has expired, or is not signed by ``authority`` (PEM; None:
        by one that this system trusts). Raises NotListening, Unreachable or TimedOut.
        """
        trust = trusting(pem=authority)
        plain = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        plain.settimeout(within_s)
        talks: list[ssl.SSLSocket] = []

        def call() -> str:
            # Wrapped, it is another object with the same number, which alone is to be closed.
            with plain:
                plain.connect((at, port))
                talks.append(trust.wrap_socket(plain, server_hostname=host))
            with talks[0] as talk:
                return ssl.DER_cert_to_PEM_cert(talk.getpeercert(binary_form=True) or b"")

        what = f"https://{host} at {at}"
        return answered(call, what, within_s, lambda: next(iter(talks), plain))


def _any_certificate() -> ssl.SSLContext:
    trust = ssl.create_default_context()
    trust.check_hostname = False
    trust.verify_mode = ssl.CERT_NONE
    return trust


def _allow_files() -> None:
    """Let this process open as many files as it needs; by default it is 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def _result(attempt: socket.socket, peer: tuple[str, int]) -> int:
    """How an attempt ended; on the own host one can connect to itself, which counts as refused."""
    result = attempt.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if result == 0 and attempt.getsockname()[:2] == peer:
        return errno.ECONNREFUSED
    return result


class _Scan:
    """Many attempts to connect at once, each with the same timeout."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._selector = selectors.DefaultSelector()
        self._waiting: deque[tuple[float, socket.socket, int]] = deque()
        self._under_way: set[socket.socket] = set()
        self._open: list[int] = []
        self._refused = self._silent = 0

    def at(self, ports: Iterable[int]) -> PortScan:
        with self._selector:
            for port in ports:
                self._begin(port)
                while len(self._under_way) >= _AT_ONCE:
                    self._look()
            while self._under_way:
                self._look()
        return PortScan(open=tuple(sorted(self._open)), refused=self._refused, silent=self._silent)

    def _begin(self, port: int) -> None:
        attempt = socket.socket(_family(self._address), socket.SOCK_STREAM)
        attempt.setblocking(False)
        attempt.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        result = attempt.connect_ex((self._address, port))
        if result == errno.EINPROGRESS:
            self._under_way.add(attempt)
            self._waiting.append((time.monotonic() + _PATIENCE_S, attempt, port))
            self._selector.register(attempt, selectors.EVENT_WRITE, port)
        else:
            attempt.close()
            self._count(port, result)

    def _look(self) -> None:
        """Handle the answers, and give up on attempts that have waited long enough."""
        for key, _ in self._selector.select(timeout=0.1):
            attempt = key.fileobj
            assert isinstance(attempt, socket.socket)
            self._count(key.data, _result(attempt, (self._address, key.data)))
            self._end(attempt)
        now = time.monotonic()
        while self._waiting and (
            self._waiting[0][1] not in self._under_way or self._waiting[0][0] <= now
        ):
            _, attempt, port = self._waiting.popleft()
            if attempt in self._under_way:
                self._count(port, errno.ETIMEDOUT)
                self._end(attempt)

    def _end(self, attempt: socket.socket) -> None:
        self._under_way.discard(attempt)
        self._selector.unregister(attempt)
        attempt.close()

    def _count(self, port: int, result: int) -> None:
        if result == 0:
            self._open.append(port)
        elif result == errno.ECONNREFUSED:
            self._refused += 1
        else:
            self._silent += 1


def send_datagrams(address: str, payloads: Mapping[int, bytes]) -> Echoed:
    """Send each UDP port its payload until it answers or refuses, for three seconds.

    A refusal is ICMP's "port unreachable". Raises Unreachable if there is no route.
    """
    answered: set[int] = set()
    refused: set[int] = set()
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with ExitStack() as held, selectors.DefaultSelector() as selector:
        ways: dict[int, socket.socket] = {}
        for port in payloads:
            way = held.enter_context(socket.socket(family, socket.SOCK_DGRAM))
            way.setblocking(False)
            _connect(way, address, port)
            selector.register(way, selectors.EVENT_READ, port)
            ways[port] = way
        for _ in range(_ROUNDS):
            for port, way in ways.items():
                if port not in answered | refused and not _sent(way, payloads[port]):
                    refused.add(port)
            end = time.monotonic() + _EVERY_S
            while (left := end - time.monotonic()) > 0:
                for key, _mask in selector.select(left):
                    heard = answered if _heard(ways[key.data]) else refused
                    heard.add(key.data)
    return Echoed(answered=tuple(sorted(answered)), refused=tuple(sorted(refused - answered)))


def _connect(way: socket.socket, address: str, port: int) -> None:
    try:
        way.connect((address, port))
    except OSError as error:
        raise Unreachable(
            f"{address}: {error.strerror}",
            remedy=f"`ip route get {address}` shows which way this computer takes to it, if any",
        ) from error


def _sent(way: socket.socket, payload: bytes) -> bool:
    """False if an earlier datagram was refused; a full buffer counts as a lost datagram."""
    try:
        way.send(payload)
    except ConnectionRefusedError:
        return False
    except OSError:
        return True
    return True


def _heard(way: socket.socket) -> bool:
    """True when something answered, false when it was refused."""
    try:
        way.recv(2048)
    except OSError:
        return False
    return True
