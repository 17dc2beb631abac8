"""A small platform behind real sockets: its API's shapes, and the cluster that shows what it made.

``defects`` are what it does wrong, by the words in the code below.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from harness.core.errors import NotFound
from harness.settings import Profile
from harness.tests.fake_transport import FakeKube
from harness.tests.loopback import Answer, Asked, answering
from harness.tests.probe_rig import PROFILE
from harness.transport import Completed

GIB = 1 << 30
API, AUTH = "api.example", "auth.example"


@dataclass
class Instance:
    """One customer's Odoo, as far as its customers see it."""

    id: str
    database: str
    status: str = "creating"
    asked: int = 0
    partners: list[str] = field(default_factory=list)
    backup: list[str] | None = None
    host: str = ""

    @property
    def name(self) -> str:
        return f"odoo-{self.database}-{self.id[:8]}"


@dataclass
class Platform:
    """The platform's state."""

    defects: frozenset[str] = frozenset()
    instances: dict[str, Instance] = field(default_factory=dict)
    customers: set[str] = field(default_factory=set)
    left: list[Instance] = field(default_factory=list)
    given_back: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def answer(self, method: str, host: str, path: str, body: Any) -> tuple[int, object]:
        """The status and the JSON of an answer."""
        self.asked.append(f"{method} {host}{path}")
        if host == AUTH:
            return self._auth(path, body)
        if host == API and path.startswith("/billing/"):
            return 200, {"success": True, "subscription_id": str(uuid.uuid4())}
        if host == API and method == "DELETE" and path.startswith("/user/"):
            self.customers.discard(path.rpartition("/")[2])
            return 204, ""
        if host == API:
            return self._instance(method, path.removeprefix("/instance/api/v1/instances/"), body)
        one = next((it for it in self.instances.values() if f"{it.database}.example" == host), None)
        if one is None or one.status != "running":
            return 404, "404 page not found"
        if method == "POST":
            one.partners.append(body["name"])
            return 201, {"id": len(one.partners)}
        return 200, {"partners": one.partners}

    def _auth(self, path: str, body: Any) -> tuple[int, object]:
        if "too many" in self.defects:
            return 429, "Too Many Requests"
        if path == "/auth/register":
            found = str(uuid.uuid4())
            self.customers.add(found)
            if "gives no id" in self.defects:
                return 504, "Gateway Timeout"
            status = 200 if "another status" in self.defects else 201
            return status, {"success": True, "customer": {"id": found, "email": body["email"]}}
        return 200, {"tokens": {"access_token": f"{body['password'][:4]}.s3cr3t.0123456789"}}

    def _instance(self, method: str, path: str, body: Any) -> tuple[int, object]:
        if path == "":
            made = Instance(str(uuid.uuid4()), body["database_name"])
            is_other = "another host" in self.defects
            made.host = "other.example" if is_other else f"{made.database}.example"
            self.instances[made.id] = made
            return 201, {"id": made.id, "status": made.status}
        number, _, rest = path.partition("/")
        one = self.instances.get(number)
        if one is None:
            # The real platform's own 404 becomes a 500 when it deletes.
            return 500 if method == "DELETE" else 404, {"detail": "Instance not found"}
        if method == "DELETE":
            return self._delete(one)
        if rest == "provision":
            if "provisioning fails" in self.defects:
                return 500, {"detail": "Failed to trigger provisioning"}
            one.status = "starting"
        elif rest == "actions" and (body["action"], one.status) == ("restore", "running"):
            return 400, {
                "detail": "Action 'restore' not allowed for instance with status 'running'"
            }
        elif rest == "actions":
            self._act(one, body["action"])
        elif rest == "backups":
            return 200, {"backups": [] if one.backup is None else [{"backup_id": "b1"}]}
        elif one.status == "starting" and one.asked > 1:
            one.status = "running"
        one.asked += 1
        return 200, {"id": one.id, "status": one.status}

    def _act(self, one: Instance, action: str) -> None:
        if action in ("stop", "start"):
            one.status = {"stop": "stopped", "start": "running"}[action]
        elif action == "backup":
            one.backup = list(one.partners)
        else:
            one.status = "running"
            if "restores nothing" not in self.defects:
                one.partners = list(one.backup or ())

    def _delete(self, one: Instance) -> tuple[int, object]:
        if "deletes nothing" in self.defects:
            return 500, {"detail": "Internal server error"}
        del self.instances[one.id]
        if self.defects & {"leaves the volume", "retains the volume"}:
            self.left.append(one)
        return 200, {"message": "deleted"}


