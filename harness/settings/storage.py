"""A profile's storage: Ceph and Rook, the class of claims, the backups, and existing storage."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from harness.core.declared import BackupClaim, RookDeclared, StorageClass
from harness.core.declared_platform import ScheduleDeclared
from harness.settings.field_types import Name, ProfilePath
from harness.settings.files import Frozen


class Legacy(Frozen):
    """The existing storage, which the migration must leave unchanged.

    ``type`` and ``source`` are the file system's, as ``findmnt`` names them on every machine.
    """

    # Where it is mounted on every machine.
    path: Annotated[str, Field(pattern="^/.+")]
    type: str
    source: str
    # How it is mounted: on a machine where it is read-only, programs that write there fail.
    access: Literal["rw", "ro"] = "rw"
    # The folder of the file system that is mounted at the path (``findmnt``'s FSROOT).
    root: Annotated[str, Field(pattern="^/")] = "/"
    # The manifest from before the work: `./cutover backup baseline` writes it.
    baseline: ProfilePath
    # What may change: patterns of paths in it. Each names a file, or a folder with its contents;
    # ``*`` stays within one name.
    may_change: tuple[Annotated[str, Field(pattern="^[^/]")], ...] = Field(
        default=(), alias="except"
    )
    # A folder of it in which each look may write a file of its own, and removes it. Without one,
    # only its mount options tell whether it takes writes.
    writes: Annotated[str, Field(pattern=r"^[^/]+(/[^/]+)*$")] | None = None

    @model_validator(mode="after")
    def _writes_where_it_may(self) -> Legacy:
        if self.writes is None:
            return self
        if {".", ".."} & set(self.writes.split("/")):
            raise ValueError(f"legacy.writes must be a plain path below legacy.path: {self.writes}")
        if self.access == "ro":
            raise ValueError("legacy.writes needs access rw, but legacy.access is ro")
        # Listed by its name: a pattern that matches by chance may stop matching.
        if not any(f"{self.writes}/".startswith(f"{it}/") for it in self.may_change):
            text = "legacy.writes must be in a folder that legacy.except names, or its writes"
            raise ValueError(f"{text} would count as changes: {self.writes}")
        return self

    def declared(self) -> dict[str, str]:
        """The mount as checks expect it."""
        return self.model_dump(include={"path", "type", "source", "access", "root"})


class Backups(Frozen):
    """The one claim that holds every customer's backups, and its layout.

    ``words`` are patterns of names and labels that show that any other claim holds backups too.
    Labels in a domain of ``tools``, which copy claims or restore them, are ignored: they say what
    such a tool did to a claim, and not what is in it. ``reader`` is the user (UID) that may list
    what is in the claim.
    """

    # The claim's name.
    claim: Name
    # The claim's namespace.
    namespace: Name
    # The size that the claim must have, in GiB, if it differs from the gate's.
    at_least_gib: float | None = Field(default=None, gt=0)
    # How many machines may mount it at a time.
    access_mode: Literal["ReadWriteMany", "ReadWriteOnce"] = "ReadWriteMany"
    # The top-level folders; ``active`` has the backups, each customer's in its own folder or, if
    # flat, as files beside each other.
    folders: tuple[str, ...] = Field(default=("active", "staging", "temp"), min_length=1)
    # The folder that has the backups.
    active: str = "active"
    # Whether each customer has a folder of its own in it.
    layout: Literal["flat", "folders"] = "flat"
    words: tuple[str, ...] = Field(default=("*backup*",), min_length=1)
    tools: tuple[str, ...] = (
        *("velero.io", "k8up.io", "stash.appscode.com", "kubestash.com", "longhorn.io"),
        *("kasten.io", "trilio.io", "resources.cattle.io", "volsync.backube"),
    )
    reader: int = Field(default=65534, ge=1)

    @model_validator(mode="after")
    def _active_is_there(self) -> Backups:
        if self.active not in self.folders:
            raise ValueError(f"backups.active is none of backups.folders: {self.active}")
        return self

    def declared(self) -> BackupClaim:
        """The declaration for checks."""
        return BackupClaim(
            claim=self.claim,
            namespace=self.namespace,
            access_mode=self.access_mode,
            folders=self.folders,
            active=self.active,
            flat=self.layout == "flat",
        )


class VeleroSchedule(Frozen):
    """A schedule of Velero's, and what its backups must have."""

    # Its name.
    name: Name
    # How old its newest backup may be, in hours.
    within_h: float = Field(gt=0)
    # The claims whose data must be in it: patterns of NAMESPACE/NAME. A snapshot that stays in the
    # cluster is lost with it, and does not count.
    claims: tuple[Annotated[str, Field(pattern="^[^/]+/[^/]+$")], ...] = ()

    def declared(self) -> ScheduleDeclared:
        """The declaration for checks."""
        return ScheduleDeclared(name=self.name, within_h=self.within_h, claims=self.claims)


