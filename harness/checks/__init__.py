"""Checks judge what was recorded: pure functions of a Case. ``CHECKS`` lists them by name.

A check's name is the words that a feature uses for it; one that raises is NOT PROVEN.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from harness.checks import (
    access,
    backups,
    capacity,
    ceph,
    ceph_data,
    claim_contents,
    claims,
    clients,
    csi,
    database_roles,
    disks,
    drills,
    dump,
    edge,
    equality,
    etcd,
    exposed,
    host,
    journeys,
    kubernetes,
    legacy,
    loads,
    network,
    old_names,
    old_platform,
    parity,
    postgres,
    queues,
    restore,
    rook,
    scheduling,
    services,
    shift,
    soak,
    swarm,
    swarm_answers,
    switch,
    velero,
    workloads,
)
from harness.core.model import Case, Verdict

Check: TypeAlias = Callable[[Case], Verdict]

CHECKS: Mapping[str, Check] = (
    kubernetes.CHECKS
    | host.CHECKS
    | etcd.CHECKS
    | backups.CHECKS
    | network.CHECKS
    | edge.CHECKS
    | exposed.CHECKS
    | disks.CHECKS
    | claims.CHECKS
    | claim_contents.CHECKS
    | legacy.CHECKS
    | ceph.CHECKS
    | ceph_data.CHECKS
    | capacity.CHECKS
    | rook.CHECKS
    | csi.CHECKS
    | drills.CHECKS
    | soak.CHECKS
    | clients.CHECKS
    | swarm.CHECKS
    | swarm_answers.CHECKS
    | scheduling.CHECKS
    | services.CHECKS
    | workloads.CHECKS
    | access.CHECKS
    | parity.CHECKS
    | loads.CHECKS
    | journeys.CHECKS
    | old_names.CHECKS
    | old_platform.CHECKS
    | postgres.CHECKS
    | equality.CHECKS
    | database_roles.CHECKS
    | queues.CHECKS
    | restore.CHECKS
    | switch.CHECKS
    | dump.CHECKS
    | shift.CHECKS
    | velero.CHECKS
)