class PlatformKube(FakeKube):
    """The API of the cluster in which that platform makes its instances."""

    def __init__(self, platform: Platform) -> None:
        super().__init__()
        self._platform = platform

    def get(self, path: str, *, within_s: float = 10.0) -> object:
        plain, _, selector = unquote(path).partition("?labelSelector=app=")
        if "traefik.io" in path or "cnpg.io" in path:
            raise NotFound(f"GET {path}: the API answered 404")
        above, _, name = plain.rpartition("/")
        kind = above.rpartition("/")[2]
        if kind in ("persistentvolumeclaims", "persistentvolumes"):
            return next(it for it in self._list(kind) if it["metadata"]["name"] == name)
        return {"items": [it for it in self._list(name) if selector in it["metadata"]["name"]]}

    def exec(self, namespace: str, pod: str, argv: Any, **_: Any) -> Completed:
        size = 100 * GIB if "no quota" in self._platform.defects else 10 * GIB
        if argv[0] == "python3":
            is_there = "no python3" not in self._platform.defects
            return Completed(status=0 if is_there else 127, stdout=f"{size}\n", stderr="")
        kib = size // 1024
        head = "Filesystem 1024-blocks Used Available Capacity Mounted on"
        return Completed(status=0, stdout=f"{head}\nceph {kib} 0 {kib} 0% {argv[-1]}\n", stderr="")

    def _list(self, kind: str) -> list[Any]:
        there = [it for it in self._platform.instances.values() if it.asked]
        if kind == "persistentvolumes":
            there += self._platform.left
        found = [OBJECTS[kind](it) for it in (*there, OTHER)] if kind in OBJECTS else []
        for it in found if kind == "persistentvolumes" else []:
            is_left = it["metadata"]["name"] in {f"pvc-{one.id}" for one in self._platform.left}
            if is_left and "retains the volume" in self._platform.defects:
                it["spec"]["persistentVolumeReclaimPolicy"] = "Retain"
                it["status"]["phase"] = "Released"
        return found

    def apply(self, manifest: Any, **_: Any) -> Any:
        assert manifest["spec"] == {"persistentVolumeReclaimPolicy": "Delete"}
        name = manifest["metadata"]["name"]
        self._platform.given_back.append(name)
        self._platform.left = [it for it in self._platform.left if f"pvc-{it.id}" != name]
        return manifest


def _deployment(it: Instance) -> Any:
    ready = 1 if it.status == "running" else 0
    spec = {
        "replicas": ready,
        "selector": {"matchLabels": {"app": it.name}},
        "template": {"metadata": {"labels": {"app": it.name}}},
    }
    return _object(it.name, spec=spec, status={"readyReplicas": ready})


def _service(it: Instance) -> Any:
    return _object(f"{it.name}-service", spec={"selector": {"app": it.name}})


def _ingress(it: Instance) -> Any:
    backend = {"service": {"name": f"{it.name}-service"}}
    rule = {"host": it.host, "http": {"paths": [{"backend": backend}]}}
    return _object(it.name, spec={"rules": [rule]})


def _pod(it: Instance) -> Any:
    claim = {"claimName": _claim_of(it)}
    mounts = [{"name": "data", "mountPath": "/var/lib/odoo"}]
    return _object(
        f"{it.name}-0",
        spec={
            "containers": [{"name": "odoo", "volumeMounts": mounts}],
            "volumes": [{"name": "data", "persistentVolumeClaim": claim}],
        },
        status={"podIP": "10.42.0.9", "conditions": [{"type": "Ready", "status": "True"}]},
    )


def _claim(it: Instance) -> Any:
    spec = {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "rook-cephfs",
        "resources": {"requests": {"storage": "10Gi"}},
        "volumeName": f"pvc-{it.id}",
    }
    return _object(_claim_of(it), spec=spec, status={"phase": "Bound"})


def _volume(it: Instance) -> Any:
    reference = {"namespace": "saasodoo", "name": _claim_of(it)}
    return _object(f"pvc-{it.id}", spec={"claimRef": reference}, status={"phase": "Bound"})


def _claim_of(it: Instance) -> str:
    return f"odoo-instance-{it.id.replace('-', '')}"


def _object(name: str, **fields: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "saasodoo"}, **fields}


OBJECTS: dict[str, Callable[[Instance], Any]] = {
    "deployments": _deployment,
    "services": _service,
    "ingresses": _ingress,
    "pods": _pod,
    "persistentvolumeclaims": _claim,
    "persistentvolumes": _volume,
}
# Another customer's, who is there before.
OTHER = Instance(str(uuid.UUID(int=1)), "globex", status="running")


