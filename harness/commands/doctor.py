"""``./cutover doctor``: can the harness reach and use this cluster? Changes nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import partial

import typer

from harness.commands import programs
from harness.commands.output import AsJson, Cluster, say, say_json
from harness.core.declared import Machine
from harness.core.errors import (
    ConfigError,
    HarnessError,
    ScriptFailed,
    ScriptNotRun,
    TimedOut,
    TransportError,
    Unreachable,
)
from harness.core.model import Exit
from harness.core.parallel import begin, in_each
from harness.facts.schema import Known, Unknown
from harness.faults.preflight import DISRUPTION
from harness.ledger.targets import LEDGER_PERMISSIONS
from harness.probes import PROBES, backups
from harness.probes.host_facts import clock
from harness.probes.permissions import JOURNEYS, Permission, all_permissions
from harness.settings import Profile, load_profile
from harness.transport import Reach, connect
from harness.transport.objects import flag, must

_WHICH = 'for tool in "$@"; do command -v "$tool" >/dev/null || echo "$tool"; done'
# Nothing bad was seen, because the item could not be asked.
_NOT_SEEN = (Unreachable, TimedOut, ScriptNotRun, ScriptFailed)
_OLDEST_PYTHON = (3, 8)
# A journal has times of this computer and of the machines: beyond this they cannot be compared.
_CLOCK_S = 1.0
_AT_ONCE = 8  # questions about permissions
_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


class ItemState(StrEnum):
    """The state of an item, as it is printed."""

    OK = "ok"
    WRONG = "wrong"
    UNREACHABLE = "unreachable"
    CONFIGURATION = "configuration"


# The first state in this order decides the exit status.
_EXITS = {
    ItemState.CONFIGURATION: Exit.USAGE,
    ItemState.WRONG: Exit.NO_GO,
    ItemState.UNREACHABLE: Exit.NOT_PROVEN,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class DoctorItem:
    """One item: what was checked, where, its state, and what to do about it."""

    where: str
    what: str
    state: ItemState = ItemState.OK
    says: str
    remedy: str = ""


def doctor(cluster: Cluster = "lab", as_json: AsJson = False) -> None:
    """Reach every machine and API, log in, and check permissions, clocks and tools.

    Example: ./cutover doctor --cluster contabo

    Ends with 0 (all fine), 1 (something is wrong or refused), 2 (the configuration is incomplete)
    or 3 (something could not be reached).
    """
    profile = load_profile(cluster)
    with connect(profile) as reach:
        lines = examine(reach)
    status = exit_of(lines)
    if as_json:
        document = [asdict(line) for line in lines]
        say_json({"schema": 1, "cluster": profile.name, "lines": document, "exit": int(status)})
    else:
        _print(profile, lines)
    raise typer.Exit(int(status))


def exit_of(lines: Sequence[DoctorItem]) -> Exit:
    """The exit status: the configuration comes first, since other problems may follow from it."""
    states = {line.state for line in lines}
    return next((status for state, status in _EXITS.items() if state in states), Exit.GO)


def examine(reach: Reach) -> list[DoctorItem]:
    """Check everything, machines side by side; never raises a HarnessError."""
    machines = reach.profile.cluster().machines
    looks = [_profile(reach.profile), *(_machine(reach, it) for it in machines), _cluster(reach)]
    calls = [begin(partial(list[DoctorItem], look)) for look in looks]
    return [line for call in calls for line in call.result()]


def _profile(profile: Profile) -> Iterator[DoctorItem]:
    images = {"probe image": (profile.kubernetes.probe_image, "kubernetes.probe_image", "python3")}
    if profile.ledger is not None:
        field = "ledger.database_image"
        images["database image"] = (profile.database_image, field, "PostgreSQL 15, sh and flock")
    tools = profile.kubernetes.etcd_tools_image
    if tools is not None:
        images["etcd's tools"] = (tools, "kubernetes.etcd_tools_image", "etcd and etcdutl")
    for what, (image, field, holds) in images.items():
        if image.endswith("0" * 64):
            yield DoctorItem(
                where=profile.name,
                what=what,
                state=ItemState.CONFIGURATION,
                says=f"{image} is a placeholder",
                remedy=f"{field}: enter the digest of an image with {holds}",
            )
        else:
            yield DoctorItem(where=profile.name, what=what, says=image)


def _machine(reach: Reach, machine: Machine) -> Iterator[DoctorItem]:
    """The items of a machine; without a login, only the login."""
    ssh = reach.profile.access.ssh
    logged_in = _tried(
        machine.name,
        "log in",
        lambda: _log_in(reach, machine, f"{ssh.user}@{machine.address} port {ssh.port}"),
    )
    yield logged_in
    if logged_in.state is not ItemState.OK:
        return
    yield _tried(machine.name, "python3", lambda: _python(reach, machine))
    yield _tried(machine.name, "tools", lambda: _tools(reach, machine))
    yield _tried(machine.name, "clock", lambda: _clock(reach, machine))
    if machine.is_server:
        yield _tried(machine.name, "etcd's tools", lambda: _etcd_tools(reach, machine))
        yield _tried(machine.name, "its API server", lambda: _api_server(reach, machine))


def _tried(where: str, what: str, look: Callable[[], DoctorItem]) -> DoctorItem:
    """The item that a check gives, or the item for its error."""
    try:
        return look()
    except HarnessError as error:
        state = ItemState.WRONG
        if isinstance(error, ConfigError):
            state = ItemState.CONFIGURATION
        elif isinstance(error, _NOT_SEEN):
            state = ItemState.UNREACHABLE
        says = str(error.args[0])
        return DoctorItem(where=where, what=what, state=state, says=says, remedy=error.remedy)


def _judged(where: str, what: str, fine: bool, says: str, remedy: str) -> DoctorItem:
    """An item that is right or wrong; the remedy is for a wrong one."""
    if fine:
        return DoctorItem(where=where, what=what, says=says)
    return DoctorItem(where=where, what=what, state=ItemState.WRONG, says=says, remedy=remedy)


def _log_in(reach: Reach, machine: Machine, says: str) -> DoctorItem:
    reach.shell.run(machine.name, ("true",), within_s=10.0)
    return DoctorItem(where=machine.name, what="log in", says=says)


def _python(reach: Reach, machine: Machine) -> DoctorItem:
    code = "import sys; print(*sys.version_info[:3], sep='.')"
    done = reach.shell.run(machine.name, ("python3", "-c", code), within_s=10.0)
    version = done.stdout.strip()
    numbers = tuple(int(part) for part in version.split(".") if part.isdigit())
    fine = done.status == 0 and numbers >= _OLDEST_PYTHON
    oldest = ".".join(map(str, _OLDEST_PYTHON))
    return _judged(
        machine.name,
        "python3",
        fine,
        version or done.stderr.strip() or f"exit status {done.status}",
        f"install python3, {oldest} or newer: the probes run on it",
    )


def _tools(reach: Reach, machine: Machine) -> DoctorItem:
    """Every program that probes, faults and benches run there (``programs`` lists them)."""
    wanted = [*programs.needed(reach.profile)]
    if machine.is_server:
        wanted += programs.on_servers(reach.profile)
    done = reach.shell.run(machine.name, ("sh", "-c", _WHICH, "sh", *wanted), within_s=10.0)
    missing = done.stdout.split()
    why = [programs.PROGRAMS[it][1] if it in programs.PROGRAMS else "commands:" for it in missing]
    says = ", ".join(f"{name} ({needs})" for name, needs in zip(missing, why, strict=True))
    return _judged(
        machine.name,
        "tools",
        not missing,
        f"missing: {says}" if missing else f"all {len(wanted)} programs are there",
        "./cutover provision nodes shows what it would install",
    )


def _etcd_tools(reach: Reach, machine: Machine) -> DoctorItem:
    """The programs that restore a snapshot: RKE2's own image has no etcdutl."""
    found = backups.restore_programs(reach, machine.name)
    missing = [it.error for it in found.values() if isinstance(it, Unknown)]
    places = [it.value for it in found.values() if isinstance(it, Known)]
    return _judged(
        machine.name,
        "etcd's tools",
        not missing,
        missing[0] if missing else ", ".join(places),
        "./cutover provision nodes, with an image in kubernetes.etcd_tools_image",
    )


