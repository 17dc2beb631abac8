"""CloudNativePG as the target's PostgreSQL: from its Go module, with Debian's PostgreSQL.

Its program is both the operator and the instance manager, which the operator copies into each pod.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from harness.lab import archives, builds, images, machines, swarm
from harness.lab.host import until_well
from harness.lab.kubernetes import insist, kubectl, objects
from harness.lab.shape import LAB, Lab
from harness.lab.stages import Stage

VERSION = "1.28.0"
HERE = LAB / "cloudnativepg"
MODULE = "github.com/cloudnative-pg/cloudnative-pg"
ARCHIVE = "cloudnativepg.tar"
STAMP = f"-X {MODULE}/pkg/versions.buildVersion={VERSION}+lab"
CLUSTERS, NAMESPACE = "clusters.postgresql.cnpg.io", "saasodoo"
HEALTHY = "Cluster in healthy state"
# The programs of the operator's image, for pods of each architecture.
PROGRAM = "operator/manager_amd64"


def program() -> builds.Build:
    """A folder with the program, at its paths in the image, and the manifest of its release."""

    def make(target: Path, log: Path) -> None:
        command = ["build", *builds.go_flags(STAMP), "-o", str(target / PROGRAM)]
        builds.go(HERE, [*command, f"{MODULE}/cmd/manager"], log)
        (target / "manager").symlink_to(PROGRAM)
        module = builds.go(HERE, ["list", "-m", "-f", "{{.Dir}}", MODULE], log).strip()
        release = Path(module) / f"releases/cnpg-{VERSION}.yaml"
        shutil.copyfile(release, target / "release.yaml")
        shutil.copy(HERE / "manifests/operator/kustomization.yaml", target)

    own = (HERE / "go.mod", HERE / "go.sum", HERE / "manifests/operator/kustomization.yaml")
    made_of = (path.read_bytes() for path in (*own, Path(__file__)))
    return builds.Build("cloudnativepg", tuple(made_of), make)


def archive() -> builds.Build:
    """The operator's image: only the program."""
    built = program()

    def make(target: Path, log: Path) -> None:
        folder = built.ensure(log)
        with archives.layers(target) as scratch:
            layer = scratch / "operator"
            placed = {name: folder / name for name in (PROGRAM, "manager")}
            images.files_layer(layer, placed)
            images.archive(target, [images.Image(f"lab/cloudnative-pg:{VERSION}", (layer,))])

    made_of = (*archives.code(), built.path.name.encode())
    return builds.Build("cloudnativepg-images", made_of, make)


def stages(lab: Lab) -> list[Stage]:
    """Build and import while Kubernetes comes up, after the larger builds; none if undeclared."""
    if lab.profile.postgres is None:
        return []
    log = lab.logs / "cloudnativepg.log"
    before = "traefik program" if lab.profile.stack.rook is None else "rook program"
    return [
        Stage("postgres program", lambda: program().ensure(log), 150, (before,)),
        Stage(
            "postgres images",
            lambda: archives.bring(lab, archive(), ARCHIVE, log),
            10,
            ("postgres program", "tools", "last partition"),
        ),
        Stage("postgres operator", lambda: operator(lab, log), 60, ("postgres images", "platform")),
        # Its password is that of the old PostgreSQL.
        Stage("postgres", lambda: up(lab, log), 60, ("postgres operator", "swarm")),
        Stage("postgres filled", lambda: fill(lab, log), 30, ("postgres",)),
    ]


def operator(lab: Lab, log: Path) -> None:
    """Start the operator; returns when its webhooks answer.

    That is once the kubelet has shown it the certificate that it made for them, up to a minute and
    a half later.
    """
    folder = program().ensure(log)
    insist(lab, "apply", "--server-side", f"--kustomize={folder}", log=log)
    insist(lab, "wait", "--for=condition=Established", "--timeout=30s", f"crd/{CLUSTERS}", log=log)
    _until(lab, "Available", "deployment/cnpg-controller-manager", "cnpg-system", log)


def up(lab: Lab, log: Path) -> None:
    """Make a primary and a standby; returns when both are up."""
    cluster = (HERE / "manifests/cluster.yaml").read_text(encoding="utf-8")
    password = {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/basic-auth",
        "metadata": {"name": "postgres-password", "namespace": NAMESPACE},
        "stringData": {"username": "postgres", "password": swarm.password(lab)},
    }
    insist(lab, "apply", "--filename=-", stdin=f"{cluster}---\n{json.dumps(password)}\n", log=log)
    whole(lab, log)


def fill(lab: Lab, log: Path) -> None:
    """Restore a dump of the old platform's PostgreSQL."""
    text = (HERE / "manifests/fill.yaml").read_text(encoding="utf-8")
    job = machines.fill(text, {"source": swarm.manager(lab).address})
    insist(lab, "apply", "--filename=-", stdin=job, log=log)
    _until(lab, "Complete", "job/fill", NAMESPACE, log)


def _until(lab: Lab, condition: str, what: str, namespace: str, log: Path) -> None:
    """Wait until an object has a condition."""
    words = ("wait", f"--for=condition={condition}", "--timeout=5s", f"--namespace={namespace}")

    def trouble() -> str:
        has = kubectl(lab, *words, what, log=log, check=False)
        return "" if has else f"it is not {condition}"

    until_well(trouble, what=what, within_s=240, log=log)


def trouble(lab: Lab, log: Path) -> str:
    """Why PostgreSQL is not whole; empty when it is, or when the lab has none."""
    if lab.profile.postgres is None:
        return ""
    found = objects(lab, CLUSTERS, f"--namespace={NAMESPACE}", log=log)
    phases = [str(it.get("status", {}).get("phase")) for it in found]
    return "" if phases == [HEALTHY] else f"its Cluster is {' '.join(phases) or 'not there'}"


def whole(lab: Lab, log: Path, within_s: float = 240) -> None:
    """Wait until the primary and its standby are ready."""
    until_well(lambda: trouble(lab, log), what="PostgreSQL", within_s=within_s, log=log)
