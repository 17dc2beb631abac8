"""What runs on the lab's Kubernetes: its images, its pod network and its services."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from harness.lab import builds, images, kubernetes
from harness.lab.shape import Lab


def tools(lab: Lab, log: Path) -> None:
    """What the machines see at /opt/cutover: the Kubernetes binary and the images."""
    lab.tools.mkdir(parents=True, exist_ok=True)
    version = lab.profile.kubernetes.version
    kube = builds.kube(version).ensure(log)
    _place(kube, lab.tools / "kube")
    _place(archive(version, kube).ensure(log), lab.tools / "images.tar")


def _place(source: Path, target: Path) -> None:
    if not target.exists():
        new = target.with_suffix(".new")
        shutil.copy2(source, new)
        new.rename(target)


def archive(version: str, kube: Path) -> builds.Build:
    """Every container image of the lab in one file."""
    workload = builds.system("workload", ".tar")

    def make(target: Path, log: Path) -> None:
        binaries = target.with_name(f"{target.name}.binaries")
        try:
            images.binary_layer(binaries, kube)
            images.archive(target, images.kubernetes(version, workload.ensure(log), binaries))
        finally:
            binaries.unlink(missing_ok=True)

    code = Path(images.__file__).read_bytes()
    return builds.Build("images", (code, kube.name.encode(), workload.path.name.encode()), make)


def pod_network(lab: Lab, log: Path) -> None:
    """The pod network that the lab's shape declares."""
    kubernetes.bridge_network(lab, log)


# DNS must outlive the loss of any one machine: kubeadm only prefers two machines for it.
APART = {
    "spec": {
        "template": {
            "spec": {
                "affinity": {
                    "podAntiAffinity": {
                        "preferredDuringSchedulingIgnoredDuringExecution": None,
                        "requiredDuringSchedulingIgnoredDuringExecution": [
                            {
                                "labelSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
                                "topologyKey": "kubernetes.io/hostname",
                            }
                        ],
                    }
                }
            }
        }
    }
}


def up(lab: Lab, log: Path) -> None:
    """The services of the platform."""
    patch = [
        "patch",
        "deployment",
        "coredns",
        "--namespace=kube-system",
        f"--patch={json.dumps(APART)}",
    ]
    kubernetes.kubectl(lab, *patch, log=log)