def _clock(reach: Reach, machine: Machine) -> DoctorItem:
    """The clock's offset from this computer's, as exactly as the round trip allows."""
    done = reach.shell.run(machine.name, ("date", "+%s.%N"), within_s=10.0)
    received = time.time()
    try:
        there = float(done.stdout)
    except ValueError:
        raise TransportError(f"date gave no time: {done.stderr or done.stdout!r}") from None
    bounds = clock(received - done.took_s, there, there, received)
    least, most = bounds.at_least_s, bounds.at_most_s
    return _judged(
        machine.name,
        "clock",
        most > -_CLOCK_S and least < _CLOCK_S,
        f"{least * 1000:+.0f} to {most * 1000:+.0f} ms ahead of this computer",
        "find the wrong clock of the two, and run chronyc makestep there",
    )


def _api_server(reach: Reach, machine: Machine) -> DoctorItem:
    url = f"https://{machine.address}:{reach.profile.kubernetes.api_port}/version"
    answer = reach.kube.ask(url)
    return _judged(
        machine.name,
        "its API server",
        answer.status == 200,
        f"{url} answers {answer.status}",
        "find out why this server refuses the kubeconfig's credentials",
    )


def _cluster(reach: Reach) -> Iterator[DoctorItem]:
    """The items of the API; nothing more when it cannot be used."""
    name = reach.profile.name
    kubeconfig = reach.profile.access.kubeconfig
    uids: list[str] = []

    def identity() -> DoctorItem:
        uids.append(must(reach.kube.get("/api/v1/namespaces/kube-system"), "metadata", "uid"))
        return DoctorItem(where=name, what="the API", says=f"answers to {kubeconfig}")

    reached = _tried(name, "the API", identity)
    yield reached
    if reached.state is ItemState.OK:
        yield _tried(name, "identity", lambda: _identity(reach.profile, uids[0]))
        yield _tried(name, "permissions", lambda: _permissions(reach))
        if reach.profile.cluster().rook is not None:
            yield _tried(name, "Rook", lambda: _rook(reach))


