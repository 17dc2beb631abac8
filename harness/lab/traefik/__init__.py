"""Traefik as the lab's ingress: built from its Go module."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from harness.lab import archives, builds, images
from harness.lab.kubernetes import insist
from harness.lab.shape import LAB, Lab
from harness.lab.stages import Stage
from harness.probes.certificates import Authority

VERSION = "3.6.12"
HERE = LAB / "traefik"
MODULE = "github.com/traefik/traefik/v3"
ARCHIVE = "traefik.tar"
IMAGE = f"lab/traefik:{VERSION}"
STAMP = f"-X {MODULE}/pkg/version.Version={VERSION}+lab"
KINDS = "docs/content/reference/dynamic-configuration/kubernetes-crd-definition-v1.yml"
# Clients of some 150 DNS providers, for certificates: without them the build takes four minutes
# of processor instead of thirteen.
CHALLENGES = "pkg/provider/acme/provider.go"
WITHOUT_CHALLENGES = {
    '\t"github.com/go-acme/lego/v4/providers/dns"\n': "",
    "dns.NewDNSChallengeProviderByName(p.DNSChallenge.Provider)": (
        'nil, errors.New("built without DNS challenges")'
    ),
}


def program() -> builds.Build:
    """A folder with Traefik, and the definitions of its kinds."""

    def make(target: Path, log: Path) -> None:
        work = target / "work"
        source = builds.own_source(HERE, work, MODULE, log)
        for old, new in WITHOUT_CHALLENGES.items():
            builds.replace_once(source / CHALLENGES, old, new)
        command = ["build", *builds.go_flags(STAMP), "-o", str(target / "traefik")]
        builds.go(work, [*command, f"{MODULE}/cmd/traefik"], log)
        (source / KINDS).rename(target / "kinds.yaml")
        shutil.rmtree(work)

    made_of = (path.read_bytes() for path in (HERE / "go.mod", HERE / "go.sum", Path(__file__)))
    return builds.Build("traefik", tuple(made_of), make)


def archive() -> builds.Build:
    """Traefik's image: only the program."""
    built = program()

    def make(target: Path, log: Path) -> None:
        folder = built.ensure(log)
        with archives.layers(target) as scratch:
            layer = scratch / "traefik"
            images.files_layer(layer, {"traefik": folder / "traefik"})
            images.archive(target, [images.Image(IMAGE, (layer,))])

    return builds.Build("traefik-images", (*archives.code(), built.path.name.encode()), make)


def stages(lab: Lab, after: str) -> list[Stage]:
    """Build and import while Kubernetes comes up, once the larger builds are done.

    ``after`` is the stage that connects pods, or the one that gives services their addresses.
    """
    log = lab.logs / "traefik.log"
    before = "metallb programs" if after == "load balancer" else "kubernetes binary"
    return [
        Stage("traefik program", lambda: program().ensure(log), 300, (before,)),
        Stage(
            "traefik images",
            lambda: archives.bring(lab, archive(), ARCHIVE, log),
            10,
            ("traefik program", "tools", "last partition"),
        ),
        Stage("ingress", lambda: up(lab, log), 5, ("traefik images", after)),
    ]


def up(lab: Lab, log: Path) -> None:
    """Apply Traefik's kinds, then Traefik where the profile has it answer, then the sites."""
    kinds = program().ensure(log) / "kinds.yaml"
    insist(lab, "apply", "--server-side", f"--filename={kinds}", log=log)
    for kind in ("ingressroutes", "middlewares"):
        known = f"crd/{kind}.traefik.io"
        insist(lab, "wait", "--for=condition=Established", "--timeout=30s", known, log=log)
    where = "host-ports" if lab.profile.stack.load_balancer is None else "load-balancer"
    insist(lab, "apply", f"--kustomize={HERE / 'manifests' / where}", log=log)
    sites(lab, log)


def sites(lab: Lab, log: Path) -> None:
    """Certificates for the declared sites, signed by the authority that the profile names.

    Each is for all hosts of its site's domain: the platform's services have no other.
    """
    declared = lab.profile.ingress
    assert declared is not None
    assert declared.authority is not None
    if declared.authority.exists():
        return
    authority = Authority("cutover lab")
    for site in declared.hosts:
        name, _, domain = site.partition(".")
        certificate, key = authority.issue(f"*.{domain}", days=3650)
        data = {"tls.crt": certificate, "tls.key": key}
        secret = {
            "apiVersion": "v1",
            "kind": "Secret",
            "type": "kubernetes.io/tls",
            "metadata": {"name": name, "namespace": "ingress"},
            "stringData": data,
        }
        insist(lab, "apply", "--filename=-", stdin=json.dumps(secret), log=log)
    declared.authority.write_text(authority.pem)
