"""The services on the lab's Kubernetes: images, DNS, storage class, backups."""

from __future__ import annotations

from pathlib import Path

from harness.lab import archives, builds
from harness.lab.kubernetes import insist
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
    for name in ("storage", "backups"):
        insist(lab, "apply", f"--filename={MANIFESTS / f'{name}.yaml'}", log=log)
