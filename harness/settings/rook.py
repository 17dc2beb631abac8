"""What a profile declares of Rook: the Ceph that it manages or uses, and what claims get of it."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from harness.model import RookDeclared
from harness.settings.files import Frozen


def _endpoint(text: str) -> str:
    """``10.0.0.1:6789`` or ``[fd00::1]:3300``, as Rook writes monitors."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit() or not 0 < int(port) < 65536:
        raise ValueError(f"{text} does not end in a port, such as :6789")
    ip_address(host.removeprefix("[").removesuffix("]"))
    return text


Endpoint = Annotated[str, AfterValidator(_endpoint)]
ObjectName = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$", max_length=253)]


class Rook(Frozen):
    """Rook as it was installed; the mode, external or cluster, is ``stack.rook``."""

    # The operator's release, as the tag of its image says it.
    version: str = Field(pattern=r"^v[0-9]+\.[0-9]+\.[0-9]+$")
    # Where the operator runs.
    operator_namespace: ObjectName = "rook-ceph"
    # Where the CephCluster is.
    namespace: ObjectName
    # Its name.
    cluster: ObjectName
    # Ceph's monitors in any order, by their addresses and ports.
    monitors: tuple[Endpoint, ...] = Field(min_length=1)
    # The CSI drivers that every machine must run.
    drivers: tuple[Literal["cephfs", "rbd"], ...] = Field(default=("cephfs", "rbd"), min_length=1)
    # What comes before their names where it is not the operator's namespace: Rook's setting
    # CSI_DRIVER_NAME_PREFIX. Not declared, it is read from the drivers that are registered.
    driver_prefix: ObjectName | None = None
    # The StorageClass of CephFS.
    storage_class: ObjectName = "cephfs"
    # What becomes of its volumes without a claim.
    reclaim_policy: Literal["Delete", "Retain"] = "Delete"
    # Ceph's name of the file system.
    filesystem: str
    # The pool that takes the data of claims.
    pool: str
    # The class's clusterID where claims lie in a subvolume group of their own: what
    # `kubectl get cephfilesystemsubvolumegroups` says of it. Otherwise it is the namespace.
    cluster_id: str | None = None
    # Health checks that Ceph may raise (POOL_NEARFULL): whatever else it warns of is an error.
    warnings: tuple[str, ...] = ()
    # In cluster mode: the partition or disk of each machine that holds its OSD, without /dev/.
    device: str | None = Field(default=None, pattern=r"^[a-z0-9]+$")

    def declared(self, mode: Literal["external", "cluster"]) -> RookDeclared:
        """What checks may know of it."""
        told = self.model_dump(exclude={"cluster_id"})
        return RookDeclared(mode=mode, cluster_id=self.cluster_id or self.namespace, **told)
