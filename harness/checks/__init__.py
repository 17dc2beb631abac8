"""Checks judge what was recorded: pure functions of a Case. ``CHECKS`` lists them by name.

A check's name is the words that a feature uses for it; one that raises is NOT PROVEN.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from harness.checks import (
    api,
    backups,
    capacity,
    ceph,
    ceph_data,
    cilium,
    claim_contents,
    claim_survival,
    claims,
    clocks,
    csi,
    disk_bench,
    disks,
    drills,
    edge,
    etcd,
    exposed,
    host,
    ledger,
    legacy,
    network,
    nodes,
    postgres,
    rook,
    scheduling,
    services,
    snapshots,
    soak,
    swarm,
    swarm_answers,
)
from harness.core.model import Case, Verdict

Check: TypeAlias = Callable[[Case], Verdict]

CHECKS: Mapping[str, Check] = (
    nodes.CHECKS
    | host.CHECKS
    | clocks.CHECKS
    | etcd.CHECKS
    | snapshots.CHECKS
    | api.CHECKS
    | network.CHECKS
    | cilium.CHECKS
    | edge.CHECKS
    | exposed.CHECKS
    | disks.CHECKS
    | disk_bench.CHECKS
    | claims.CHECKS
    | claim_contents.CHECKS
    | claim_survival.CHECKS
    | legacy.CHECKS
    | backups.CHECKS
    | ceph.CHECKS
    | ceph_data.CHECKS
    | capacity.CHECKS
    | rook.CHECKS
    | csi.CHECKS
    | drills.CHECKS
    | soak.CHECKS
    | ledger.CHECKS
    | swarm.CHECKS
    | swarm_answers.CHECKS
    | scheduling.CHECKS
    | services.CHECKS
    | postgres.CHECKS
)
