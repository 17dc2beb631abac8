"""Which hostnames the machine of a declared name may have.

Sent to the machines with the guard of the benchmark: standard library of Python 3.8 only.
"""

from __future__ import annotations


def is_hostname_of(hostname: str, machine: str) -> bool:
    """True if the machine may have this hostname.

    Upper and lower case are the same, and one of the two may be the other's part before its first
    dot: a hoster's image says ``vmi2887101.contaboserver.net``, or a profile says so and the
    machine is called ``vmi2887101``. Two fully qualified names must be equal.
    """
    host, name = hostname.lower(), machine.lower()
    short = "." not in host or "." not in name
    return host == name or (short and host.partition(".")[0] == name.partition(".")[0])
