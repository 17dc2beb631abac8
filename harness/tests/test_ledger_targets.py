"""What the ledger writes to: made for the kinds asked for, waited for, and taken away again."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any, cast

import pytest

from harness.core.errors import ConfigError, NotProven
from harness.ledger import serve_script, targets
from harness.ledger.targets import LEDGER_PERMISSIONS, LedgerTargets, namespace
from harness.ledger.writers.protocol import DatabasePlace
from harness.probes.permissions import Permission
from harness.settings import load_profile
from harness.settings.databases import DatabaseServer, Postgres
from harness.tests.fake_transport import FakeKube
from harness.tests.probe_rig import MACHINES, PROFILE, reach
from harness.transport import Completed
from harness.transport.ssh import Tunnels

_COUNTS = {"StatefulSet": 1, "DaemonSet": 3, "Deployment": 2}


class Cluster(FakeKube):
    """Runs a workload's pods as soon as it is made, one on each machine; ``sick`` never."""

    def __init__(self, sick: str = "", spaces: list[Any] | None = None) -> None:
        super().__init__()
        self.sick = sick
        self.spaces = spaces or []
        self.made: list[Any] = []

    def apply(self, manifest: Any, *, within_s: float = 10.0) -> None:
        super().apply(manifest, within_s=within_s)
        self.made.append(manifest)

    def get(self, path: str, *, within_s: float = 10.0) -> Any:
        self.calls.append(("GET", path))
        kind = path.partition("?")[0].rpartition("/")[2]
        items: dict[str, list[Any]] = {
            "namespaces": self.spaces,
            "serviceaccounts": [{}],
            "events": [{"involvedObject": {"name": f"{self.sick}-0"}, "message": "no room"}],
            "services": [
                {"metadata": it["metadata"], "spec": {"clusterIP": f"10.43.0.{number}"}}
                for number, it in enumerate(self.of("Service"))
            ],
            "pods": [
                pod(it["metadata"]["name"], number, it["metadata"]["name"] != self.sick)
                for it in self.made
                for number in range(_COUNTS.get(it["kind"], 0))
            ],
        }
        return {"items": items[kind]}

    def of(self, kind: str) -> list[Any]:
        return [it for it in self.made if it["kind"] == kind]

    def deleted(self) -> list[Any]:
        return [what for verb, what in self.calls if verb == "DELETE"]


def pod(part: str, number: int, is_ready: bool) -> Any:
    conditions = [{"type": "Ready", "status": str(is_ready)}]
    return {
        "metadata": {"name": f"{part}-{number}", "labels": {"cutover/pod": part}},
        "spec": {"nodeName": MACHINES[number]},
        "status": {"conditions": conditions, "podIP": "10.42.0.9"},
    }


def deployed(
    *kinds: str, cluster: Cluster | None = None, **words: Any
) -> tuple[LedgerTargets, Cluster]:
    cluster = cluster or Cluster()
    words = {"hide": len, **words}
    made = LedgerTargets(reach(kube=cluster, like=load_profile("lab")), "space", **words)
    made.deploy(kinds)
    return made, cluster


def containers(cluster: Cluster, kind: str) -> Any:
    (workload,) = cluster.of(kind)
    return workload["spec"]["template"]["spec"]["containers"]


@pytest.mark.parametrize(
    ("kinds", "made"),
    [
        (("postgres", "bank"), {"PersistentVolumeClaim": 1, "StatefulSet": 1, "Service": 1}),
        (("cephfs", "http"), {"PersistentVolumeClaim": 1, "DaemonSet": 1, "Deployment": 1}),
        (("objects",), {"PersistentVolumeClaim": 0, "Service": 0}),
    ],
)
def test_only_what_the_kinds_need_is_made(kinds: tuple[str, ...], made: dict[str, int]) -> None:
    ground, cluster = deployed(*kinds)
    assert {kind: len(cluster.of(kind)) for kind in made} == made
    assert set(ground.services) == {it["metadata"]["name"] for it in cluster.of("Service")}


