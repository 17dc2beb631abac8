"""Is this the cluster that was meant? Asked before anything on it is changed."""

from __future__ import annotations

from harness.errors import Refused
from harness.transport.objects import must
from harness.transport.protocols import Reach

# A cluster has no name of its own; this UID is made with it, and goes with it.
PATH = "/api/v1/namespaces/kube-system"


def same_cluster(reach: Reach, *, undeclared: bool = False) -> None:
    """Refused when another cluster answers than the profile declares.

    A profile that declares none is refused, too, unless that is allowed (``undeclared``).
    """
    profile = reach.profile
    declared = profile.declared_uid()
    if declared is None and undeclared:
        return
    uid = must(reach.kube.get(PATH), "metadata", "uid")
    if uid != declared:
        raise Refused(
            f"{profile.name} is declared to be cluster {declared}, but {uid} answers",
            remedy=f"is {profile.access.kubeconfig} of another cluster? Else correct its uid",
        )
