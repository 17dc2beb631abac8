"""Runs in a pod: ``serve``, ``talk`` or ``report``, as its first argument says.

``serve PORT`` receives datagrams and remembers them, and answers over TCP: ``E`` + length + bytes
with the digest of those bytes, ``R`` with what was received, ``N`` with the pod's name, as does an
HTTP GET. ``talk JSON`` talks to the servers in other pods and prints the results. ``report PORT``
prints what this pod's server received.

Only the receiver can tell that a datagram arrived. A reply needs the way back as well, so one
missing route would look like a fault in both directions. Standard library of Python 3.8 only.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import signal
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import TypedDict

TRY_S = 2.0
PAUSE_S = 0.05
DATAGRAMS = 5
NXDOMAIN = 3
KINDS = ("small", "large", "tcp", "bulk", "service", "resolver", "nameserver", "server")
SMALL, LARGE = 64, 1024 * 1024
# From linux/in.h; the socket module does not name them everywhere.
IP_MTU_DISCOVER, IP_PMTUDISC_DO = 10, 2
HEADERS = 28  # IPv4 and UDP


# --- serve and report -------------------------------------------------------------------------


def serve(port: int) -> None:
    received: dict[str, dict[str, int]] = {}
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    datagrams.bind(("", port))
    threading.Thread(target=remember, args=(datagrams, received), daemon=True).start()
    with socket.create_server(("", port), backlog=64) as listener:
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=answer, args=(connection, received), daemon=True).start()


def remember(datagrams: socket.socket, received: dict[str, dict[str, int]]) -> None:
    """Count datagrams by their content (``nonce sender``) and by their size."""
    while True:
        data, _ = datagrams.recvfrom(65535)
        said = data.rstrip(b".").decode(errors="replace")
        sizes = received.setdefault(said, {})
        sizes[str(len(data))] = sizes.get(str(len(data)), 0) + 1


def answer(connection: socket.socket, received: dict[str, dict[str, int]]) -> None:
    """Answer one caller; one that has hung up, or says nothing for long, hears no more."""
    with connection, contextlib.suppress(ConnectionError, TimeoutError):
        connection.settimeout(30)
        word = exactly(connection, 1)
        if word == b"R":
            connection.sendall(json.dumps(received).encode())
        elif word == b"N":
            connection.sendall(socket.gethostname().encode())
        elif word == b"G":  # of "GET", for any path
            body = socket.gethostname().encode()
            head = b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n"
            request(connection)
            connection.sendall(head % len(body) + body)
        elif word == b"E":
            (length,) = struct.unpack("!I", exactly(connection, 4))
            connection.sendall(hashlib.sha256(exactly(connection, length)).hexdigest().encode())


def request(connection: socket.socket) -> None:
    """Read an HTTP request to its end: some clients see an earlier answer as a reset."""
    heard = b""
    while b"\r\n\r\n" not in heard and len(heard) < 65536:
        chunk = connection.recv(65536)
        if not chunk:
            return
        heard += chunk


def exactly(connection: socket.socket, count: int) -> bytes:
    data = bytearray()
    while len(data) < count:
        chunk = connection.recv(min(65536, count - len(data)))
        if not chunk:
            raise ConnectionError("the other side closed early")
        data.extend(chunk)
    return bytes(data)


def report(port: int) -> dict[str, dict[str, int]]:
    """How many datagrams the receiver here got: by their words, and by their size in bytes."""
    with socket.create_connection(("127.0.0.1", port), timeout=TRY_S) as connection:
        connection.sendall(b"R")
        found: dict[str, dict[str, int]]
        found = json.loads(b"".join(iter(partial(connection.recv, 65536), b"")))
        return found


# --- talk -------------------------------------------------------------------------------------


def tell(address: str, port: int, words: str, size: int) -> None:
    """Send datagrams of ``size`` bytes of payload, none of which may be fragmented."""
    payload = words.encode().ljust(size, b".")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO)
        sender.connect((address, port))
        for _ in range(DATAGRAMS):
            try:
                sender.send(payload)
            except OSError as error:
                # An earlier datagram was refused on its way: the next may still arrive.
                if error.errno not in (errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH):
                    raise
            threading.Event().wait(PAUSE_S)


def transfer(address: str, port: int, size: int, timeout_s: float = TRY_S) -> None:
    """Send bytes over TCP and compare the digest that comes back."""
    payload = os.urandom(size)
    with socket.create_connection((address, port), timeout=timeout_s) as connection:
        connection.sendall(b"E" + struct.pack("!I", size) + payload)
        digest = exactly(connection, 64).decode()
    if digest != hashlib.sha256(payload).hexdigest():
        raise ValueError("other bytes arrived than were sent")


def resolve(name: str) -> list[str]:
    """Resolve by the system's resolver, as any program does."""
    found = socket.getaddrinfo(name, None, socket.AF_INET, socket.SOCK_STREAM)
    return sorted({str(entry[4][0]) for entry in found})


