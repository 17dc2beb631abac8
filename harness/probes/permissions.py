"""The permissions that each probe needs in the cluster: the minimal role, and ``doctor``'s list."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from harness.settings import Profile


@dataclass(frozen=True, slots=True, order=True)
class Permission:
    """One verb on one resource (``pods/exec``) of an API group, or on a path (``/readyz``)."""

    verb: str
    resource: str
    group: str = ""

    @property
    def is_path(self) -> bool:
        return self.resource.startswith("/")

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}{f'.{self.group}' if self.group else ''}"


def _may(resource: str, *verbs: str, group: str = "") -> tuple[Permission, ...]:
    return tuple(Permission(verb, resource, group) for verb in verbs)


# Server-side apply is a create or a patch; exec is a get over websockets, from 1.35 on a create.
_EXEC = _may("pods/exec", "get", "create")
# The harness asks Rook's Ceph in a pod.
_TOOLBOX = (*_may("pods", "list"), *_EXEC)
_OWN_NAMESPACE = (
    *_may("namespaces", "list", "create", "patch", "delete"),
    *_may("serviceaccounts", "list"),
)
_OWN_PODS = (
    *_OWN_NAMESPACE,
    *_may("events", "list"),
    *_may("pods", "list", "create", "patch"),
    *_EXEC,
)

# For the evidence of a failure (harness.pytest_gate.evidence), beside what the probes need.
EVIDENCE: tuple[Permission, ...] = (
    *_may("pods/log", "get"),
    *(
        permission
        for resource in ("pods", "events", "nodes", "services")
        for permission in _may(resource, "list")
    ),
    *_may("persistentvolumeclaims", "list"),
    *_may("persistentvolumes", "list"),
    *_may("cephclusters", "list", group="ceph.rook.io"),
    *_may("endpointslices", "list", group="discovery.k8s.io"),
    *(
        permission
        for resource in ("deployments", "daemonsets", "statefulsets")
        for permission in _may(resource, "list", group="apps")
    ),
)

PERMISSIONS: Mapping[str, tuple[Permission, ...]] = {
    "access-reviews": (
        *_may("subjectaccessreviews", "create", group="authorization.k8s.io"),
        *_may("pods", "list"),
        *_may("serviceaccounts", "list"),
    ),
    "api-endpoints": (*_may("/readyz", "get"), *_may("namespaces", "get")),
    "api-objects": (
        *_may("apiservices", "list", group="apiregistration.k8s.io"),
        *_may("namespaces", "list"),
    ),
    "backup-claims": (
        *_may("persistentvolumeclaims", "list"),
        *_may("events", "list"),
        *_may("pods", "list", "create", "patch", "delete"),
        *_EXEC,
    ),
    "ceph": _TOOLBOX,
    "cilium": (*_may("pods", "list"), *_EXEC),
    "claims": (
        *_OWN_PODS,
        *_may("pods", "delete"),
        *_may("persistentvolumeclaims", "get", "list", "create", "patch", "delete"),
        # If the class keeps volumes, the harness removes them by setting their policy to Delete.
        *_may("persistentvolumes", "list", "patch"),
        *_may("storageclasses", "list", group="storage.k8s.io"),
    ),
    "database-roles": _may("services", "get"),
    "databases": _may("services", "get"),
    "disk-bench": _TOOLBOX,
    "etcd-snapshots": (
        *_may("namespaces", "get"),
        *_may("etcdsnapshotfiles", "list", group="k3s.cattle.io"),
    ),
    "etcd-writes": (*_OWN_NAMESPACE, *_may("configmaps", "create", "patch")),
    "host-facts": (),
    "ingress": (
        *_OWN_PODS,
        *_may("services", "create", "patch"),
        *_may("secrets", "create", "patch"),
        *_may("ingresses", "create", "patch", group="networking.k8s.io"),
    ),
    "legacy-manifest": (),
    "legacy-mount": (),
    "load-balancer": (*_OWN_PODS, *_may("services", "get", "list", "create", "patch")),
    "network-policy": (
        *_OWN_PODS,
        *_may("networkpolicies", "create", "patch", group="networking.k8s.io"),
    ),
    "nodes": _may("nodes", "list"),
    "old-names": _may("services", "list"),
    "old-platform": (),
    "old-routes": (
        *_may("services", "list"),
        *_may("endpointslices", "list", group="discovery.k8s.io"),
    ),
    "open-ports": (*_may("services", "list"), *_may("pods", "list")),
    "osd-disks": _TOOLBOX,
    "parity": (),
    "pod-network": (*_OWN_PODS, *_may("services", "list", "create", "patch")),
    "postgres": (
        *_may("pods", "list"),
        *_EXEC,
        *_may("clusters", "get", group="postgresql.cnpg.io"),
        *_may("statefulsets", "get", group="apps"),
        # Where Patroni keeps its configuration.
        *_may("endpoints", "get"),
        *_may("configmaps", "get"),
    ),
    "queues-and-sessions": _may("services", "get"),
    "registrations": (*_may("pods", "list"), *_EXEC),
    "rook": (
        *_may("/apis/csi.ceph.io", "get"),
        *_may("pods", "list"),
        *_may("configmaps", "get"),
        # The harness asks only for their names, but a role cannot express that.
        *_may("secrets", "get"),
        *_may("deployments", "list", group="apps"),
        *_may("daemonsets", "list", group="apps"),
        *_may("cephclusters", "get", group="ceph.rook.io"),
        *_may("cephfilesystems", "get", group="ceph.rook.io"),
        *_may("cephblockpools", "list", group="ceph.rook.io"),
        *_may("cephconnections", "get", group="csi.ceph.io"),
        *_may("clientprofiles", "list", group="csi.ceph.io"),
        *_may("drivers", "list", group="csi.ceph.io"),
        *_may("storageclasses", "get", group="storage.k8s.io"),
        *_may("csidrivers", "list", group="storage.k8s.io"),
        *_may("csinodes", "list", group="storage.k8s.io"),
        *_may("leases", "get", group="coordination.k8s.io"),
    ),
    "scheduling": (
        *_may("nodes", "list"),
        *_may("pods", "list"),
        *_may("persistentvolumes", "list"),
    ),
    "service-calls": (*_may("pods", "list"), *_EXEC),
    "services": (
        *_may("services", "get"),
        *_may("endpointslices", "list", group="discovery.k8s.io"),
    ),
    "swarm": (),
    "velero": (
        *_may("persistentvolumeclaims", "list"),
        *_may("schedules", "list", group="velero.io"),
        *_may("backups", "list", group="velero.io"),
        *_may("backupstoragelocations", "list", group="velero.io"),
        *_may("podvolumebackups", "list", group="velero.io"),
        *_may("datauploads", "list", group="velero.io"),
    ),
    "workloads": (
        *(
            permission
            for resource in ("pods", "services", "persistentvolumes")
            for permission in _may(resource, "list")
        ),
        *(
            permission
            for resource in ("replicasets", "deployments", "statefulsets", "daemonsets")
            for permission in _may(resource, "list", group="apps")
        ),
        *_may("cronjobs", "list", group="batch"),
        *_may("jobs", "list", group="batch"),
        *_may("poddisruptionbudgets", "list", group="policy"),
    ),
}


# For the ways of a new customer: what the platform makes for it is looked at, and in its pods.
JOURNEYS: tuple[Permission, ...] = (
    *_EXEC,
    *(
        permission
        for resource in ("configmaps", "pods", "services", "persistentvolumes")
        for permission in _may(resource, "list")
    ),
    *_may("persistentvolumeclaims", "get", "list"),
    *_may("persistentvolumes", "get", "patch"),
    *_may("deployments", "list", group="apps"),
    *_may("statefulsets", "list", group="apps"),
    *_may("cronjobs", "list", group="batch"),
    *_may("jobs", "list", group="batch"),
    *_may("ingresses", "list", group="networking.k8s.io"),
    *_may("ingressroutes", "list", group="traefik.io"),
    *_may("clusters", "list", group="postgresql.cnpg.io"),
)

# Instead of an Ingress, if the profile's ingress uses Traefik's own routes.
_INGRESSES = frozenset(_may("ingresses", "create", "patch", group="networking.k8s.io"))
_INGRESS_ROUTES = frozenset(_may("ingressroutes", "create", "patch", group="traefik.io"))


def all_permissions(probes: Collection[str], profile: Profile) -> tuple[Permission, ...]:
    """All permissions of these probes and of the collection of evidence, each once, in order."""
    asked = {permission for probe in probes for permission in PERMISSIONS[probe]}
    routed = profile.ingress is not None and profile.ingress.kind == "ingressroute"
    if routed and "ingress" in probes:
        asked = asked - _INGRESSES | _INGRESS_ROUTES
    return tuple(sorted(asked.union(EVIDENCE)))
