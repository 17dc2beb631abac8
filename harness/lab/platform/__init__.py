"""The platform on the lab's Kubernetes: images, DNS, storage class, backups, its services."""

from __future__ import annotations

from pathlib import Path

from harness.lab import archives, builds, rook
from harness.lab.kubernetes import insist, pinned
from harness.lab.machines import fill
from harness.lab.shape import LAB, Lab
from harness.lab.stages import Stage

MANIFESTS = LAB / "platform/manifests"
IMAGE = "lab/platform:1"
# A package that Python starts by its name, in images and in tests.
SERVICES = LAB / archives.PARTS


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


def stages(lab: Lab, ingress: list[Stage]) -> list[Stage]:
    """What starts the services; none if the lab has no database or no ingress for them.

    They wait for their databases by themselves.
    """
    if lab.profile.postgres is None or not ingress:
        return []
    log = lab.logs / "services.log"
    return [Stage("services", lambda: services(lab, log), 10, ("platform", ingress[-1].name))]


def services(lab: Lab, log: Path) -> None:
    """Start the platform's own services with their stores; returns before they are ready."""
    image = pinned(lab, IMAGE, log)
    for name in ("stores", "services"):
        text = (MANIFESTS / f"{name}.yaml").read_text(encoding="utf-8")
        insist(lab, "apply", "--filename=-", stdin=fill(text, {"image": image}), log=log)
