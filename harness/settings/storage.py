"""What a profile declares of storage: the class of claims, the backups, and what existed before."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, model_validator

from harness.model import BackupClaim, StorageClass
from harness.settings.files import Frozen
from harness.settings.places import Name, ProfilePath


class Legacy(Frozen):
    """The storage that exists already: it must come out of the work unchanged.

    ``type`` and ``source`` are the file system's, as ``findmnt`` names them on every machine.
    """

    # Where it is mounted on every machine.
    path: Annotated[str, Field(pattern="^/.+")]
    type: str
    source: str
    # How it is mounted: a machine where it is read-only cannot serve what writes there.
    access: Literal["rw", "ro"] = "rw"
    # The folder of the file system that shows at the path (``findmnt``'s FSROOT).
    root: Annotated[str, Field(pattern="^/")] = "/"
    # The manifest of before the work: `./cutover backup baseline` writes it.
    baseline: ProfilePath
    # What may change: patterns of paths in it. Each names a file, or a folder with its contents;
    # ``*`` stays within one name.
    may_change: tuple[Annotated[str, Field(pattern="^[^/]")], ...] = Field(
        default=(), alias="except"
    )
    # A folder of it in which each look may write a file of its own, and removes it. Without one,
    # how it is mounted is all that tells whether it takes writes.
    writes: Annotated[str, Field(pattern=r"^[^/]+(/[^/]+)*$")] | None = None

    @model_validator(mode="after")
    def _writes_where_it_may(self) -> Legacy:
        if self.writes is None:
            return self
        if {".", ".."} & set(self.writes.split("/")):
            raise ValueError(f"legacy.writes must be a plain path below legacy.path: {self.writes}")
        if self.access == "ro":
            raise ValueError("legacy.writes names a folder, and legacy.access is ro")
        # By its name: a pattern that happens to match may stop to.
        if not any(f"{self.writes}/".startswith(f"{it}/") for it in self.may_change):
            text = "legacy.writes must be in a folder that legacy.except names, or its writes"
            raise ValueError(f"{text} would count as changes: {self.writes}")
        return self


class Backups(Frozen):
    """The one claim that holds every customer's backups, and the order that is in it.

    ``words`` are patterns of the names and labels by which any other claim betrays that it holds
    backups too. Labels whose key is in a domain of ``tools``, which copy claims or restore them,
    say what such a tool did to a claim, and not what is in it. ``reader`` is the user (UID) that
    may list what is in the claim.
    """

    # The claim's name.
    claim: Name
    # The namespace that it is in.
    namespace: Name
    # Where it is not the gate's own: how large the claim must be, in GiB.
    at_least_gib: float | None = Field(default=None, gt=0)
    # How many machines may mount it at a time.
    access_mode: Literal["ReadWriteMany", "ReadWriteOnce"] = "ReadWriteMany"
    # The folders at the top; in ``active`` are the backups, each customer's in a folder of its own
    # or, flat, as files beside each other.
    folders: tuple[str, ...] = Field(default=("active", "staging", "temp"), min_length=1)
    # Which of the folders has the backups.
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
        """What checks may know of it."""
        return BackupClaim(
            claim=self.claim,
            namespace=self.namespace,
            access_mode=self.access_mode,
            folders=self.folders,
            active=self.active,
            flat=self.layout == "flat",
        )


class Storage(Frozen):
    """The StorageClass that customers' claims are of, and what it must be."""

    # Its name.
    class_name: str = Field(alias="class")
    # The CSI driver that makes its volumes.
    provisioner: str
    # Where its data goes, as its parameters must say: clusterID, fsName and pool, where CSI has
    # them. One of these that the class has and this does not is an error too.
    parameters: Mapping[str, str] = {}
    # What becomes of a volume whose claim is deleted.
    reclaim_policy: Literal["Delete", "Retain"] = "Delete"
    # Whether access lists (POSIX ACLs) must survive: how CephFS is mounted decides.
    access_lists: bool = True
    # The pool of Ceph that holds the claims' data: it shows what a deleted claim gives back.
    data_pool: str

    def declared(self) -> StorageClass:
        """What checks may know of it."""
        return StorageClass(
            name=self.class_name,
            provisioner=self.provisioner,
            parameters=dict(self.parameters),
            reclaim_policy=self.reclaim_policy,
            access_lists=self.access_lists,
        )