def serving(platform: Platform) -> AbstractContextManager[int]:
    """The platform behind a port of loopback; the port."""

    def answer(asked: Asked) -> Answer:
        body = json.loads(asked.body) if asked.body else None
        status, said = platform.answer(asked.method, asked.host, asked.path, body)
        return status, (), (said if isinstance(said, str) else json.dumps(said)).encode()

    return answering(answer)


def _step(does: str, *requests: Mapping[str, Any], within_s: float = 5, **more: Any) -> Any:
    return {"does": does, "within_s": within_s, "requests": list(requests), **more}


_INSTANCES = "/instance/api/v1/instances/"
_ONE = f"{_INSTANCES}{{instance}}"
_RUNS = {"path": _ONE, "has": {"/status": "running"}, "wait": True}
_SITE = "cutover_{number}.example"


def _action(action: str, **parameters: str) -> Any:
    body = {"action": action, "parameters": parameters}
    return {"method": "POST", "path": f"{_ONE}/actions", "body": body}


def _partner(name: str) -> Any:
    body = {"name": name}
    return {"method": "POST", "host": _SITE, "path": "/partners", "body": body, "status": 201}


def _steps() -> list[dict[str, Any]]:
    mail = {"email": "{customer}@example.com", "password": "{password}"}
    register = {"method": "POST", "host": AUTH, "path": "/auth/register", "body": mail}
    subscribe = {"method": "POST", "path": "/billing/api/billing/instances/", "body": {}}
    create = {
        "method": "POST",
        "path": _INSTANCES,
        "body": {"database_name": "cutover_{number}", "admin_password": "{password}"},
        "status": 201,
        "keep": {"instance": "/id"},
    }
    makes = {
        "namespace": "saasodoo",
        "name": "odoo-*-{instance:8}",
        "size_gib": 10,
        "access_mode": "ReadWriteOnce",
        "storage_class": "rook-cephfs",
        "host": _SITE,
    }
    backups = {"path": f"{_ONE}/backups", "wait": True, "keep": {"backup": "/backups/0/backup_id"}}
    has = {"host": _SITE, "path": "/partners", "wait": True}
    return [
        _step(
            "sign up",
            register | {"status": 201, "keep": {"person": "/customer/id"}},
            register | {"path": "/auth/login", "keep": {"token": "/tokens/access_token"}},
        ),
        _step("subscribe", subscribe | {"keep": {"subscription": "/subscription_id"}}),
        _step(
            "create",
            create,
            {"method": "POST", "path": f"{_ONE}/provision", "body": {}},
            _RUNS,
            makes=makes,
        ),
        _step("change", _partner("before")),
        _step("back up", _action("backup", name="{customer}"), backups),
        _step("change", _partner("after")),
        _step("restore", _action("stop"), _action("restore", backup_id="{backup}"), _RUNS),
        _step("use", has | {"has": {"/partners/0": "before"}, "says": '["before"]'}, within_s=1),
        _step("stop", _action("stop")),
        _step("start", _action("start"), _RUNS),
        _step("use", has | {"has": {"/partners/0": "before"}}),
        _step("delete", {"method": "DELETE", "path": _ONE}, within_s=0.2),
    ]


def journey() -> dict[str, Any]:
    """The whole way of a customer, as a profile declares it."""
    return {
        "host": API,
        "headers": {"Authorization": "Bearer {token}"},
        "steps": _steps(),
        "removes": [
            {"method": "DELETE", "path": _ONE},
            {"method": "DELETE", "path": "/user/users/{person}"},
        ],
    }


def profile(port: int, *, keeps_volumes: str | None = None, **changes: Any) -> Profile:
    """A profile with these journeys, whose ingress is that port of loopback."""
    ingress = {"addresses": ["127.0.0.1"], "port": port, "scheme": "http", "ingress_class": "t"}
    names = ["odoo-*{instance:8}*", "odoo-instance-{instance:hex}"]
    leftovers = {
        "namespaces": ["saasodoo"],
        "names": names,
        "gone_within_s": 0.2,
        "keeps_volumes": keeps_volumes,
    }
    declared = dict.fromkeys(("instance", "customer"), journey() | changes)
    known = PROFILE.model_dump(mode="json", by_alias=True, exclude_unset=True)
    return Profile.model_validate(
        known | {"ingress": ingress, "journeys": {"leftovers": leftovers, **declared}}
    )


def without_secrets(text: str) -> bool:
    """True if a text has neither the token that the platform gives nor a password."""
    return re.search(r"s3cr3t|-aA1", text) is None
