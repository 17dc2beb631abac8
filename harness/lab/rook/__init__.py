"""Rook as it connects Kubernetes to the machines' own Ceph (external mode): from its Go module.

Operator, kinds, roles and the two scripts that hand Ceph over are Rook's own. It runs no CSI
drivers: they are not available.
"""

from __future__ import annotations

import re
import shutil
import time
from datetime import datetime
from pathlib import Path

from harness.lab import archives, builds, images
from harness.lab.host import until_well
from harness.lab.kubernetes import insist, objects
from harness.lab.machines import enter
from harness.lab.shape import LAB, Lab
from harness.lab.stages import Stage

VERSION = "v1.17.9"
HERE = LAB / "rook"
MODULE = "github.com/rook/rook"
APIS = f"{MODULE}/pkg/apis"
ARCHIVE = "rook.tar"
STAMP = f"-X {MODULE}/pkg/version.Version={VERSION}+lab"
OPERATOR = HERE / "manifests/operator.yaml"
EXAMPLES = ("crds.yaml", "common.yaml", "common-external.yaml")
# The operator looks at Ceph every ten seconds; started anew elsewhere, it takes longer.
FRESH_S = 150
SCRIPTS = ("create-external-cluster-resources.py", "import-external-cluster.sh")
# As an operator does it, on a machine with Ceph's administration key.
HAND_OVER = """
set -e
umask 077
export KUBECONFIG=/etc/rancher/rke2/rke2.yaml NAMESPACE=rook-ceph-external
python3 /opt/cutover/create-external-cluster-resources.py --namespace "$NAMESPACE" \
    --cephfs-filesystem-name cephfs --rbd-data-pool-name "$1" --skip-monitoring-endpoint \
    --format bash --output /run/rook-external
. /run/rook-external
rm /run/rook-external
# The script names one monitor, whom the operator would ask for the others a minute later.
export ROOK_EXTERNAL_CEPH_MON_DATA="$2"
bash /opt/cutover/import-external-cluster.sh
"""


def program() -> builds.Build:
    """A folder with Rook, the definitions of its kinds, its roles, and its scripts."""

    def make(target: Path, log: Path) -> None:
        work = target / "work"
        complete(builds.own_source(HERE, work, APIS, log) / "ceph.rook.io/v1")
        command = ["build", *builds.go_flags(STAMP), "-o", str(target / "rook")]
        builds.go(work, [*command, f"{MODULE}/cmd/rook"], log)
        module = builds.go(work, ["list", "-m", "-f", "{{.Dir}}", MODULE], log).strip()
        for name in (*EXAMPLES, *SCRIPTS):
            shutil.copyfile(Path(module) / "deploy/examples" / name, target / name)
        shutil.rmtree(work)

    own = (HERE / "go.mod", HERE / "go.sum", *sorted((HERE / "apis").iterdir()), Path(__file__))
    return builds.Build("rook", tuple(path.read_bytes() for path in own), make)


def complete(apis: Path) -> None:
    """Add to Rook's published API what this version of Rook uses and that API lacks."""
    shutil.copy(HERE / "apis/since.go", apis)
    fields = (HERE / "apis/fields.go").read_text(encoding="utf-8")
    for begin, added in re.findall(r"^(type \w+ struct \{\n)(.*?)^\}", fields, re.M | re.S):
        builds.replace_once(apis / "types.go", begin, begin + added)


def archive() -> builds.Build:
    """The operator's image: a Debian with Ceph's commands, and Rook on top."""
    system, built = builds.system("rook", ".tar"), program()

    def make(target: Path, log: Path) -> None:
        base, folder = system.ensure(log), built.ensure(log)
        with archives.layers(target) as scratch:
            layer = scratch / "rook"
            images.files_layer(layer, {"usr/local/bin/rook": folder / "rook"})
            images.archive(
                target,
                [images.Image(f"lab/rook:{VERSION}", (base, layer), ("/usr/local/bin/rook",))],
            )

    made_of = (build.path.name.encode() for build in (system, built))
    return builds.Build("rook-images", (*archives.code(), *made_of), make)


def stages(lab: Lab, before: str) -> list[Stage]:
    """Build and import while Kubernetes comes up; ``before`` is the Go build that goes first."""
    log = lab.logs / "rook.log"
    system = builds.system("rook", ".tar")
    return [
        Stage("rook system", lambda: system.ensure(log), 60, ("workload",)),
        Stage("rook program", lambda: program().ensure(log), 180, (before,)),
        Stage(
            "rook images",
            lambda: archives.bring(lab, archive(), ARCHIVE, log),
            15,
            ("rook system", "rook program", "tools", "last partition"),
        ),
        # After the platform: Rook's script leaves a storage class alone that is there.
        Stage("rook", lambda: up(lab, log), 15, ("rook images", "platform", "ceph")),
    ]


def up(lab: Lab, log: Path) -> None:
    """Start the operator, hand it the machines' Ceph with Rook's own scripts, and connect."""
    folder = program().ensure(log)
    for name in EXAMPLES:
        insist(lab, "apply", "--server-side", f"--filename={folder / name}", log=log)
    known = "crd/cephclusters.ceph.rook.io"
    insist(lab, "wait", "--for=condition=Established", "--timeout=30s", known, log=log)
    insist(lab, "apply", f"--filename={OPERATOR}", log=log)
    for name in SCRIPTS:
        archives.place(folder / name, lab.tools / name)
    pool = lab.profile.ceph.image_pool or ""
    monitors = ",".join(f"{node.name}={node.address}:6789" for node in lab.nodes)
    hand_over = ["sh", "-c", HAND_OVER, "rook", pool, monitors]
    enter(lab, lab.nodes[0], hand_over, log=log, within_s=120)
    insist(lab, "apply", f"--filename={HERE / 'manifests/cluster.yaml'}", log=log)


def trouble(lab: Lab, log: Path) -> str:
    """Why Rook is not connected to Ceph; empty when it is, or when the lab has no Rook."""
    declared = lab.profile.rook
    if lab.profile.stack.rook is None or declared is None:
        return ""
    which = (f"cephcluster/{declared.cluster}", "configmap/rook-ceph-mon-endpoints")
    found = objects(lab, *which, f"--namespace={declared.namespace}", log=log)
    if len(found) != len(which):
        return "it has no CephCluster, or no list of monitors"
    cluster, monitors = found
    status = cluster.get("status", {})
    if status.get("phase") != "Connected":
        return f"its CephCluster is {status.get('phase')}: {status.get('message')}"
    looked = status.get("ceph", {}).get("lastChecked")
    if looked is None:
        return "its operator has not looked at Ceph yet"
    ago_s = time.time() - datetime.fromisoformat(looked).timestamp()
    if ago_s > FRESH_S:
        return f"its operator looked at Ceph {ago_s:.0f} s ago"
    unknown = [it for it in declared.monitors if it not in monitors["data"]["data"]]
    return f"its operator does not know {', '.join(unknown)} yet" if unknown else ""


def whole(lab: Lab, log: Path, within_s: float = 180) -> None:
    """Wait until Rook is connected to Ceph."""
    until_well(lambda: trouble(lab, log), what="Rook", within_s=within_s, log=log)
