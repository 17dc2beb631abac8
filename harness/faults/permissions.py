"""What breaking things needs in the cluster, beside what the probes need."""

from __future__ import annotations

from harness.probes.permissions import Permission

_LEASES = "leases"
_COORDINATION = "coordination.k8s.io"

# The Lease of who may break things; nodes and pods, to see what a fault does to them; pods again,
# to end them; stats, which show how full a machine is.
DISRUPTION: tuple[Permission, ...] = (
    *(Permission(verb, _LEASES, _COORDINATION) for verb in ("get", "create", "patch", "delete")),
    *(Permission(verb, "nodes") for verb in ("get", "list")),
    *(Permission(verb, "pods") for verb in ("get", "list", "delete")),
    Permission("get", "nodes/proxy"),
    Permission("list", "poddisruptionbudgets", "policy"),
)
