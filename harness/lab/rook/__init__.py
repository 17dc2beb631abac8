"""Rook on the lab's Kubernetes: in external mode on the machines' own Ceph, or with its own.

Operator, kinds, roles, toolbox and the scripts that hand a Ceph over are Rook's own. It runs no CSI
drivers: they are not available.
"""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path

from harness.lab import archives, builds, images
from harness.lab.host import until_well
from harness.lab.kubernetes import insist, objects
from harness.lab.rook import cluster, external
from harness.lab.rook.cluster import MOUNTED_AT as MOUNTED_AT
from harness.lab.rook.program import HERE, TAG, program
from harness.lab.shape import Lab
from harness.lab.stages import Stage

ARCHIVE = "rook.tar"
OPERATOR = HERE / "manifests/operator.yaml"
# The operator looks at Ceph every ten seconds, or once a minute; started anew, it takes longer.
FRESH_S = 150
ROLES = ("crds.yaml", "common.yaml", "common-external.yaml")


def system(lab: Lab) -> builds.Build:
    """The Debian below Rook's program: with Ceph's commands, and its daemons if Rook runs them."""
    return builds.system("ceph" if has_own_ceph(lab) else "rook", ".tar")


def has_own_ceph(lab: Lab) -> bool:
    return lab.profile.stack.rook == "cluster"


def archive(lab: Lab) -> builds.Build:
    """The operator's image and, in cluster mode, that of Ceph below it."""
    base, built = system(lab), program()
    more = cluster.image_files() if has_own_ceph(lab) else {}

    def make(target: Path, log: Path) -> None:
        folder = built.ensure(log)
        with archives.layers(target) as scratch:
            layers: tuple[Path, ...] = (base.ensure(log),)
            made = []
            if more:
                images.files_layer(scratch / "ceph", more)
                layers += (scratch / "ceph",)
                made.append(images.Image(f"lab/ceph:{cluster.CEPH}", layers))
            images.files_layer(scratch / "rook", {"usr/local/bin/rook": folder / "rook"})
            layers += (scratch / "rook",)
            made.append(images.Image(f"lab/rook:{TAG}", layers, ("/usr/local/bin/rook",)))
            images.archive(target, made)

    made_of = (build.path.name.encode() for build in (base, built))
    contents = (path.read_bytes() for path in more.values())
    own = Path(__file__).read_bytes()
    return builds.Build("rook-images", (*archives.code(), own, *made_of, *contents), make)


def stages(lab: Lab, before: str, network: str) -> list[Stage]:
    """Build and import while Kubernetes comes up; the last is called "rook".

    ``before`` is the Go build that goes first, ``network`` the stage that connects pods.
    """
    log = lab.logs / "rook.log"
    base = system(lab)
    # Handing over comes after the platform: Rook's script leaves a storage class alone that is
    # there. Claims are served from Rook's own Ceph if it has one: the platform comes after it.
    rook = (
        Stage("rook", lambda: up(lab, log), 420, ("rook images", network))
        if has_own_ceph(lab)
        else Stage("rook", lambda: up(lab, log), 15, ("rook images", "platform", "ceph"))
    )
    return [
        Stage("rook system", lambda: base.ensure(log), 60, ("workload",)),
        Stage("rook program", lambda: program().ensure(log), 180, (before,)),
        Stage(
            "rook images",
            lambda: archives.bring(lab, archive(lab), ARCHIVE, log),
            15,
            ("rook system", "rook program", "tools", "last partition"),
        ),
        rook,
    ]


def up(lab: Lab, log: Path) -> None:
    """Start the operator, and give it a Ceph: the machines' own, or their disks for a new one."""
    folder = program().ensure(log)
    for name in ROLES:
        insist(lab, "apply", "--server-side", f"--filename={folder / name}", log=log)
    known = "crd/cephclusters.ceph.rook.io"
    insist(lab, "wait", "--for=condition=Established", "--timeout=30s", known, log=log)
    insist(lab, "apply", f"--filename={OPERATOR}", log=log)
    (cluster if has_own_ceph(lab) else external).up(lab, folder, log)


def trouble(lab: Lab, log: Path) -> str:
    """Why Rook's Ceph is not whole or not connected; empty if it is, or if the lab has no Rook."""
    declared = lab.profile.rook
    if lab.profile.stack.rook is None or declared is None:
        return ""
    which = (f"cephcluster/{declared.cluster}", "configmap/rook-ceph-mon-endpoints")
    found = objects(lab, *which, f"--namespace={declared.namespace}", log=log)
    if len(found) != len(which):
        return "it has no CephCluster, or no list of monitors"
    ceph, monitors = found
    status, wanted = ceph.get("status", {}), "Ready" if has_own_ceph(lab) else "Connected"
    if status.get("phase") != wanted:
        return f"its CephCluster is {status.get('phase')}: {status.get('message')}"
    looked = status.get("ceph", {}).get("lastChecked")
    if looked is None:
        return "its operator has not looked at Ceph yet"
    ago_s = time.time() - datetime.fromisoformat(looked).timestamp()
    if ago_s > FRESH_S:
        return f"its operator looked at Ceph {ago_s:.0f} s ago"
    unknown = [it for it in declared.monitors if it not in monitors["data"]["data"]]
    if unknown:
        return f"its operator does not know {', '.join(unknown)} yet"
    return cluster.trouble(lab, log) if has_own_ceph(lab) else ""


def whole(lab: Lab, log: Path, within_s: float = 300) -> None:
    """Wait until Rook has no trouble."""
    until_well(lambda: trouble(lab, log), what="Rook", within_s=within_s, log=log)