def test_the_database_is_durable_unless_a_test_spoils_it() -> None:
    _, cluster = deployed("postgres")
    (container,) = containers(cluster, "StatefulSet")
    settings = container["command"][4:]
    assert {"fsync=on", "synchronous_commit=on", "full_page_writes=on"} <= set(settings)
    # Else a client whose machine is lost would hold its locks, and others up, for two hours.
    assert {"tcp_keepalives_idle=5", "client_connection_check_interval=2s"} <= set(settings)
    assert settings[0::2] == ["-c"] * (len(settings) // 2)
    _, loose = deployed("postgres", settings={"synchronous_commit": "off"})
    assert "synchronous_commit=off" in containers(loose, "StatefulSet")[0]["command"]


def test_the_password_is_in_its_secret_alone_and_another_each_time() -> None:
    one, cluster = deployed("postgres")
    other, _ = deployed("postgres")
    assert one.password != other.password
    (secret,) = cluster.of("Secret")
    assert secret["stringData"] == {"password": one.password}
    assert one.password not in repr([it for it in cluster.made if it is not secret])


def test_the_password_is_hidden_before_anybody_is_told_it() -> None:
    hidden: list[str] = []

    class Telling(Cluster):
        def apply(self, manifest: Any, *, within_s: float = 10.0) -> None:
            assert manifest["kind"] != "Secret" or hidden == [manifest["stringData"]["password"]]
            super().apply(manifest, within_s=within_s)

        def exec(self, *_: Any, **__: Any) -> Completed:
            return Completed(status=0, stdout="another\n", stderr="")

    ground, _ = deployed("postgres", cluster=Telling(), hide=hidden.append)
    assert hidden == [ground.password]
    ground.found(["postgres"])
    assert hidden[1:] == [ground.password] == ["another"]


def test_the_database_runs_the_image_that_the_profile_names_for_it() -> None:
    _, cluster = deployed("postgres")
    assert containers(cluster, "StatefulSet")[0]["image"] == "lab/workload:1"
    assert PROFILE.database_image.startswith("postgres@sha256:")


def test_pods_that_may_move_do_soon_after_their_machine_is_lost() -> None:
    _, cluster = deployed("postgres", "http", "cephfs")
    for kind in ("StatefulSet", "Deployment"):
        spec = cluster.of(kind)[0]["spec"]["template"]["spec"]
        assert {it["tolerationSeconds"] for it in spec["tolerations"]} == {30}
        assert "nodeName" not in spec
    assert cluster.of("DaemonSet")[0]["spec"]["template"]["spec"]["tolerations"] == [
        {"operator": "Exists"}
    ]
    apart = cluster.of("Deployment")[0]["spec"]["template"]["spec"]["affinity"]
    assert "podAntiAffinity" in apart


def test_every_container_is_limited_probed_and_restricted() -> None:
    _, cluster = deployed("postgres", "http", "cephfs")
    for kind in _COUNTS:
        (container,) = containers(cluster, kind)
        assert {"memory", "cpu"} <= set(container["resources"]["limits"])
        assert {"readinessProbe", "livenessProbe", "securityContext"} <= set(container)
        assert container["securityContext"]["readOnlyRootFilesystem"]


def test_each_machine_reaches_its_own_pod_of_files_alone() -> None:
    _, cluster = deployed("cephfs", "http")
    policies = {
        it["metadata"]["name"]: it["spec"].get("internalTrafficPolicy")
        for it in cluster.of("Service")
    }
    assert policies == {"files": "Local", "http": None}


def test_pods_that_do_not_get_ready_are_named_with_what_the_cluster_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(targets, "_READY_WITHIN_S", 0.0)
    with pytest.raises(NotProven, match=r"database-0.*no room"):
        deployed("postgres", cluster=Cluster(sick="database"))


def test_the_namespace_names_its_owner_and_is_always_deleted() -> None:
    cluster = Cluster()
    with pytest.raises(ZeroDivisionError), namespace(cluster, "run-1") as name:
        raise ZeroDivisionError
    (made,) = cluster.of("Namespace")
    assert made["metadata"]["annotations"]["cutover/owner"] == "run-1"
    assert cluster.deleted() == [f"/api/v1/namespaces/{name}"]


def test_the_platforms_own_server_is_found_by_its_service_and_its_password_is_hidden(
    tmp_path: Path,
) -> None:
    class WithPostgres(Cluster):
        def get(self, path: str, *, within_s: float = 10.0) -> Any:
            if path == "/api/v1/namespaces/saasodoo/services/db-rw":
                return {"spec": {"clusterIP": "10.43.0.77"}}
            return super().get(path, within_s=within_s)

    path = tmp_path / "password"
    path.write_text("of the platform\n")
    profile = load_profile("lab").model_copy(
        update={
            "postgres": Postgres(
                namespace="saasodoo",
                selector="app=db",
                primary=DatabaseServer(service="saasodoo/db-rw", port=5433, password_file=path),
            )
        }
    )
    hidden: list[str] = []
    made = LedgerTargets(
        reach(kube=WithPostgres(), like=profile), "cutover-ledger-0a1b", hide=hidden.append
    )
    made.deploy(["objects"])
    assert made.writer_setup(cast(Tunnels, None), run="r", seed=1).primary is None
    made.deploy(["primary"])
    assert made.writer_setup(cast(Tunnels, None), run="r", seed=1).primary == DatabasePlace(
        address="10.43.0.77",
        port=5433,
        user="postgres",
        password="of the platform",
        name="cutover_ledger_0a1b",
    )
    assert hidden[-1] == "of the platform"
    path.unlink()
    with pytest.raises(ConfigError, match="cannot read the password of postgres"):
        made.deploy(["primary"])
    assert Permission("get", "services") in LEDGER_PERMISSIONS


def test_the_role_of_the_ledger_may_do_what_it_does() -> None:
    _, cluster = deployed(*(targets.NEEDS.keys() - {"primary"}))
    plurals = {
        "PersistentVolumeClaim": "persistentvolumeclaims",
        "Secret": "secrets",
        "Service": "services",
        "StatefulSet": "statefulsets",
        "DaemonSet": "daemonsets",
        "Deployment": "deployments",
    }
    for it in cluster.made:
        group = it["apiVersion"].rpartition("/")[0]
        for verb in ("create", "patch"):
            assert Permission(verb, plurals[it["kind"]], group) in LEDGER_PERMISSIONS


def test_the_program_in_pods_needs_nothing_but_an_old_python() -> None:
    tree = ast.parse(Path(serve_script.__file__).read_text(), feature_version=(3, 8))
    imported = {
        (node.module or "").partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
    }
    assert not imported & {"harness", "psycopg", "kubernetes"}
