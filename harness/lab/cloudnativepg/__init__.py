"""CloudNativePG as the target's PostgreSQL: a primary and a standby, filled from the old one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from harness.lab import archives, machines, swarm
from harness.lab.cloudnativepg.program import HERE, RELEASE, VERSION, archive, program
from harness.lab.host import until_well
from harness.lab.kubernetes import insist, kubectl, objects, pinned
from harness.lab.shape import Lab
from harness.lab.stages import Stage

ARCHIVE = "cloudnativepg.tar"
# The operator's image, and the one whose PostgreSQL it runs.
IMAGE, POSTGRES = f"lab/cloudnative-pg:{VERSION}", "lab/workload:1"
CLUSTERS, NAMESPACE = "clusters.postgresql.cnpg.io", "saasodoo"
PRIMARY = "cnpg.io/cluster=postgres,cnpg.io/instanceRole=primary"
STANDBY = "cnpg.io/cluster=postgres,cnpg.io/instanceRole=replica"
HEALTHY = "Cluster in healthy state"


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
        Stage("postgres", lambda: up(lab, log), 60, ("postgres operator",)),
        Stage("postgres filled", lambda: fill(lab, log), 30, ("postgres", "swarm")),
    ]


def operator(lab: Lab, log: Path) -> None:
    """Start the operator on two machines; returns when its webhooks answer.

    That is once the kubelets have shown it the certificate that it made for them: up to a minute
    and a half later.
    """
    with TemporaryDirectory() as folder:
        shutil.copy(program().ensure(log) / RELEASE, folder)
        shutil.copy(HERE / "manifests/operator/kustomization.yaml", folder)
        release = kubectl(lab, "kustomize", folder, log=log)
    by_digest = release.replace(IMAGE, pinned(lab, IMAGE, log))
    insist(lab, "apply", "--server-side", "--filename=-", stdin=by_digest, log=log)
    insist(lab, "wait", "--for=condition=Established", "--timeout=30s", f"crd/{CLUSTERS}", log=log)
    _until(lab, "Available", ("deployment/cnpg-controller-manager",), "cnpg-system", log)


def up(lab: Lab, log: Path) -> None:
    """Make a primary and a standby; returns when the primary serves.

    Its superuser has the password of the old PostgreSQL's.
    """
    text = (HERE / "manifests/cluster.yaml").read_text(encoding="utf-8")
    cluster = text.replace(POSTGRES, pinned(lab, POSTGRES, log))
    password = {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/basic-auth",
        "metadata": {"name": "postgres-password", "namespace": NAMESPACE},
        "stringData": {"username": "postgres", "password": swarm.password(lab)},
    }
    insist(lab, "apply", "--filename=-", stdin=f"{cluster}---\n{json.dumps(password)}\n", log=log)
    _until(lab, "Ready", ("pod", f"--selector={PRIMARY}"), NAMESPACE, log)


def fill(lab: Lab, log: Path) -> None:
    """Restore a dump of the old platform's PostgreSQL, while the standby is made.

    Returns when both are up: the last statement of the restore waits for the standby.
    """
    text = (HERE / "manifests/fill.yaml").read_text(encoding="utf-8")
    job = machines.fill(text, {"source": swarm.manager(lab).address})
    insist(lab, "apply", "--filename=-", stdin=job, log=log)
    _until(lab, "Complete", ("job/fill",), NAMESPACE, log)
    whole(lab, log)
    # A standby that loses power goes back to its own last checkpoint: to before the restore.
    for pod in objects(lab, "pods", f"--selector={STANDBY}", f"--namespace={NAMESPACE}", log=log):
        run = ("exec", f"--namespace={NAMESPACE}", pod["metadata"]["name"], "--container=postgres")
        insist(lab, *run, "--", "psql", "--no-psqlrc", "--command=checkpoint", log=log)


def _until(lab: Lab, condition: str, what: Sequence[str], namespace: str, log: Path) -> None:
    """Wait until an object has a condition."""
    words = ("wait", f"--for=condition={condition}", "--timeout=5s", f"--namespace={namespace}")

    def trouble() -> str:
        has = kubectl(lab, *words, *what, log=log, check=False)
        return "" if has else f"it is not {condition}"

    until_well(trouble, what=" ".join(what), within_s=240, log=log)


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
