"""Runs on a machine, as ``python3 - ask WAY ADDRESS WHAT``: tests a port or name server from there.

WAY is ``tcp`` or ``udp``, and WHAT a port; or ``dns``, and WHAT a name to resolve. Writes
``open``, ``refused`` or ``silent`` as JSON. An error of the asking machine itself (no route, no
descriptor left) is no result: the program fails. Standard library of Python 3.8 only; it only
reads.
"""

from __future__ import annotations

import errno
import json
import socket
import struct
import sys

_WITHIN_S = 1.0
_QUERY = 0x0C0D
_DNS = 53
# The kernel's errors for a machine that does not answer, beside the time limit.
_SILENT = (errno.EHOSTUNREACH, errno.EHOSTDOWN, errno.ETIMEDOUT)


def tcp(address: str, port: str) -> str:
    with socket.create_connection((address, int(port)), timeout=_WITHIN_S):
        return "open"


def udp(address: str, port: str) -> str:
    exchange(address, int(port), b"\n")
    return "open"


def dns(address: str, name: str) -> str:
    """Any answer to the query counts, also that the name does not exist."""
    labels = b"".join(bytes([len(it)]) + it.encode() for it in name.rstrip(".").split("."))
    question = labels + b"\0" + struct.pack("!HH", 1, 1)  # its IPv4 address
    wanted = struct.pack("!HHHHHH", _QUERY, 0x0100, 1, 0, 0, 0) + question
    (number,) = struct.unpack("!H", exchange(address, _DNS, wanted)[:2])
    return "open" if number == _QUERY else "silent"


def exchange(address: str, port: int, words: bytes) -> bytes:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as asking:
        asking.settimeout(_WITHIN_S)
        asking.connect((address, port))  # so that the kernel reports a refusal
        asking.send(words)
        return asking.recv(4096)


def main(_verb: str, way: str, address: str, what: str) -> None:
    try:
        found = {"tcp": tcp, "udp": udp, "dns": dns}[way](address, what)
    except ConnectionRefusedError:
        found = "refused"
    except socket.timeout:  # noqa: UP041 (in Python 3.8 it is another error than TimeoutError)
        found = "silent"
    except OSError as error:
        if error.errno not in _SILENT:
            raise
        found = "silent"
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
