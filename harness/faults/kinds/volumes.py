"""The volume of the primary of the platform's PostgreSQL has no room left."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from random import Random
from typing import ClassVar, Self

from harness.core.errors import NotProven
from harness.faults import commands
from harness.faults.kinds.pods import KillPrimary
from harness.faults.model import MARK, Act, Argv
from harness.faults.pods import pod_of, pods_path
from harness.transport import Reach
from harness.transport.objects import listed, must, part, quantity, text

_MIB = 2**20
# The kubelet's folder of a volume of CSI, which has another pod's UID after each new pod.
_CSI = "/var/lib/kubelet/pods/{{pod}}/volumes/kubernetes.io~csi/{volume}/mount"
_QUOTA = "ceph.quota.max_bytes"
_BYTES = "ceph.dir.rbytes"
# A file system's own size differs from its claim's by what the file system needs for itself.
_AS_LARGE_TIMES = 1.1
# Reserved at once is all but this; written is the rest, and at most _WRITTEN_MIB. PostgreSQL adds
# files of 16 MiB to its log, also after the room was measured: the reservation is tried with less
# again, for up to so many of them.
_REST_MIB = 16
_WRITTEN_MIB = 32
_TRIES = 8
# Below this no segment of PostgreSQL's log (16 MiB), and hardly a table, can grow.
_FULL_BYTES = _MIB
# $1: the file, $2: the bytes to write, $3 and $4: what reserves a length; then lengths to try.
_FILL = """file=$1 rest=$2 reserve=$3 option=$4; shift 4
umask 077
for length; do "$reserve" "$option" "$length" "$file" && break; done || exit 1
head --bytes="$rest" /dev/zero >> "$file" 2> /dev/null || :
"""
# $1: the volume, as a pattern; $2: the file; then the command that says whether it is mounted.
_REMOVE = """IFS= pattern=$1 file=$2; shift 2
for volume in $pattern; do
  "$@" "$volume" && rm --force "$volume/$file" && removed=1
done
[ -n "$removed" ] || { echo "the volume with $file is not mounted here"; exit 1; }
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Room:
    """The room on a volume (bytes); ``quota`` is CephFS's, None without one."""

    quota: int | None
    size: int
    free: int


