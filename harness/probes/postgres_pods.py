"""The pods of PostgreSQL: what runs them, where their data is, which answers by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from urllib.parse import quote

from harness.core.errors import Garbled, NotProven
from harness.core.parallel import in_each
from harness.facts.postgres import Answer, Folder, Instance, Pod, Running, Workload
from harness.facts.schema import OrUnknown, Unknown, attempt
from harness.probes.databases import password_of
from harness.probes.services import ready_pod
from harness.settings.databases import Postgres as Declared
from harness.settings.databases import PostgresAnswers
from harness.transport import Kube
from harness.transport.objects import count, is_ready, listed, must, part, text, texts

_WITHIN_S = 20.0
_FINISHED = ("Succeeded", "Failed")
# Their counts of pods: wanted, and ready.
_COUNTS: Mapping[str, tuple[str, str, str]] = {
    "StatefulSet": ("/apis/apps/v1", "replicas", "readyReplicas"),
    "Cluster": ("/apis/postgresql.cnpg.io/v1", "instances", "readyInstances"),
}
_PLURALS = {"StatefulSet": "statefulsets", "Cluster": "clusters"}
# The password comes on standard input: an argument is visible to the whole machine.
_ASK = (
    "IFS= read -r PGPASSWORD; export PGPASSWORD PGCONNECT_TIMEOUT=10; exec psql -XAtq "
    '--no-password --host="$1" --port="$2" --username="$3" --dbname="$4" --command="$5"'
)
# One read of a table, without a setting: a pooler gives each transaction another session.
_READ = """\
select system_identifier, (select count(*) from (select from {table} limit 1) one)
from pg_control_system()"""


def running(
    kube: Kube, declared: Declared, instances: Mapping[str, OrUnknown[Instance]]
) -> Running:
    """Each pod of PostgreSQL that is not done, and what runs them; a TransportError without."""
    pods = _pods(kube, declared, instances)
    owners = {it.owner for it in pods.values()}
    if declared.operator == "cloudnative-pg":
        owners.add(f"Cluster/{declared.cluster}")
    known = sorted(it for it in owners if it.partition("/")[0] in _COUNTS)
    seen = in_each(known, partial(_workload, kube, declared.namespace))
    workloads = {
        name: it if isinstance(it, Workload) else Unknown(str(it)) for name, it in seen.items()
    }
    return Running(pods, workloads)


def _pods(
    kube: Kube, declared: Declared, instances: Mapping[str, OrUnknown[Instance]]
) -> dict[str, Pod]:
    path = f"/api/v1/namespaces/{declared.namespace}/pods"
    selected = kube.get(f"{path}?labelSelector={quote(declared.selector, safe='')}")
    claims = _claims(listed(kube.get(path), "items"))
    found = {}
    for item in listed(selected, "items"):
        if text(item, "status", "phase") in _FINISHED:
            continue
        name = must(item, "metadata", "name")
        instance = instances.get(name, Unknown("PostgreSQL was not asked"))
        container = next(iter(listed(item, "spec", "containers")), None)
        found[name] = Pod(
            ready=is_ready(part(item, "status")),
            owner=_owner(item),
            limits=texts(container, "resources", "limits"),
            folders=attempt(partial(_folders, kube, declared, item, instance, claims)),
        )
    return found


def _claims(items: Iterable[object]) -> dict[str, list[str]]:
    """The pods that mount each claim of the namespace."""
    users: dict[str, list[str]] = {}
    for item in items:
        if text(item, "status", "phase") in _FINISHED:
            continue
        for volume in listed(item, "spec", "volumes"):
            claim = text(volume, "persistentVolumeClaim", "claimName")
            if claim:
                users.setdefault(claim, []).append(must(item, "metadata", "name"))
    return users


def _owner(item: object) -> str:
    for owner in listed(item, "metadata", "ownerReferences"):
        return f"{must(owner, 'kind')}/{must(owner, 'name')}"
    return ""


def _folders(
    kube: Kube,
    declared: Declared,
    item: object,
    instance: Instance | Unknown,
    claims: Mapping[str, Sequence[str]],
) -> dict[str, Folder]:
    """Each folder of data, with the volume that is mounted there."""
    if isinstance(instance, Unknown):
        raise NotProven(instance.error)
    name = must(item, "metadata", "name")
    container = next(iter(listed(item, "spec", "containers")), None)
    mounts = {must(it, "mountPath"): must(it, "name") for it in listed(container, "volumeMounts")}
    volumes = {must(it, "name"): part(it) for it in listed(item, "spec", "volumes")}
    found = {}
    for folder in instance.folders:
        # The log of writes may be a link to another volume.
        done = kube.exec(declared.namespace, name, ("readlink", "-f", folder), within_s=_WITHIN_S)
        real = done.stdout.strip()
        if done.status != 0 or not real:
            raise NotProven(f"readlink in {name} ended with status {done.status}")
        above = [it for it in mounts if f"{real}/".startswith(f"{it.rstrip('/')}/")]
        mount = max(above, key=len, default="")
        found[folder] = _on(volumes.get(mounts.get(mount, ""), {}), name, claims)
    return found


def _on(volume: Mapping[str, object], pod: str, claims: Mapping[str, Sequence[str]]) -> Folder:
    kind = next((key for key in volume if key != "name"), "")
    claim = text(volume, "persistentVolumeClaim", "claimName") or ""
    others = tuple(it for it in claims.get(claim, ()) if it != pod)
    return Folder(volume=kind, claim=claim, others=others)


def _workload(kube: Kube, space: str, owner: str) -> Workload:
    kind, _, name = owner.partition("/")
    api, wanted, ready = _COUNTS[kind]
    item = kube.get(f"{api}/namespaces/{space}/{_PLURALS[kind]}/{name}")
    return Workload(count(item, "spec", wanted, default=1), count(item, "status", ready))


def answers(kube: Kube, asked: PostgresAnswers | None) -> dict[str, OrUnknown[Answer]]:
    """What each database answers to a pod that asks by the name that services use."""
    if asked is None:
        raise NotProven("the profile declares no names", remedy="declare `postgres.answers:`")
    pod = ready_pod(kube, asked.namespace, asked.selector)
    seen = in_each(asked.databases, partial(_answer, kube, asked, pod))
    return {name: it if isinstance(it, Answer) else Unknown(str(it)) for name, it in seen.items()}


def _answer(kube: Kube, asked: PostgresAnswers, pod: str, database: str) -> Answer:
    told = asked.databases[database]
    password = password_of(told.user, told.password_file)
    words = (asked.name, str(asked.port), told.user, database, _READ.format(table=told.table))
    done = kube.exec(
        asked.namespace,
        pod,
        ("sh", "-c", _ASK, "sh", *words),
        stdin=f"{password}\n",
        within_s=_WITHIN_S,
    )
    system, _, rows = done.stdout.strip().partition("|")
    if done.status == 0 and not (system.isdigit() and rows in ("0", "1")):
        raise Garbled(f"psql in {pod}: not an answer: {done.stdout[:80]!r}")
    return Answer(done.status, done.stderr.strip()[-200:], system)
