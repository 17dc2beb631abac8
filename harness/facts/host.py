"""What ``host_facts_script`` reports about a machine, item by item."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from harness.facts.kubernetes import Certificate
from harness.facts.schema import Entry, Fact, Items

HOST = Fact("host-facts", Items)


@dataclass(frozen=True, slots=True)
class HostReport:
    """The script's answer; the machine's clock, in UTC seconds, at its start and end."""

    started: float
    ended: float
    items: Items


@dataclass(frozen=True, slots=True)
class ClockBounds:
    """The bounds of the machine's clock ahead of the harness's clock."""

    at_least_s: float
    at_most_s: float


CLOCK = Entry(HOST, "clock", ClockBounds)


@dataclass(frozen=True, slots=True)
class ClockSource:
    """A source of chrony; ``reach`` has one bit for each of the last eight questions to it."""

    name: str
    state: str
    reach: int


@dataclass(frozen=True, slots=True)
class Chrony:
    """``offset_s`` from NTP time, signed; ``updated_s`` ago a source answered (None: never)."""

    updated_s: float | None
    reference_id: str
    offset_s: float
    leap: str
    sources: tuple[ClockSource, ...]


CHRONY = Entry(HOST, "chrony", Chrony)


@dataclass(frozen=True, slots=True)
class Swap:
    """Swap in use now, and configuration that turns some on at the next boot."""

    active: tuple[str, ...]
    at_boot: tuple[str, ...]


SWAP = Entry(HOST, "swap", Swap)


@dataclass(frozen=True, slots=True)
class Disk:
    """Share of blocks and inodes that an ordinary user may still take; None: no limit."""

    free_percent: float
    inodes_free_percent: float | None


def disk(path: str) -> Entry[Disk]:
    return Entry(HOST, f"disk {path}", Disk)


@dataclass(frozen=True, slots=True)
class Memory:
    total_bytes: int
    available_bytes: int


MEMORY = Entry(HOST, "memory", Memory)


def sysctl(name: str) -> Entry[str]:
    return Entry(HOST, f"sysctl {name}", str)


@dataclass(frozen=True, slots=True)
class SysctlSetting:
    """A kernel parameter's value in the last file that sets it, when systemd applies them all."""

    file: str
    value: str


# The declared parameters that a file of sysctl.d sets; kubelet and CNI plugins set others.
SYSCTL_SETTINGS = Entry(HOST, "sysctl settings", dict[str, SysctlSetting])


@dataclass(frozen=True, slots=True)
class Interface:
    """A network interface; ``mtu`` is in bytes."""

    name: str
    mtu: int
    addresses: tuple[str, ...]


INTERFACES = Entry(HOST, "interfaces", tuple[Interface, ...])


@dataclass(frozen=True, slots=True)
class Pings:
    """Unfragmented packets of the declared size to a peer, and what ping said on stderr."""

    sent: int
    received: int
    says: str


def path_to(peer: str) -> Entry[Pings]:
    return Entry(HOST, f"path to {peer}", Pings)


# A unit's properties as systemd names them.
UnitState: TypeAlias = Mapping[str, str]
UNITS = Entry(HOST, "units", dict[str, UnitState])
# The units that keep a clock in chrony's place: systemd's own, and the packages ntpsec, ntp,
# openntpd and ntpd-rs of Debian and Ubuntu.
OTHER_CLOCKS = tuple(
    f"{name}.service"
    for name in ("systemd-timesyncd", "ntpsec", "ntpd", "ntp", "openntpd", "ntpd-rs")
)


@dataclass(frozen=True, slots=True)
class Boot:
    default_target: str
    failed_units: tuple[str, ...]


BOOT = Entry(HOST, "boot", Boot)


@dataclass(frozen=True, slots=True)
class Owner:
    """Who owns a file, its group's number, and its mode in octal digits."""

    owner: str
    group: int
    mode: str


KUBECONFIG = "kubeconfig "  # begins the name of an item of Owner; the file's path follows


@dataclass(frozen=True, slots=True)
class CertificateFile(Certificate):
    path: str


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """Every certificate in the declared files; ``unmatched`` are patterns without a file."""

    unmatched: tuple[str, ...]
    files: tuple[CertificateFile, ...]


CERTIFICATES = Entry(HOST, "certificates", CertificateFiles)


@dataclass(frozen=True, slots=True)
class PemFiles:
    """The certificates that the script read: the texts (PEM) in each file."""

    unmatched: tuple[str, ...]
    files: Mapping[str, tuple[str, ...]]