class FillPrimaryVolume(KillPrimary):
    """Fill the volume on which the primary of the platform's PostgreSQL keeps its data.

    ``folder`` is on that volume: by default PGDATA of the primary's pod. Where its log of writes
    has a volume of its own, name a folder there. It hits that pod as ``kill-primary`` does:
    PostgreSQL ends when its log cannot grow. A file of ``add_bytes`` at the top of the volume takes
    the room. CephFS counts the length of a sparse file against the quota, so its OSDs store none of
    it. The file system is asked for free space, or the metadata server where there is a quota.
    """

    name: ClassVar[str] = "fill-primary-volume"
    seen_within_s: ClassVar[float] = 60.0
    # The kubelet waits up to 5 min before it starts a container again that has failed.
    gone_within_s: ClassVar[float] = 360.0

    folder: str = ""
    claim: str = ""
    claimed_bytes: int = 0
    # The volume's folder on the machine; {pod} stands for the UID of the pod.
    path: str = ""
    is_mounted: bool = False  # the folder itself is a mount point
    has_quota: bool = False
    size_bytes: int = 0
    add_bytes: int = 0

    @property
    def target(self) -> str:
        return f"claim {self.claim or '‹of the primary›'} of {super().target}"

    def resolved(self, reach: Reach, draw: Random) -> Self:
        found = super().resolved(reach, draw)
        if not found.victims:
            return found
        found = found._with_claim(reach)
        if not found.path:
            return found
        path, room = found._path_now(reach), found._room(reach)
        mounted_at = commands.read(reach, found.machine, "stat", "--format=%m", path).strip()
        return found.model_copy(
            update={
                "is_mounted": mounted_at == path,
                "has_quota": room.quota is not None,
                "size_bytes": room.quota or room.size,
                "add_bytes": max(0, room.free - _REST_MIB * _MIB),
            }
        )

    def refuse(self, reach: Reach) -> str | None:
        return super().refuse(reach) or self._why_not_this_volume()

    def acts(self, reach: Reach) -> Iterable[Act]:
        how = ("truncate", "--size") if self.has_quota else ("fallocate", "--length")
        file = f"{self._path_now(reach)}/{self._file}"
        step = _REST_MIB * _MIB
        lengths = (self.add_bytes - step * tried for tried in range(_TRIES))
        words = (file, f"{_WRITTEN_MIB * _MIB}", *how, *(f"{it}" for it in lengths if it > 0))
        yield Act(place=self.machine, argv=("sh", "-c", _FILL, "fill", *words), within_s=120)

    def undo(self, reach: Reach) -> tuple[str, Iterable[Argv]]:
        """On the machine, also while the pod does not run; it fails until the volume is there."""
        there = ("mountpoint", "--quiet") if self.is_mounted else ("test", "-d")
        pattern = self.path.replace("{pod}", "*")
        return self.machine, [("sh", "-c", _REMOVE, "remove", pattern, self._file, *there)]

    def active(self, reach: Reach) -> bool:
        return self._room(reach).free < _FULL_BYTES

    def healed(self, reach: Reach) -> bool:
        """Half of the room is there again, and as many pods of PostgreSQL are ready as before."""
        enough = self._room(reach).free > self.add_bytes / 2
        return enough and sum(it.is_whole for it in self._pods(reach)) >= self.ready

    @property
    def _file(self) -> str:
        return f"{MARK}fill-{self.id}"

    def _why_not_this_volume(self) -> str | None:
        pod = self.victims[0].name
        if not self.claim:
            return f"{self.folder} of {pod} is on no claim: its volume has no limit of its own"
        if not self.path:
            return f"the volume of {self.claim} is neither CSI's nor a folder of {self.machine}"
        sums = (
            f"{self.path} of {self.machine} is on a file system of {self.size_bytes / 1e9:.1f} GB "
            f"for a claim of {self.claimed_bytes / 1e9:.1f} GB"
        )
        own = self.is_mounted and self.size_bytes <= self.claimed_bytes * _AS_LARGE_TIMES
        if not (self.has_quota or own):
            return f"{self.claim} has no quota and no file system of its own: {sums}"
        if self.add_bytes == 0:
            return f"{self.claim} has less than {_REST_MIB} MiB free already"
        return None

    def _with_claim(self, reach: Reach) -> Self:
        """With the claim on which the folder is, and where the machine has its volume."""
        pod, space = self.victims[0].name, self.namespace
        folder = self.folder or _data_folder(reach, space, pod)
        claim = _claim_of(reach.kube.get(f"{pods_path(space)}/{pod}"), folder)
        found = self.model_copy(update={"folder": folder, "claim": claim})
        if not claim:
            return found
        bound = reach.kube.get(f"/api/v1/namespaces/{space}/persistentvolumeclaims/{claim}")
        name = must(bound, "spec", "volumeName")
        volume = reach.kube.get(f"/api/v1/persistentvolumes/{name}")
        local = text(volume, "spec", "hostPath", "path") or text(volume, "spec", "local", "path")
        path = _CSI.format(volume=name) if part(volume, "spec").get("csi") else local or ""
        claimed = quantity(must(volume, "spec", "capacity", "storage"))
        return found.model_copy(update={"path": path, "claimed_bytes": claimed})

    def _path_now(self, reach: Reach) -> str:
        """The volume's folder on the machine; NotProven if the pod is now on another one."""
        if "{pod}" not in self.path:
            return self.path
        pod = pod_of(reach.kube.get(f"{pods_path(self.namespace)}/{self.victims[0].name}"))
        if pod.machine != self.machine:
            raise NotProven(f"{pod} is on {pod.machine or 'no machine'}, expected {self.machine}")
        return self.path.replace("{pod}", pod.uid)

    def _room(self, reach: Reach) -> _Room:
        path = self._path_now(reach)
        free_space = ("df", "--block-size=1", "--output=size,avail", path)
        size, free = commands.read(reach, self.machine, *free_space).split()[-2:]
        quota = self._attribute(reach, path, _QUOTA)
        if not quota:
            return _Room(quota=None, size=int(size), free=int(free))
        used = self._attribute(reach, path, _BYTES)
        if used is None:
            raise NotProven(f"{path} of {self.machine} has a quota, and no attribute {_BYTES}")
        return _Room(quota=quota, size=int(size), free=max(0, quota - used))

    def _attribute(self, reach: Reach, path: str, name: str) -> int | None:
        """A number that CephFS keeps of a folder; None if the folder has no such attribute."""
        words = ("getfattr", "--only-values", "--absolute-names", f"--name={name}", path)
        found = commands.unless(reach, self.machine, *words, no=(1,))
        return None if found is None else int(found)


def _data_folder(reach: Reach, space: str, pod: str) -> str:
    """PGDATA of the pod's first container; NotProven when it has none."""
    done = reach.kube.exec(space, pod, ("printenv", "PGDATA"))
    if done.status != 0:
        raise NotProven(
            f"{pod} has no PGDATA: printenv ended with {done.status}",
            remedy="name a folder on its volume in the profile's `drills:` (`folder:`)",
        )
    return done.stdout.strip()


def _claim_of(pod: object, folder: str) -> str:
    """The claim that the pod's first container has mounted at or above a folder; empty if none."""
    container = next(iter(listed(pod, "spec", "containers")), None)
    mounts = {must(it, "mountPath"): must(it, "name") for it in listed(container, "volumeMounts")}
    above = [it for it in mounts if f"{folder}/".startswith(f"{it.rstrip('/')}/")]
    mounted = mounts.get(max(above, key=len, default=""))
    for volume in listed(pod, "spec", "volumes"):
        if must(volume, "name") == mounted:
            return text(volume, "persistentVolumeClaim", "claimName") or ""
    return ""
