"""The services on the lab's Kubernetes: images, DNS, storage class, backups."""

from __future__ import annotations

from pathlib import Path

from harness.lab import archives, builds, rook
from harness.lab.kubernetes import insist
from harness.lab.machines import fill
from harness.lab.shape import LAB, Lab

MANIFESTS = LAB / "platform/manifests"


def tools(lab: Lab, log: Path) -> None:
    """The folder that the machines see at /opt/cutover: the Kubernetes binary and the images."""
    lab.tools.mkdir(parents=True, exist_ok=True)
    version = lab.profile.kubernetes.version
    archives.place(builds.kube(version).ensure(log), lab.tools / "kube")
    archives.place(archives.main(version).ensure(log), lab.tools / archives.MAIN)


def up(lab: Lab, log: Path) -> None:
    """Start the services of the platform; returns before they are ready."""
    patch = ["patch", "deployment", "coredns", "--namespace=kube-system"]
    insist(lab, *patch, f"--patch-file={MANIFESTS / 'coredns.yaml'}", log=log)
    mount = rook.MOUNTED_AT if rook.has_own_ceph(lab) else "/mnt/cephfs"
    storage = (MANIFESTS / "storage.yaml").read_text(encoding="utf-8")
    insist(lab, "apply", "--filename=-", stdin=fill(storage, {"mount": mount}), log=log)
    insist(lab, "apply", f"--filename={MANIFESTS / 'backups.yaml'}", log=log)
