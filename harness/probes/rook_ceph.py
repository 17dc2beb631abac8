"""The Ceph that Rook manages, by its objects: the cluster, the file system, the pools."""

from __future__ import annotations

from harness.core.declared import RookDeclared
from harness.facts.rook import BlockPool, CephCluster, FileSystem, Pool
from harness.probes.rook_monitors import maybe
from harness.transport import Kube
from harness.transport.objects import (
    Described,
    Object,
    Odd,
    count,
    described,
    epoch,
    flag,
    listed,
    must,
    part,
    text,
)

_CEPH = "/apis/ceph.rook.io/v1"


def conditions(item: object) -> dict[str, str]:
    told = listed(item, "status", "conditions")
    return {must(it, "type"): must(it, "status") for it in told}


def cluster(kube: Kube, declared: RookDeclared) -> Described[CephCluster | None]:
    item = maybe(kube, f"{_CEPH}/namespaces/{declared.namespace}/cephclusters/{declared.cluster}")
    if item is None:
        return Described(None)
    ceph = part(item, "status", "ceph")
    value = CephCluster(
        external=flag(item, "spec", "external", "enable"),
        phase=text(item, "status", "phase"),
        message=text(item, "status", "message") or "",
        conditions=conditions(item),
        health=text(ceph, "health"),
        raised={
            name: text(it, "message") or ""
            for name, it in part(ceph, "details").items()
            # Ceph lists some that do not affect its health.
            if text(it, "severity") != "HEALTH_OK"
        },
        checked_at=epoch(ceph, "lastChecked"),
        ceph_versions=tuple(sorted(part(ceph, "versions", "overall"))),
    )
    return Described(value)


def file_system(kube: Kube, declared: RookDeclared) -> Described[FileSystem | None]:
    space = f"{_CEPH}/namespaces/{declared.namespace}"
    item = maybe(kube, f"{space}/cephfilesystems/{declared.filesystem}")
    if item is None:
        return Described(None)
    told = listed(item, "spec", "dataPools")
    if not told:
        raise Odd("its spec has no dataPools")
    data = {
        f"data pool {text(pool, 'name') or number}": _pool(pool) for number, pool in enumerate(told)
    }
    parts = {"metadata pool": _pool(part(item, "spec", "metadataPool")), **data}
    return Described(FileSystem(phase=_phase(item), pools=parts))


def pools(kube: Kube, declared: RookDeclared) -> Described[dict[str, BlockPool]]:
    found = described(
        maybe(kube, f"{_CEPH}/namespaces/{declared.namespace}/cephblockpools"), _block_pool
    )
    return Described({name.rpartition("/")[2]: it for name, it in found.values.items()}, found.odd)


def _block_pool(item: Object) -> BlockPool:
    pool = _pool(part(item, "spec"))
    return BlockPool(phase=_phase(item), copies=pool.copies, apart=pool.apart)


def _pool(spec: object) -> Pool:
    # Rook's default.
    apart = text(spec, "failureDomain") or "host"
    return Pool(copies=count(spec, "replicated", "size") or None, apart=apart)


def _phase(item: object) -> str | None:
    """Rook leaves it Ready while a file system or pool is deleted and its contents block that."""
    going = text(item, "metadata", "deletionTimestamp") is not None
    return "Deleting" if going else text(item, "status", "phase")
