"""What runs on the lab's Kubernetes: its images, its storage class, its ingress."""

from __future__ import annotations

import shutil
from pathlib import Path

from harness.lab import archives, builds
from harness.lab.kubernetes import kubectl
from harness.lab.shape import LAB, Lab

MANIFESTS = LAB / "platform/manifests"


def tools(lab: Lab, log: Path) -> None:
    """What the machines see at /opt/cutover: the Kubernetes binary and the images."""
    lab.tools.mkdir(parents=True, exist_ok=True)
    version = lab.profile.kubernetes.version
    place(builds.kube(version).ensure(log), lab.tools / "kube")
    place(archives.main(version).ensure(log), lab.tools / "images.tar")


def place(source: Path, target: Path) -> None:
    """Copy a file to where the machines see it; it appears whole or not at all."""
    if not target.exists():
        new = target.with_suffix(".new")
        shutil.copy2(source, new)
        new.rename(target)


def up(lab: Lab, log: Path) -> None:
    """The services of the platform."""
    patch = ["patch", "deployment", "coredns", "--namespace=kube-system"]
    kubectl(lab, *patch, f"--patch-file={MANIFESTS / 'coredns.yaml'}", log=log)
    kubectl(lab, "apply", f"--kustomize={MANIFESTS / 'host-ports'}", log=log)
