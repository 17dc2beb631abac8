"""The targets of the ledger's writes: small workloads in a temporary namespace.

``database``  PostgreSQL, a StatefulSet of one, as the platform runs its own. When its machine is
              lost, Kubernetes marks the pod after 30 s and then waits for that machine for ever.
              It starts no second pod until the node has the taint
              node.kubernetes.io/out-of-service. ``database.sh`` prevents two concurrent writers.
``files``     a program on each machine that stores files on a claim that all share; its service
              routes to the pod on the client's own machine
``http``      the same program, a Deployment of two on different machines behind one service

The writers of ``primary`` need no part: they write to the platform's own PostgreSQL.

Claims are ReadWriteMany, the database's too. With ReadWriteOnce, Kubernetes would wait another six
minutes before it detaches the volume from a lost machine.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path

from harness.core.errors import NotProven, TimedOut
from harness.core.waiting import until
from harness.ledger import serve_script
from harness.ledger.writers.protocol import (
    DATABASE_PORT,
    FILES_PORT,
    DatabasePlace,
    WriterSetup,
)
from harness.probes import claim_objects, pods
from harness.probes.databases import password_of, place_of
from harness.probes.permissions import Permission
from harness.transport import Kube, Reach
from harness.transport.objects import listed, must, part, text, texts
from harness.transport.remote_script import RemoteScript
from harness.transport.ssh import Tunnels

SERVE = RemoteScript(serve_script).text
_DATABASE = Path(__file__).with_name("database.sh").read_text(encoding="utf-8")
DURABLE: Mapping[str, str] = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}
_SMALL: Mapping[str, str] = {"max_wal_size": "64MB", "min_wal_size": "32MB"}
# The server does not notice the loss of a client's machine. By default, its transaction keeps row
# locks for two hours, and clients that waited for them and gave up hold a connection as long.
_LETTING_GO: Mapping[str, str] = {
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
    "client_connection_check_interval": "2s",
}
# The parts that each kind of writer writes to.
NEEDS: Mapping[str, tuple[str, ...]] = {
    "postgres": ("database",),
    "bank": ("database",),
    "primary": (),
    "cephfs": ("files",),
    "http": ("http",),
    "objects": (),
}
_PASSWORD = "/secret/password"
_PREFIX = "cutover-ledger-"
_READY_WITHIN_S = 240.0
_LOST_AFTER_S = 30
_SIZES = {"database": 512 * claim_objects.MIB, "files": 256 * claim_objects.MIB}


class LedgerTargets:
    """The parts that some kinds of writers need, in one namespace.

    ``hide`` gets the database's password first.
    """

    def __init__(
        self,
        reach: Reach,
        space: str,
        *,
        hide: Callable[[str], object],
        settings: Mapping[str, str] = DURABLE,
        serve: str = SERVE,
    ) -> None:
        self.reach = reach
        self.space = space
        self.password = secrets.token_urlsafe(24)
        self._hide = hide
        hide(self.password)
        self.services: dict[str, str] = {}
        self._primary: DatabasePlace | None = None
        self._settings = {**_SMALL, **_LETTING_GO, **settings}
        self._serve = serve

    def deploy(self, kinds: Collection[str]) -> None:
        """Create the parts of these kinds and wait until they are ready; NotProven if they are not.

        Raises TransportError when the API cannot be asked.
        """
        parts = list(dict.fromkeys(part for kind in kinds for part in NEEDS[kind]))
        kube = self.reach.kube
        for claim in dict.fromkeys("database" if it == "database" else "files" for it in parts):
            class_name = claim_objects.storage(self.reach).class_name
            kube.apply(claim_objects.claim(self.space, claim, class_name, _SIZES[claim]))
        makes = {"database": self._database, "files": self._files, "http": self._http}
        for name in parts:
            for manifest in makes[name]():
                kube.apply(manifest)
        wanted = {"database": 1, "files": len(self.reach.profile.machines), "http": 2}
        self._wait({part: wanted[part] for part in parts})
        self._find_services()
        if "primary" in kinds:
            self._find_primary()

    def found(self, kinds: Collection[str]) -> None:
        """Use the parts that another harness created for these kinds; NotProven if one is missing.

        Raises TransportError when the cluster cannot be asked.
        """
        parts = {part for kind in kinds for part in NEEDS[kind]}
        self._find_services()
        if "primary" in kinds:
            self._find_primary()
        if missing := sorted(parts - self.services.keys()):
            raise NotProven(f"there is no {', '.join(missing)} in {self.space} any more")
        if "database" in parts:
            # From the pod: permission to read every secret of a cluster would be too much.
            done = self.reach.kube.exec(self.space, "database-0", ("cat", _PASSWORD), within_s=10.0)
            if done.status != 0:
                raise NotProven(f"cannot read the database's password: {done.stderr[-200:]}")
            self.password = done.stdout.strip()
            self._hide(self.password)

    def _find_services(self) -> None:
        found = listed(self.reach.kube.get(f"/api/v1/namespaces/{self.space}/services"), "items")
        self.services = {
            must(it, "metadata", "name"): must(it, "spec", "clusterIP") for it in found
        }

    def writer_setup(self, tunnels: Tunnels, *, run: str, seed: int) -> WriterSetup:
        """The setup for the writers."""
        return WriterSetup(
            run=run,
            seed=seed,
            reach=self.reach,
            space=self.space,
            tunnels=tunnels,
            services=self.services,
            password=self.password,
            primary=self._primary,
        )

    def _find_primary(self) -> None:
        """The database of this namespace's ledger in the platform's PostgreSQL, if it is declared.

        ConfigError when its password cannot be read.
        """
        declared = self.reach.profile.postgres
        server = None if declared is None else declared.primary
        if server is None or server.service is None:
            return
        password = password_of(server.user, server.password_file)
        self._hide(password)
        _, address = place_of(self.reach, server)
        self._primary = DatabasePlace(
            address=address,
            port=server.port,
            user=server.user,
            password=password,
            name=self.space.replace("-", "_"),
        )

    def _wait(self, wanted: Mapping[str, int]) -> None:
        seen: list[object] = []

        def ready() -> bool:
            there = self.reach.kube.get(f"/api/v1/namespaces/{self.space}/pods")
            seen[:] = listed(there, "items")
            counts = dict.fromkeys(wanted, 0)
            for item in seen:
                kind = texts(item, "metadata", "labels")["cutover/pod"]
                counts[kind] += pods.is_ready(part(item, "status"))
            return all(counts[kind] >= number for kind, number in wanted.items())

        try:
            until(ready, within_s=_READY_WITHIN_S, every_s=1.0, what="the ledger's pods ready")
        except TimedOut as error:
            late = [
                must(it, "metadata", "name") for it in seen if not pods.is_ready(part(it, "status"))
            ]
            said = pods.warnings(self.reach.kube, self.space)
            text = f"not ready within {_READY_WITHIN_S:g} s: {', '.join(late) or 'pods'}"
            raise NotProven(f"the ledger's pods are {text}; the cluster says {said}") from error

    # --- manifests ---

    def _database(self) -> Iterator[pods.Manifest]:
        yield {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "database", "namespace": self.space},
            "stringData": {"password": self.password},
        }
        words = [word for key, value in self._settings.items() for word in ("-c", f"{key}={value}")]
        tcp = {"tcpSocket": {"port": DATABASE_PORT}}
        container = {
            "image": self.reach.profile.database_image,
            "command": ["sh", "-c", _DATABASE, "database", *words],
            # A database that waits for the lock is alive, so the start-up probe allows 600 s.
            "startupProbe": {**tcp, "periodSeconds": 1, "failureThreshold": 600},
            "livenessProbe": {**tcp, "periodSeconds": 10, "timeoutSeconds": 5},
            "readinessProbe": {
                "exec": {"command": ["pg_isready", "--host=/tmp", "--quiet"]},
                "periodSeconds": 2,
                "timeoutSeconds": 5,
            },
            "volumeMounts": [
                {"name": "data", "mountPath": "/data"},
                {"name": "secret", "mountPath": "/secret"},
                {"name": "scratch", "mountPath": "/tmp"},
            ],
        }
        volumes = [
            {"name": "data", "persistentVolumeClaim": {"claimName": "database"}},
            {"name": "secret", "secret": {"secretName": "database"}},
            {"name": "scratch", "emptyDir": {}},
        ]
        spec = self._spec("database", container, terminationGracePeriodSeconds=5, volumes=volumes)
        more = {"serviceName": "database", "replicas": 1}
        yield self._workload("StatefulSet", "database", spec, more)
        yield self._service("database", DATABASE_PORT)

    def _files(self) -> Iterator[pods.Manifest]:
        spec = self._serving("files", tolerations=[{"operator": "Exists"}])
        yield self._workload("DaemonSet", "files", spec, {})
        yield self._service("files", FILES_PORT, internalTrafficPolicy="Local")

    def _http(self) -> Iterator[pods.Manifest]:
        apart = {
            "topologyKey": "kubernetes.io/hostname",
            "labelSelector": {"matchLabels": {"cutover/pod": "http"}},
        }
        anti = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [apart]}}
        spec = self._serving("http", affinity=anti)
        yield self._workload("Deployment", "http", spec, {"replicas": 2})
        yield self._service("http", FILES_PORT)

    def _spec(self, part: str, container: Mapping[str, object], **spec: object) -> pods.Manifest:
        """A pod's specification: restricted, small, and evicted soon after the loss of its node."""
        tolerations = [
            {
                "key": f"node.kubernetes.io/{why}",
                "operator": "Exists",
                "effect": "NoExecute",
                "tolerationSeconds": _LOST_AFTER_S,
            }
            for why in ("not-ready", "unreachable")
        ]
        whole = {"name": part, "resources": pods.resources("256Mi"), **container}
        return pods.spec_of(self.reach, whole, {"tolerations": tolerations, **spec})

    def _serving(self, part: str, **spec: object) -> pods.Manifest:
        # If the file system's client fails, a new container mounts the folder again.
        well = {"httpGet": {"path": "/well", "port": FILES_PORT}, "timeoutSeconds": 5}
        container = {
            "command": ["python3", "-u", "-c", self._serve, "/files", str(FILES_PORT)],
            "readinessProbe": {**well, "periodSeconds": 2},
            "livenessProbe": {**well, "periodSeconds": 5},
            "volumeMounts": [{"name": "files", "mountPath": "/files"}],
        }
        volumes = [{"name": "files", "persistentVolumeClaim": {"claimName": "files"}}]
        return self._spec(part, container, volumes=volumes, **spec)

    def _workload(
        self, kind: str, part: str, spec: Mapping[str, object], more: Mapping[str, object]
    ) -> pods.Manifest:
        labels = {"cutover/pod": part}
        return {
            "apiVersion": "apps/v1",
            "kind": kind,
            "metadata": {"name": part, "namespace": self.space},
            "spec": {
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": spec},
                **more,
            },
        }

    def _service(self, part: str, port: int, **more: str) -> pods.Manifest:
        ports = [{"name": "tcp", "port": port, "protocol": "TCP"}]
        return pods.service(self.space, part, part, ports=ports, **more)


