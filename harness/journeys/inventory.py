"""What is in the places where the platform makes something for a customer, now and before."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import partial

from harness.backup.equality.session import Server, rows
from harness.core.errors import HarnessError, NotFound, NotProven
from harness.core.names import Names, names_in
from harness.core.parallel import in_each
from harness.probes.databases import server_of
from harness.settings.journeys import CustomerDatabases, Folder, Leftovers
from harness.transport import Kube, Reach, Shell
from harness.transport.objects import listed, must, text
from harness.transport.ssh import Tunnels

# A Secret's name cannot be listed without its content: a role for that would be too wide.
_KINDS: Mapping[str, str] = {
    "ConfigMap": "api/v1/namespaces/{}/configmaps",
    "CronJob": "apis/batch/v1/namespaces/{}/cronjobs",
    "Deployment": "apis/apps/v1/namespaces/{}/deployments",
    "Ingress": "apis/networking.k8s.io/v1/namespaces/{}/ingresses",
    "Job": "apis/batch/v1/namespaces/{}/jobs",
    "PersistentVolumeClaim": "api/v1/namespaces/{}/persistentvolumeclaims",
    "Pod": "api/v1/namespaces/{}/pods",
    "Service": "api/v1/namespaces/{}/services",
    "StatefulSet": "apis/apps/v1/namespaces/{}/statefulsets",
}
# Kinds that a cluster may not know.
_OTHER_KINDS: Mapping[str, str] = {
    "Cluster": "apis/postgresql.cnpg.io/v1/namespaces/{}/clusters",
    "IngressRoute": "apis/traefik.io/v1alpha1/namespaces/{}/ingressroutes",
}
_WITHIN_S = 20.0
_DATABASES = "select datname from pg_database where not datistemplate"
_ROLES = "select rolname from pg_roles"


@dataclass(frozen=True, slots=True)
class Thing:
    """One thing in such a place: in words, by its name, and the patterns that are declared there.

    The name of a volume is that of its claim. ``is_kept``: the platform keeps it on purpose;
    ``volume`` is then its own name, if it is a volume.
    """

    words: str
    name: str
    patterns: tuple[str, ...]
    is_kept: bool = field(default=False, compare=False)
    volume: str = field(default="", compare=False)


def new(before: frozenset[Thing], now: frozenset[Thing], names: Names) -> tuple[str, ...]:
    """What is there now, was not before, and has a name as a pattern says.

    Where the journey does not know all names of a pattern, the words say so: what matches may be
    another customer's, made meanwhile.
    """
    return tuple(sorted(words for it in now - before for words in _words(it, names)))


def kept_volumes(
    before: frozenset[Thing], now: frozenset[Thing], names: Names
) -> Mapping[str, Thing]:
    """The kept volumes that are the journey's own beyond doubt, by their names.

    What is new and fits a pattern with a name of this journey, all of whose names are known.
    """
    return {
        it.volume: it
        for it in now - before
        if it.volume
        for pattern in it.patterns
        if (used := set(names_in(pattern)))
        and names.knows(used)
        and fnmatchcase(it.name, names.pattern(pattern))
    }


def others(now: frozenset[Thing], names: Names) -> frozenset[Thing]:
    """What is there and may be another customer's."""
    return frozenset(
        it
        for it in now
        if not any(
            names.knows(names_in(pattern)) and fnmatchcase(it.name, names.pattern(pattern))
            for pattern in it.patterns
        )
    )


def _words(it: Thing, names: Names) -> Iterator[str]:
    fit = [pattern for pattern in it.patterns if fnmatchcase(it.name, names.pattern(pattern))]
    if any(names.knows(names_in(pattern)) for pattern in fit):
        yield it.words
    elif fit:
        yield f"{it.words} (unless it is another customer's: the journey does not know {fit[0]})"


def look(reach: Reach, declared: Leftovers) -> frozenset[Thing]:
    """Everything in the declared places; HarnessError if one of them cannot be looked at."""
    looks: dict[str, Callable[[], Iterator[Thing]]] = {
        f"{kind} in {space}": partial(_objects, reach.kube, kind, space, declared.names)
        for space in declared.namespaces
        for kind in {**_KINDS, **_OTHER_KINDS}
    }
    looks["PersistentVolume"] = partial(_volumes, reach.kube, declared)
    for folder in declared.folders:
        looks[f"{folder.machine}:{folder.path}"] = partial(_folder, reach.shell, folder)
    found: set[Thing] = set()
    for answer in in_each(looks, lambda place: frozenset(looks[place]())).values():
        if isinstance(answer, HarnessError):
            raise answer
        found |= answer
    return frozenset(found) | _databases(reach, declared.databases)


def _objects(kube: Kube, kind: str, space: str, patterns: tuple[str, ...]) -> Iterator[Thing]:
    path = {**_KINDS, **_OTHER_KINDS}[kind].format(space)
    try:
        answer = kube.get(f"/{path}", within_s=_WITHIN_S)
    except NotFound:
        if kind in _OTHER_KINDS:
            return
        raise
    for it in listed(answer, "items"):
        name = must(it, "metadata", "name")
        yield Thing(f"{kind} {space}/{name}", name, patterns)


def _volumes(kube: Kube, declared: Leftovers) -> Iterator[Thing]:
    """Volumes of claims in the namespaces, also of claims that are gone."""
    for it in listed(kube.get("/api/v1/persistentvolumes", within_s=_WITHIN_S), "items"):
        space, claim = (text(it, "spec", "claimRef", key) for key in ("namespace", "name"))
        if space in declared.namespaces and claim is not None:
            name = must(it, "metadata", "name")
            words = f"PersistentVolume {name} of {space}/{claim}"
            state = (text(it, "status", "phase"), text(it, "spec", "persistentVolumeReclaimPolicy"))
            is_kept = declared.keeps_volumes is not None and state == ("Released", "Retain")
            yield Thing(words, claim, declared.names, is_kept, name if is_kept else "")


def _folder(shell: Shell, declared: Folder) -> Iterator[Thing]:
    command = ("find", declared.path, "-mindepth", "1", "-maxdepth", "1", "-printf", r"%f\0")
    done = shell.run(declared.machine, command, within_s=_WITHIN_S)
    if done.status != 0:
        raise NotProven(f"{declared.machine}: find {declared.path}: {done.stderr.strip()[-200:]}")
    place, patterns = f"{declared.machine}:{declared.path}", (declared.names,)
    for name in filter(None, done.stdout.split("\0")):
        yield Thing(f"{place}/{name}", name, patterns, declared.kept)


def _databases(reach: Reach, declared: Sequence[CustomerDatabases]) -> frozenset[Thing]:
    if not declared:
        return frozenset()
    machines = reach.profile.cluster().machines
    with closing(Tunnels(reach.profile.access.ssh, machines)) as tunnels:
        return frozenset(
            thing
            for it in declared
            for thing in on_server(server_of(reach, tunnels, it.server), it.names)
        )


def on_server(server: Server, pattern: str) -> Iterator[Thing]:
    """The databases and the roles of a PostgreSQL."""
    with server.connect("postgres") as connection:
        for what, query in (("database", _DATABASES), ("role", _ROLES)):
            for (name,) in rows(connection, query):
                yield Thing(f"{what} {name}", str(name), (pattern,))