def _identity(profile: Profile, uid: str) -> DoctorItem:
    declared = profile.declared_uid()
    if declared is None:
        return DoctorItem(
            where=profile.name,
            what="identity",
            state=ItemState.CONFIGURATION,
            says="the profile declares no uid",
            remedy=f"if this is the intended cluster, add `uid: {uid}` to the profile",
        )
    return _judged(
        profile.name,
        "identity",
        uid == declared,
        f"cluster {uid}" if uid == declared else f"expected {declared}, seen {uid}",
        f"name the kubeconfig of this cluster, not {profile.access.kubeconfig}; or correct `uid:`",
    )


def _permissions(reach: Reach) -> DoctorItem:
    """Permissions, asked from the API itself, which knows every role and every authorizer.

    The permissions of drills and journeys are asked only where disruption is allowed.
    """
    drills = {*DISRUPTION, *LEDGER_PERMISSIONS} if reach.profile.allow_disruption else set()
    if reach.profile.allow_disruption and reach.profile.journeys is not None:
        drills |= set(JOURNEYS)
    wanted = {str(it): it for it in sorted(drills.union(all_permissions(PROBES, reach.profile)))}
    allowed = in_each(wanted, lambda name: _allowed(reach, wanted[name]), at_once=_AT_ONCE)
    for answer in allowed.values():
        if isinstance(answer, HarnessError):
            raise answer
    missing = [name for name, may in allowed.items() if not may]
    return _judged(
        reach.profile.name,
        "permissions",
        not missing,
        f"not allowed: {', '.join(missing)}" if missing else f"all {len(wanted)} granted",
        "bind the account of the kubeconfig to a role with these",
    )


def _rook(reach: Reach) -> DoctorItem:
    """Whether Rook is where the profile says; its health is the gate's question."""
    declared = reach.profile.cluster().rook
    assert declared is not None
    spaces = tuple(dict.fromkeys((declared.operator_namespace, declared.namespace)))
    missing = [name for name in spaces if not reach.kube.exists(f"/api/v1/namespaces/{name}")]
    says = f"there is no namespace {', '.join(missing)}" if missing else ""
    cluster = f"namespaces/{declared.namespace}/cephclusters/{declared.cluster}"
    if not missing and not reach.kube.exists(f"/apis/ceph.rook.io/v1/{cluster}"):
        says = f"there is no CephCluster {declared.cluster} in {declared.namespace}"
    return DoctorItem(
        where=reach.profile.name,
        what="Rook",
        state=ItemState.CONFIGURATION if says else ItemState.OK,
        says=says
        or f"CephCluster {declared.cluster} in {declared.namespace}, {declared.mode} mode",
        remedy="rook: in the profile; `kubectl get cephclusters -A` says where it is"
        if says
        else "",
    )


def _allowed(reach: Reach, permission: Permission) -> bool:
    resource, _, subresource = permission.resource.partition("/")
    spec = {
        "resourceAttributes": {
            "verb": permission.verb,
            "group": permission.group,
            "resource": resource,
            "subresource": subresource,
        }
    }
    if permission.is_path:
        path = {"verb": permission.verb, "path": permission.resource}
        spec = {"nonResourceAttributes": path}
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": spec,
    }
    return flag(reach.kube.create(_REVIEWS, review), "status", "allowed")


def _print(profile: Profile, lines: Sequence[DoctorItem]) -> None:
    say(f"{profile.title}")
    widths = [max(len(text) for text in column) for column in _columns(lines)]
    for line, *columns in zip(lines, *_columns(lines), strict=True):
        padded = "  ".join(text.ljust(width) for text, width in zip(columns, widths, strict=True))
        say(f"{padded}  {line.says}")
        if line.remedy:
            say(f"{'':{widths[0]}}  what to do: {line.remedy}")
    bad = sum(line.state is not ItemState.OK for line in lines)
    say(f"{bad} of {len(lines)} need attention" if bad else f"all {len(lines)} are fine")


def _columns(lines: Sequence[DoctorItem]) -> list[list[str]]:
    return [
        [line.state.value for line in lines],
        [line.where for line in lines],
        [line.what for line in lines],
    ]
