"""Rook in external mode: it is handed the machines' own Ceph, as an operator does it."""

from __future__ import annotations

from pathlib import Path

from harness.lab import archives
from harness.lab.kubernetes import insist
from harness.lab.machines import enter
from harness.lab.rook.program import HERE
from harness.lab.shape import Lab

SCRIPTS = ("create-external-cluster-resources.py", "import-external-cluster.sh")
# As an operator does it, on a machine with Ceph's administration key.
HAND_OVER = """
set -e
umask 077
export KUBECONFIG=/etc/rancher/rke2/rke2.yaml NAMESPACE=rook-ceph-external
python3 /opt/cutover/create-external-cluster-resources.py --namespace "$NAMESPACE" \\
    --cephfs-filesystem-name cephfs --rbd-data-pool-name "$1" --skip-monitoring-endpoint \\
    --format bash --output /run/rook-external
. /run/rook-external
rm /run/rook-external
# The script names one monitor, whom the operator would ask for the others a minute later.
export ROOK_EXTERNAL_CEPH_MON_DATA="$2"
bash /opt/cutover/import-external-cluster.sh
"""


def up(lab: Lab, folder: Path, log: Path) -> None:
    """Hand the machines' Ceph over with Rook's own scripts, and connect."""
    for name in SCRIPTS:
        archives.place(folder / name, lab.tools / name)
    pool = lab.profile.ceph.image_pool or ""
    monitors = ",".join(f"{node.name}={node.address}:6789" for node in lab.nodes)
    hand_over = ["sh", "-c", HAND_OVER, "rook", pool, monitors]
    enter(lab, lab.nodes[0], hand_over, log=log, within_s=120)
    insist(lab, "apply", f"--filename={HERE / 'manifests/external.yaml'}", log=log)
