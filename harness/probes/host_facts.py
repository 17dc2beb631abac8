"""Every host fact of a machine, in one round trip by SSH; a few short ones more for its clock.

The value is a mapping of items, each ``{"value": …}`` or ``{"error": …}``: see
``host_facts_script``, which runs there. This module turns its texts into numbers.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from typing import ClassVar, TypeVar

from harness.core.declared import Machine
from harness.core.errors import NotProven, TransportError
from harness.core.model import JSON
from harness.facts.etcd import METRICS, Metrics
from harness.facts.host import (
    CERTIFICATES,
    CLOCK,
    HOST,
    OTHER_CLOCKS,
    SYSCTL_SETTINGS,
    CertificateFile,
    CertificateFiles,
    ClockBounds,
    HostReport,
    PemFiles,
)
from harness.facts.schema import Entry, Items, Known, Unknown, dump, read
from harness.probes.certificates import describe
from harness.probes.etcd_access import EtcdAccess, etcd_access, gauge, histogram
from harness.probes.probe import Timing
from harness.probes.scripts import host_facts_script
from harness.probes.sysctl_files import sysctl_settings
from harness.settings import Profile
from harness.transport import Reach
from harness.transport.remote_script import RemoteScript

T = TypeVar("T")
U = TypeVar("U")

_SCRIPT = RemoteScript(host_facts_script)
_UNITS = (
    *("rke2-server.service", "rke2-agent.service", "chrony.service", "chronyd.service"),
    *OTHER_CLOCKS,
)
_DISKS = ("/", "/var/lib/rancher")

_CLOCK_LOOKS = 3
_FSYNC = "etcd_disk_wal_fsync_duration_seconds"


class HostFacts:
    """Asks each machine about itself."""

    name: ClassVar[str] = HOST.name
    sentence: ClassVar[str] = "what every machine says about itself"
    timing: ClassVar[Timing] = Timing.AT_START
    within_s: ClassVar[float] = 45.0

    def targets(self, reach: Reach) -> Sequence[str]:
        return [machine.name for machine in reach.profile.machines]

    def observe(self, reach: Reach, target: str) -> JSON:
        return dump(look(reach, target))


def look(reach: Reach, target: str, only: Sequence[str] | None = None) -> Items:
    """The items of one machine, all of them or only some; raises TransportError."""
    machine = reach.profile.cluster().machine(target)
    access, unclear = None, ""
    try:
        access = etcd_access(reach.shell, reach.profile, target) if machine.is_server else None
    except NotProven as error:
        access, unclear = EtcdAccess(), str(error)
    wanted = {**_wanted(reach.profile, machine, access), "only": only}
    reply = _SCRIPT.on(reach.shell, target, wanted, within_s=25.0, read=HostReport)
    report = reply.value
    items = {**report.items}
    _replace(items, CERTIFICATES, PemFiles, _certificates)
    _replace(items, METRICS, str, etcd_metrics)
    _replace(items, SYSCTL_SETTINGS, str, partial(sysctl_settings, reach.profile.sysctls))
    if unclear:  # the address that was asked may not be etcd's
        items |= {name: Unknown(unclear) for name in items if name.startswith("etcd ")}
    if only is None:
        sent = reply.received - reply.took_s
        within = clock(sent, report.started, report.ended, reply.received)
        items[CLOCK.name] = Known(_narrowed(reach, target, within))
    return items


def _narrowed(reach: Reach, target: str, bounds: ClockBounds) -> ClockBounds:
    """Narrower bounds of a machine's clock, by a few short looks: python starts slowly."""
    all_bounds = [bounds]
    for _ in range(_CLOCK_LOOKS):
        with contextlib.suppress(TransportError, ValueError):
            done = reach.shell.run(target, ("date", "+%s.%N"), within_s=2.0)
            received, there = time.time(), float(done.stdout)
            all_bounds.append(clock(received - done.took_s, there, there, received))
    return ClockBounds(
        at_least_s=max(it.at_least_s for it in all_bounds),
        at_most_s=min(it.at_most_s for it in all_bounds),
    )


def _wanted(profile: Profile, machine: Machine, access: EtcdAccess | None) -> dict[str, JSON]:
    """What the script must look at on this machine."""
    kubernetes = profile.kubernetes
    server = machine.is_server
    own = {"ca": kubernetes.etcd_ca, "cert": kubernetes.etcd_cert, "key": kubernetes.etcd_key}
    etcd: JSON = None
    if access is not None:
        etcd = {**asdict(access), "own": own, "peer": access.peer or own}
    others = [other for other in profile.cluster().machines if other.name != machine.name]
    return {
        "units": _UNITS,
        "disks": _DISKS,
        "sysctls": list(profile.sysctls),
        "peers": {other.name: other.address for other in others},
        "mtu": kubernetes.node_mtu,
        "kubeconfigs": kubernetes.kubeconfigs if server else (),
        "certificates": kubernetes.certificates if server else kubernetes.agent_certificates,
        "etcd": etcd,
        "etcd_peers": {other.name: other.address for other in others if other.is_server},
    }


def _replace(items: Items, entry: Entry[T], kind: type[U], make: Callable[[U], T]) -> None:
    """Replace an entry by its value; text that cannot be understood becomes an error."""
    found = items.get(entry.name)
    if isinstance(found, Known):
        try:
            items[entry.name] = Known(make(read(kind, found.value)))
        except (TransportError, ValueError, KeyError) as error:
            items[entry.name] = Unknown(f"not understood: {error}")


def clock(sent: float, started: float, ended: float, received: float) -> ClockBounds:
    """The bounds of the machine's clock ahead of the harness's clock; all four in UTC seconds.

    The machine read ``started`` after the harness sent, and ``ended`` before it received. So the
    offset lies between the two differences, for any travel time in either direction.
    """
    return ClockBounds(at_least_s=ended - received, at_most_s=started - sent)


def _certificates(found: PemFiles) -> CertificateFiles:
    files = [
        CertificateFile(path=path, subject=it.subject, not_after=it.not_after)
        for path, pems in found.files.items()
        for it in map(describe, pems)
    ]
    return CertificateFiles(found.unmatched, tuple(files))


def etcd_metrics(text: str) -> Metrics:
    """Raises ValueError for a text that is no number."""
    return Metrics(
        db_bytes=gauge(text, "etcd_mvcc_db_total_size_in_bytes"),
        quota_bytes=gauge(text, "etcd_server_quota_backend_bytes"),
        wal_fsync_s=histogram(text, _FSYNC),
    )
