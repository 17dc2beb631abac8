"""The permissions that faults need in the cluster, beside those of the probes."""

from __future__ import annotations

from harness.probes.permissions import Permission

_LEASES = "leases"
_COORDINATION = "coordination.k8s.io"
_FLOWS = "flowcontrol.apiserver.k8s.io"
_ALL = ("get", "list", "create", "delete")
_LEVELS = "/debug/api_priority_and_fairness/dump_priority_levels"

# Leases: the disruption lock, and the heartbeats of nodes. Nodes and pods: to observe a fault's
# effect. Controllers of pods: to count the wanted replicas. Pods again: to kill them. Stats: to
# measure the usage of a machine. Flow schemas: to slow one account down, and to remove leftovers.
# Undo needs no permission: machines run it as root.
DISRUPTION: tuple[Permission, ...] = (
    *(Permission(verb, _LEASES, _COORDINATION) for verb in ("get", "create", "patch", "delete")),
    *(Permission(verb, "nodes") for verb in ("get", "list")),
    *(Permission(verb, "pods") for verb in ("get", "list", "delete")),
    Permission("get", "nodes/proxy"),
    Permission("list", "poddisruptionbudgets", "policy"),
    *(Permission("list", kind, "apps") for kind in ("replicasets", "statefulsets", "daemonsets")),
    Permission("list", _LEASES, _COORDINATION),
    Permission("get", "serviceaccounts"),
    *(Permission(verb, "flowschemas", _FLOWS) for verb in _ALL),
    *(Permission(verb, "prioritylevelconfigurations", _FLOWS) for verb in _ALL),
    Permission("get", _LEVELS),
)