@contextlib.contextmanager
def namespace(kube: Kube, owner: str, *, keeps_volumes: bool = False) -> Iterator[str]:
    """A namespace for a ledger of the run ``owner``; removed afterwards.

    ``keeps_volumes``: the class of its claims retains volumes (Retain); they are removed anyway.
    """
    name = f"{_PREFIX}{secrets.token_hex(4)}"
    with pods.namespace_named(kube, name, owner, claims=keeps_volumes):
        yield name


def is_there(kube: Kube, space: str) -> bool:
    """True if the namespace of an earlier ledger exists and is not terminating."""
    return any(
        must(it, "metadata", "name") == space and text(it, "metadata", "deletionTimestamp") is None
        for it in listed(kube.get(f"/api/v1/namespaces?{pods.SELECTOR}"), "items")
    )


_APPLIES = ("create", "patch")

# To create and observe the targets of writes; configmaps are also written themselves.
LEDGER_PERMISSIONS: tuple[Permission, ...] = (
    *(Permission(verb, "namespaces") for verb in ("list", *_APPLIES, "delete")),
    *(Permission("list", kind) for kind in ("serviceaccounts", "events", "services", "pods")),
    Permission("get", "services"),
    *(Permission(verb, "persistentvolumeclaims") for verb in _APPLIES),
    # The harness sets the reclaim policy of retained volumes to Delete.
    *(Permission(verb, "persistentvolumes") for verb in ("list", "patch")),
    *(Permission(verb, kind) for kind in ("secrets", "services") for verb in _APPLIES),
    *(
        Permission(verb, kind, "apps")
        for kind in ("statefulsets", "daemonsets", "deployments")
        for verb in _APPLIES
    ),
    *(Permission(verb, "configmaps") for verb in ("create", "list")),
    Permission("delete", "pods"),
    # To read back the writes of a killed harness: only its database's pod has the password.
    *(Permission(verb, "pods/exec") for verb in ("get", "create")),
)
