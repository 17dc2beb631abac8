"""How fast etcd writes its log during a burst of writes.

An idle etcd syncs its log only a few times a second, too seldom for a current p99. Its histogram
covers all the time since its start, which hides the current speed. So the probe sends a burst of
small writes through the API, and reads each member's histogram before and after.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import ClassVar

from harness.core.errors import HarnessError, TransportError
from harness.core.model import JSON
from harness.core.parallel import in_each
from harness.facts.etcd import METRICS, WRITES, Buckets, LogWrites, WriteBurst
from harness.facts.schema import Unknown, dump, read
from harness.probes import etcd_access, host_facts, pods
from harness.probes.probe import Timing
from harness.transport import Kube, Reach

_WRITES = 500
_ENOUGH_S = 12.0


class EtcdWrites:
    """Writes one small object again and again, in its own namespace."""

    name: ClassVar[str] = WRITES.name
    sentence: ClassVar[str] = "a burst of small writes to etcd"
    timing: ClassVar[Timing] = Timing.ALONE
    within_s: ClassVar[float] = 90.0

    def targets(self, reach: Reach) -> Sequence[str]:
        return [reach.profile.name]

    def observe(self, reach: Reach, target: str) -> JSON:
        servers = [machine.name for machine in reach.profile.cluster().servers]

        def fsyncs(server: str) -> Buckets:
            return _fsyncs(reach, server)

        with pods.namespace(reach.kube, for_pods=False) as space:
            before = in_each(servers, fsyncs)
            began = time.monotonic()
            writes = _write(reach.kube, space)
            took_s = time.monotonic() - began
            after = in_each(servers, fsyncs)
        members = {server: _added(before[server], after[server]) for server in servers}
        return dump(WriteBurst(writes, round(took_s, 3), members))


def _fsyncs(reach: Reach, server: str) -> Buckets:
    item = host_facts.look(reach, server, only=[METRICS.name])[METRICS.name]
    if isinstance(item, Unknown):
        raise TransportError(f"{METRICS.name}: {item.error}")
    return read(METRICS.kind, item.value).wal_fsync_s


def _write(kube: Kube, space: str) -> int:
    """One write after the other, so that none shares the sync of another; returns their number."""
    deadline = time.monotonic() + _ENOUGH_S
    for number in range(_WRITES):
        if time.monotonic() > deadline:
            return number
        kube.apply(
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": "writes", "namespace": space},
                "data": {"number": str(number)},
            }
        )
    return _WRITES


def _added(before: Buckets | HarnessError, after: Buckets | HarnessError) -> LogWrites | Unknown:
    if isinstance(before, HarnessError):
        return Unknown(str(before))
    if isinstance(after, HarnessError):
        return Unknown(str(after))
    return LogWrites(etcd_access.since(after, before))
