"""Every host fact of a machine, in one round trip by SSH; its clock by a few short ones more.

The value is a mapping of items, each ``{"value": …}`` or ``{"error": …}``: see
``host_facts_script``, which runs there. Here its texts become numbers.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

from harness.errors import NotProven, TransportError, Unreachable
from harness.model import JSON, Machine
from harness.probes import metrics
from harness.probes.certificates import describe
from harness.probes.etcd_access import EtcdAccess, etcd_access
from harness.settings import Profile
from harness.transport import Completed, Reach

_SCRIPT = Path(__file__).with_name("host_facts_script.py").read_text(encoding="utf-8")
# Isolated and without site packages: faster to start, and nobody's PYTHONPATH interferes.
_PYTHON = ("python3", "-I", "-S", "-")
_UNITS = (
    *("rke2-server.service", "rke2-agent.service", "chrony.service", "chronyd.service"),
    # What keeps a clock where chrony does not.
    *("systemd-timesyncd.service", "ntpsec.service", "ntpd.service", "ntp.service"),
)
_DISKS = ("/", "/var/lib/rancher")

_CLOCK_LOOKS = 3
_FSYNC = "etcd_disk_wal_fsync_duration_seconds"


class HostFacts:
    """Asks each machine about itself."""

    name: ClassVar[str] = "host-facts"
    within_s: ClassVar[float] = 45.0

    def targets(self, reach: Reach) -> Sequence[str]:
        return [machine.name for machine in reach.profile.machines]

    def observe(self, reach: Reach, target: str) -> JSON:
        return look(reach, target)


def look(reach: Reach, target: str, only: Sequence[str] | None = None) -> dict[str, Any]:
    """The items of one machine, all of them or only some; raises TransportError."""
    machine = reach.profile.cluster().machine(target)
    access, unclear = None, ""
    try:
        access = etcd_access(reach.shell, reach.profile, target) if machine.is_server else None
    except NotProven as error:
        access, unclear = EtcdAccess(), str(error)
    wanted = json.dumps(_wanted(reach.profile, machine, access) | {"only": only})
    done = reach.shell.run(target, (*_PYTHON, wanted), stdin=_SCRIPT, within_s=25.0)
    received = time.time()
    if done.status != 0:
        raise Unreachable(
            f"{target}: python3 ended with status {done.status}: {done.stderr[-300:]}",
            remedy=f"is python3 (3.8 or newer) installed on {target}?",
        )
    report = _parse(target, done)
    items = dict(report["items"])
    _replace(items, "certificates", _certificates)
    _replace(items, "etcd metrics", etcd_metrics)
    if unclear:  # what was asked is perhaps not where etcd answers
        items |= {name: {"error": unclear} for name in items if name.startswith("etcd ")}
    if only is None:
        within = clock(received - done.took_s, report["started"], report["ended"], received)
        items["clock"] = {"value": _narrowed(reach, target, within)}
    return items


def _narrowed(reach: Reach, target: str, bounds: Mapping[str, float]) -> dict[str, float]:
    """Closer bounds of a machine's clock, by a few short looks: starting python takes a while."""
    all_bounds = [bounds]
    for _ in range(_CLOCK_LOOKS):
        with contextlib.suppress(TransportError, ValueError):
            done = reach.shell.run(target, ("date", "+%s.%N"), within_s=2.0)
            received, there = time.time(), float(done.stdout)
            all_bounds.append(clock(received - done.took_s, there, there, received))
    return {
        "at_least_s": max(it["at_least_s"] for it in all_bounds),
        "at_most_s": min(it["at_most_s"] for it in all_bounds),
    }


def _wanted(profile: Profile, machine: Machine, access: EtcdAccess | None) -> dict[str, Any]:
    """What the script is to look at on this machine."""
    kubernetes = profile.kubernetes
    server = machine.is_server
    own = {"ca": kubernetes.etcd_ca, "cert": kubernetes.etcd_cert, "key": kubernetes.etcd_key}
    etcd = access and {**asdict(access), "own": own, "peer": access.peer or own}
    others = [other for other in profile.cluster().machines if other.name != machine.name]
    return {
        "units": _UNITS,
        "disks": _DISKS,
        "sysctls": list(profile.sysctls),
        "peers": {other.name: other.address for other in others},
        "mtu": kubernetes.node_mtu,
        "kubeconfigs": kubernetes.kubeconfigs if server else (),
        "certificates": kubernetes.certificates if server else (),
        "etcd": etcd,
        "etcd_peers": {other.name: other.address for other in others if other.is_server},
    }


def _parse(target: str, done: Completed) -> dict[str, Any]:
    try:
        report = json.loads(done.stdout)
        assert isinstance(report["items"], dict)
    except (ValueError, KeyError, TypeError, AssertionError) as error:
        raise TransportError(f"{target}: its report is garbled: {done.stdout[-300:]!r}") from error
    return dict(report)


def _replace(items: dict[str, Any], name: str, make: Callable[[Any], JSON]) -> None:
    """Make numbers of an item's text; an item that cannot be understood is in error."""
    if "value" in items.get(name, {}):
        try:
            items[name] = {"value": make(items[name]["value"])}
        except (TransportError, ValueError, KeyError) as error:
            items[name] = {"error": f"not understood: {error}"}


def clock(sent: float, started: float, ended: float, received: float) -> dict[str, float]:
    """Between what bounds the machine's clock is ahead of ours, in seconds.

    It read ``started`` after we had sent, and ``ended`` before we received: the offset is at most
    the one difference and at least the other, whatever either way took.
    """
    return {"at_least_s": ended - received, "at_most_s": started - sent}


def _certificates(found: Mapping[str, Any]) -> JSON:
    return {
        "unmatched": found["unmatched"],
        "files": [
            {"path": path, **describe(pem)} for path, pems in found["files"].items() for pem in pems
        ],
    }


def etcd_metrics(text: str) -> JSON:
    """Sizes in bytes, and the histogram of WAL fsyncs in seconds, since etcd started."""
    return {
        "db_bytes": metrics.gauge(text, "etcd_mvcc_db_total_size_in_bytes"),
        "quota_bytes": metrics.gauge(text, "etcd_server_quota_backend_bytes"),
        "wal_fsync_s": metrics.histogram(text, _FSYNC),
    }