class NoSuchName(ValueError):
    """The name server answered that there is no such name."""


def ask_nameserver(server: str, name: str) -> list[str]:
    """Ask one name server directly for an A record, by UDP; NoSuchName when there is none."""
    question = b"".join(bytes([len(part)]) + part.encode() for part in name.split(".")) + b"\0"
    identity = os.urandom(2)
    query = identity + struct.pack("!HHHHH", 0x0100, 1, 0, 0, 0) + question + b"\0\1\0\1"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        asker.settimeout(TRY_S)
        asker.connect((server, 53))
        asker.send(query)
        reply = asker.recv(4096)
    code, answers = reply[3] & 0x0F, struct.unpack("!H", reply[6:8])[0]
    if reply[:2] != identity or code:
        kind = NoSuchName if code == NXDOMAIN else ValueError
        raise kind(f"the name server answered with code {code}")
    return addresses(reply, 12 + len(question) + 4, answers)


def addresses(reply: bytes, start: int, count: int) -> list[str]:
    """The A records of a DNS reply whose answers begin at ``start``."""
    found = []
    for _ in range(count):
        while reply[start] and reply[start] < 0xC0:
            start += reply[start] + 1
        start += 2 if reply[start] else 1
        kind, _, _, length = struct.unpack("!HHIH", reply[start : start + 10])
        start += 10
        if kind == 1:
            found.append(socket.inet_ntoa(reply[start : start + 4]))
        start += length
    return sorted(found)


def nameservers() -> list[str]:
    with open("/etc/resolv.conf", encoding="utf-8") as file:  # noqa: PTH123 (starts faster)
        lines = [line.split() for line in file]
    return [words[1] for words in lines if len(words) > 1 and words[0] == "nameserver"]


def eventually(look: Callable[[], object], within_s: float) -> dict[str, object]:
    """The first success and when it came, or the last error, within ``within_s`` seconds."""
    began = time.monotonic()
    while True:
        try:
            value = look()
            return {"value": value, "took_s": time.monotonic() - began}
        except (OSError, ValueError, IndexError, struct.error) as error:
            problem = str(error) or type(error).__name__
        if time.monotonic() - began + PAUSE_S >= within_s:
            return {"error": problem, "took_s": time.monotonic() - began}
        threading.Event().wait(4 * PAUSE_S)


class Wanted(TypedDict):
    """The peers to talk to: addresses by machine, names by kind."""

    me: str
    nonce: str
    port: int
    mtu: int  # bytes
    within_s: float
    peers: dict[str, str]
    services: dict[str, str]
    names: dict[str, str]
    servers: list[str]  # addresses of name servers


def talk(wanted: Wanted) -> dict[str, dict[str, dict[str, object]]]:
    """Everything at once."""
    within_s, port = wanted["within_s"], wanted["port"]
    words = f"{wanted['nonce']} {wanted['me']}"
    looks: dict[tuple[str, str], Callable[[], object]] = {}
    for peer, address in wanted["peers"].items():
        looks["small", peer] = partial(tell, address, port, words, SMALL)
        looks["large", peer] = partial(tell, address, port, words, wanted["mtu"] - HEADERS)
        looks["tcp", peer] = partial(transfer, address, port, SMALL)
        looks["bulk", peer] = partial(transfer, address, port, LARGE, within_s)
    for peer, address in wanted["services"].items():
        looks["service", peer] = partial(transfer, address, port, SMALL)
    for kind, name in wanted["names"].items():
        looks["resolver", kind] = partial(resolve, name)
    for server in nameservers() if wanted["names"] else ():
        looks["nameserver", server] = partial(ask_nameserver, server, wanted["names"]["full name"])
    for server in wanted["servers"] if wanted["names"] else ():
        looks["server", server] = partial(ask_nameserver, server, wanted["names"]["full name"])
    late: dict[str, object] = {"error": f"no answer within {within_s:g} s", "took_s": within_s}
    found: dict[str, dict[str, dict[str, object]]] = {kind: {} for kind in KINDS}
    for kind, what in looks:
        found[kind][what] = late

    def look(kind: str, what: str) -> None:
        found[kind][what] = eventually(looks[kind, what], within_s)

    threads = [threading.Thread(target=look, args=key, daemon=True) for key in looks]
    deadline = time.monotonic() + within_s + TRY_S
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return found


def main() -> None:
    role, argument = sys.argv[1], sys.argv[2]
    if role == "serve":
        # As the first process of a container it would ignore SIGTERM, and delay a machine's
        # shutdown by 90 s.
        signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
        serve(int(argument))
    result = report(int(argument)) if role == "report" else talk(json.loads(argument))
    sys.stdout.write(json.dumps(result) + "\n")
    sys.stdout.flush()
    # Threads that hang must not keep the process alive.
    os._exit(0)


if __name__ == "__main__":
    main()
