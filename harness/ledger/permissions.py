"""What keeping a ledger needs in the cluster, beside what the probes need: all in its namespace."""

from __future__ import annotations

from harness.probes.permissions import Permission

_APPLIES = ("create", "patch")

# To make and to see what is written to; configmaps are what is written, too.
LEDGER: tuple[Permission, ...] = (
    *(Permission(verb, "namespaces") for verb in ("list", *_APPLIES, "delete")),
    *(Permission("list", kind) for kind in ("serviceaccounts", "events", "services", "pods")),
    *(Permission(verb, "persistentvolumeclaims") for verb in _APPLIES),
    # The volumes of a class that keeps them go by their policy, which is made Delete.
    *(Permission(verb, "persistentvolumes") for verb in ("list", "patch")),
    *(Permission(verb, kind) for kind in ("secrets", "services") for verb in _APPLIES),
    *(
        Permission(verb, kind, "apps")
        for kind in ("statefulsets", "daemonsets", "deployments")
        for verb in _APPLIES
    ),
    *(Permission(verb, "configmaps") for verb in ("create", "list")),
    Permission("delete", "pods"),
    # To read back what a killed harness wrote: its database alone knows the password.
    *(Permission(verb, "pods/exec") for verb in ("get", "create")),
)
