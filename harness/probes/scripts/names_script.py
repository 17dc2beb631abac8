"""Runs on a machine, as ``python3 - NAMES SERVER PORTS``: where names lead, as one line of JSON.

NAMES and PORTS are JSON lists, SERVER is the cluster's name server. For each name:

``machine``  its addresses by the machine's own resolver (``value``), or why there is no answer
             (``error``); a name that does not exist has none
``hosts``    its addresses in /etc/hosts
``cluster``  its IPv4 addresses by the cluster's name server, in the same form
``answers``  ADDRESS:PORT of these that took a connection

Changes nothing. Standard library of Python 3.8 only.
"""

from __future__ import annotations

import json
import socket
import struct
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from harness.probes.scripts import pod_script

HOSTS = "/etc/hosts"
CONNECT_S = 2.0
_NONE = (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME))


def resolved(name: str) -> list[str]:
    """By the system's resolver, IPv4 and IPv6."""
    try:
        found = socket.getaddrinfo(name, None, 0, socket.SOCK_STREAM)
    except socket.gaierror as error:
        if error.errno in _NONE:
            return []
        raise
    return sorted({str(entry[4][0]) for entry in found})


def by_server(server: str, name: str) -> list[str]:
    """By the cluster's name server alone."""
    try:
        return pod_script.ask_nameserver(server, name)
    except pod_script.NoSuchName:
        return []


def in_hosts(name: str) -> list[str]:
    """The addresses beside a name in /etc/hosts."""
    lines = Path(HOSTS).read_text(encoding="utf-8", errors="replace").splitlines()
    words = [line.partition("#")[0].split() for line in lines]
    return sorted({it[0] for it in words if name in it[1:]})


def looked(look: Callable[[], list[str]]) -> dict[str, object]:
    """What a look found, or why it found nothing."""
    try:
        return {"value": look()}
    except (OSError, ValueError, IndexError, struct.error) as error:
        return {"error": str(error) or type(error).__name__}


def answering(addresses: Iterable[str], ports: list[int]) -> list[str]:
    """The addresses and ports of these that take a connection."""
    found = []
    for address in sorted(set(addresses)):
        for port in ports:
            try:
                socket.create_connection((address, port), timeout=CONNECT_S).close()
            except OSError:
                continue
            found.append(f"[{address}]:{port}" if ":" in address else f"{address}:{port}")
    return found


def seen(name: str, server: str, ports: list[int]) -> dict[str, object]:
    """Everything about one name."""
    machine, cluster = looked(lambda: resolved(name)), looked(lambda: by_server(server, name))
    hosts = in_hosts(name)
    addresses = [*hosts]
    for found in (machine, cluster):
        value = found.get("value")
        addresses += value if isinstance(value, list) else []
    return {
        "machine": machine,
        "hosts": hosts,
        "cluster": cluster,
        "answers": answering(addresses, ports),
    }


def main() -> None:
    names, server, ports = json.loads(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])
    with ThreadPoolExecutor(16) as pool:
        found = dict(pool.map(lambda name: (name, seen(name, server, ports)), names))
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
