"""The services on the lab's Kubernetes: images, storage class, ingress, backups."""

from __future__ import annotations

import json
from pathlib import Path

from harness.lab import archives, builds
from harness.lab.kubernetes import insist
from harness.lab.shape import LAB, Lab
from harness.probes.certificates import Authority

MANIFESTS = LAB / "platform/manifests"


def tools(lab: Lab, log: Path) -> None:
    """The folder that the machines see at /opt/cutover: the Kubernetes binary and the images."""
    lab.tools.mkdir(parents=True, exist_ok=True)
    version = lab.profile.kubernetes.version
    archives.place(builds.kube(version).ensure(log), lab.tools / "kube")
    archives.place(archives.main(version).ensure(log), lab.tools / archives.MAIN)


def up(lab: Lab, log: Path) -> None:
    """Start the services of the platform; returns before they are ready."""
    stack = lab.profile.stack
    patch = ["patch", "deployment", "coredns", "--namespace=kube-system"]
    insist(lab, *patch, f"--patch-file={MANIFESTS / 'coredns.yaml'}", log=log)
    for name in ("storage", "backups"):
        insist(lab, "apply", f"--filename={MANIFESTS / f'{name}.yaml'}", log=log)
    if stack.ingress is not None:
        where = "load-balancer" if stack.load_balancer is not None else "host-ports"
        insist(lab, "apply", f"--kustomize={MANIFESTS / f'ingress-at-{where}'}", log=log)
        sites(lab, log)


def sites(lab: Lab, log: Path) -> None:
    """Certificates for the declared sites, signed by the authority that the profile names."""
    declared = lab.profile.ingress
    assert declared is not None
    assert declared.authority is not None
    if declared.authority.exists():
        return
    authority = Authority("cutover lab")
    for site in declared.hosts:
        certificate, key = authority.issue(site, days=3650)
        data = {"tls.crt": certificate, "tls.key": key}
        secret = {
            "apiVersion": "v1",
            "kind": "Secret",
            "type": "kubernetes.io/tls",
            "metadata": {"name": site.partition(".")[0], "namespace": "ingress"},
            "stringData": data,
        }
        insist(lab, "apply", "--filename=-", stdin=json.dumps(secret), log=log)
    declared.authority.write_text(authority.pem)
