"""What breaking things needs in the cluster, beside what the probes need."""

from __future__ import annotations

from harness.probes.permissions import Permission

_LEASES = "leases"
_COORDINATION = "coordination.k8s.io"
_FLOWS = "flowcontrol.apiserver.k8s.io"
_ALL = ("get", "list", "create", "delete")
_LEVELS = "/debug/api_priority_and_fairness/dump_priority_levels"

# The Lease of who may break things, and those by which machines give signs of life; nodes and pods,
# to see what a fault does to them; what keeps sets of pods, for how many they want; pods again, to
# end them; stats, which show how full a machine is; flows of requests, to slow one down and to take
# away what was left of that. What undo does needs nothing: machines do it as root.
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