class Velero(Frozen):
    """How Velero backs the cluster up."""

    # Velero's own namespace.
    namespace: Name = "velero"
    schedules: tuple[VeleroSchedule, ...] = Field(min_length=1)


class Storage(Frozen):
    """The StorageClass of customers' claims, and its expected settings."""

    # Its name.
    class_name: str = Field(alias="class")
    # The CSI driver that makes its volumes.
    provisioner: str
    # Its parameters that say where its data goes: clusterID, fsName and pool, if the driver has
    # them. A parameter that the class has and this declaration lacks is an error too.
    parameters: Mapping[str, str] = {}
    # What happens to a volume whose claim is deleted.
    reclaim_policy: Literal["Delete", "Retain"] = "Delete"
    # Whether access lists (POSIX ACLs) must survive; the mount options of CephFS decide that.
    access_lists: bool = True
    # The pool of Ceph that holds the claims' data: it shows the space that a deleted claim frees.
    data_pool: str

    def declared(self) -> StorageClass:
        """The declaration for checks."""
        return StorageClass(
            name=self.class_name,
            provisioner=self.provisioner,
            parameters=dict(self.parameters),
            reclaim_policy=self.reclaim_policy,
            access_lists=self.access_lists,
        )


# Why an unusual state of Ceph is intended; the report shows it.
Because = Annotated[str, Field(min_length=10)]


class Ceph(Frozen):
    """How the harness asks Ceph, which complaints are accepted, and what Ceph replaces.

    With ``machines``, each machine has the ``ceph`` program and a keyring that may read; with
    ``toolbox``, a pod of Rook's has them.

    A keyring that may read has ``mon 'allow r' mgr 'allow r' osd 'allow r'``. The harness asks each
    OSD with ``ceph tell osd.N version``, which the OSD answers only to ``osd 'allow *'``. The OSD
    refuses that to a client with any lesser right, which is an answer too. A client without a right
    on OSDs is not let in, and gets no answer (``OSD::ms_handle_fast_authentication``,
    ``OSD::handle_command``).
    """

    # Where the harness runs `ceph`.
    through: Literal["machines", "toolbox"] = "machines"
    # The namespace of the toolbox.
    toolbox_namespace: str = "rook-ceph"
    # The label of its pod.
    toolbox_label: str = "app=rook-ceph-tools"
    # Warnings that Ceph may show, to itself and to Rook, by their code (POOL_NO_REDUNDANCY); an
    # error is never accepted.
    warnings: Mapping[Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]+$")], Because] = {}
    # Flags that may be set, by their name (noout).
    flags: Mapping[str, Because] = {}
    # The capacity of the storage to be replaced, in GB (10⁹ bytes), copies not counted.
    source_gb: float | None = Field(default=None, gt=0)
    # The pool of customers' block images (RBD), if there are any.
    image_pool: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][\w.-]*$")


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
    """The installed Rook; ``stack.rook`` says its mode, external or cluster."""

    # The operator's release. A build of one's own may add to it (v1.18.4+ours): tags and labels,
    # which have no "+", then have a "-" (v1.18.4-ours).
    version: str = Field(pattern=r"^v[0-9]+\.[0-9]+\.[0-9]+(\+[0-9A-Za-z.-]+)?$")
    # The operator's namespace.
    operator_namespace: ObjectName = "rook-ceph"
    # The namespace of the CephCluster.
    namespace: ObjectName
    # Its name.
    cluster: ObjectName
    # Ceph's monitors in any order, by their addresses and ports.
    monitors: tuple[Endpoint, ...] = Field(min_length=1)
    # The CSI drivers that every machine must run.
    drivers: tuple[Literal["cephfs", "rbd"], ...] = Field(default=("cephfs", "rbd"), min_length=1)
    # Absent where something else serves claims: `absent: {rook-csi: …}` says why.
    csi: Literal["present", "absent"] = "present"
    # The prefix of their names if it is not the operator's namespace: Rook's setting
    # CSI_DRIVER_NAME_PREFIX. If not declared, it is read from the registered drivers.
    driver_prefix: ObjectName | None = None
    # The StorageClass of CephFS.
    storage_class: ObjectName = "cephfs"
    # What happens to its volumes without a claim.
    reclaim_policy: Literal["Delete", "Retain"] = "Delete"
    # Ceph's name of the file system.
    filesystem: str
    # The pool that takes the data of claims.
    pool: str
    # The class's clusterID if claims are in a subvolume group of their own: what `kubectl get
    # cephfilesystemsubvolumegroups` says of it. Otherwise it is the namespace.
    cluster_id: str | None = None
    # In cluster mode: the partition or disk of each machine that holds its OSD, without /dev/.
    device: str | None = Field(default=None, pattern=r"^[a-z0-9]+$")

    def declared(self, mode: Literal["external", "cluster"]) -> RookDeclared:
        """The declaration for checks."""
        told = self.model_dump(exclude={"cluster_id"})
        return RookDeclared(mode=mode, cluster_id=self.cluster_id or self.namespace, **told)
