"""W7-CALLS, W7-SERVICES: services under their declared names, side effects registered once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from harness.checks.findings import (
    Finding,
    Seen,
    conclude,
    failed,
    look,
    names,
    unknown,
    wanted,
)
from harness.core.declared_platform import ReadDeclared, ServiceDeclared
from harness.core.model import Case, Verdict
from harness.facts.schema import Item, Unknown
from harness.facts.services import CALLS, REGISTRATIONS, SERVICES, Caller, Read, Service

_NOT_ASKED = Unknown("it was not asked for")


def services_have_their_names(case: Case) -> Verdict:
    """Each declared service has its name, its TCP port, and a ready pod behind it.

    A name or a port that changes on purpose is the new one of the profile (``now:``). A Service
    of type ExternalName leads out of the cluster, which this check does not follow.
    """
    declared = case.cluster.services
    seen = look(case, SERVICES)
    findings = [
        finding
        for found in seen.values.values()
        for service in declared
        for finding in _of_service(service, found.get(service.name, _NOT_ASKED))
    ]
    if not declared:
        findings.append(unknown("the profile", "it declares no service (services)"))
    changed = [it.was for it in declared if it.was != _called(it)]
    but = f"; changed on purpose: {names(changed)}" if changed else ""
    return conclude(
        findings, seen, proven=f"{len(declared)} services have their names and ports{but}"
    )


def _of_service(declared: ServiceDeclared, item: Item[Service | None]) -> Iterator[Finding]:
    called = _called(declared)
    where = called if called == declared.was else f"{called} ({declared.was} under the Swarm)"
    if isinstance(item, Unknown):
        yield unknown(where, item.error)
    elif item.value is None:
        yield Finding(where, "expected a Service, seen none of this name")
    elif item.value.type == "ExternalName":
        yield unknown(where, "it leads out of the cluster (ExternalName), and was not followed")
    elif declared.port not in item.value.ready:
        seen = names(map(str, sorted(item.value.ready))) if item.value.ready else "none"
        yield Finding(where, f"expected TCP port {declared.port} of the Service, seen {seen}")
    elif item.value.ready[declared.port] == 0:
        yield Finding(where, "expected a ready pod behind the Service, seen none")


def calls_get_through(case: Case) -> Verdict:
    """Each service reaches all that it calls from its own pods, by the names that it uses.

    A connection proves the name, the network policies on both sides, and a program that listens.
    """
    declared, known = case.cluster.service_calls, case.cluster.services
    seen = look(case, CALLS)
    findings: list[Finding] = []
    for name, caller in _callers(seen, declared, findings):
        for was in declared[name]:
            item = caller.calls.get(was, _NOT_ASKED)
            where = f"{name} → {was}"
            if isinstance(item, Unknown):
                findings.append(unknown(where, item.error))
            elif item.value.error is not None:
                says = f"expected a connection from {caller.pod}, seen {item.value.error}"
                findings.append(Finding(where, says))
    uncalled = {it.was for it in known} - {was for it in declared.values() for was in it}
    findings += [
        unknown(it, "no caller is declared that calls it (services.callers)")
        for it in sorted(uncalled)
    ]
    number = sum(map(len, declared.values()))
    return conclude(
        findings, seen, proven=f"{number} calls of {len(declared)} services get through"
    )


def _callers(
    seen: Seen[Mapping[str, Item[Caller]]], names: Iterable[str], findings: list[Finding]
) -> Iterator[tuple[str, Caller]]:
    """The pods that were asked, by their service; a finding for each service without one."""
    for found in seen.values.values():
        for name in names:
            item = found.get(name, _NOT_ASKED)
            if isinstance(item, Unknown):
                findings.append(unknown(name, item.error))
            else:
                yield name, item.value


def databases_are_read(case: Case) -> Verdict:
    """Each service answers a read from its database as declared; a health page proves nothing."""
    declared = case.cluster.service_reads
    seen = look(case, CALLS)
    findings: list[Finding] = []
    for name, caller in _callers(seen, declared, findings):
        item = caller.read or _NOT_ASKED
        if isinstance(item, Unknown):
            findings.append(unknown(name, item.error))
        else:
            findings += _of_read(f"{name} {declared[name].path}", declared[name], item.value)
    if not declared:
        findings.append(unknown("the profile", "it declares no read (services.callers, reads)"))
    return conclude(
        findings, seen, proven=f"{names(declared or ('nothing',))} read their databases"
    )


def _of_read(where: str, declared: ReadDeclared, seen: Read) -> Iterator[Finding]:
    if seen.error is not None:
        yield Finding(where, f"expected an answer, seen {seen.error}")
        return
    if seen.status != declared.status:
        yield Finding(where, f"expected status {declared.status}, seen {seen.status}")
    if not seen.says:
        yield Finding(where, f"expected “{declared.says}” in the answer, seen {seen.excerpt}")
    for pointer, value in declared.has.items():
        found = seen.fields.get(pointer, "nothing")
        if found != value:
            yield Finding(where, f"expected {pointer} {value}, seen {found}")


def _called(declared: ServiceDeclared) -> str:
    return f"{declared.name}:{declared.port}"


def registered_once(case: Case) -> Verdict:
    """Each declared side effect is registered exactly once, and nothing else is beside it.

    A service of several replicas that registers at its start may do so once a replica; each event
    then acts several times. Without an entry, it never does.
    """
    key = "misregistered_count"
    target = wanted(case, key)
    declared = case.cluster.registrations
    seen = look(case, REGISTRATIONS)
    findings = [
        finding
        for found in seen.values.values()
        for name, entry in declared.items()
        for finding in _of_registration(name, entry, found.get(name, _NOT_ASKED))
    ]
    if not declared:
        findings.append(unknown("the profile", "it declares no registration (registrations)"))
    return conclude(
        findings,
        seen,
        proven=f"registered exactly once: {names(declared or ('nothing',))}",
        measured={key: failed(findings)} if seen.values else {},
        target=target,
    )


def _of_registration(name: str, entry: str, item: Item[tuple[str, ...]]) -> Iterator[Finding]:
    if isinstance(item, Unknown):
        yield unknown(name, item.error)
        return
    others = [it for it in item.value if entry not in it]
    ours = len(item.value) - len(others)
    if ours != 1:
        yield Finding(name, f"expected one entry with {entry!r}, seen {ours or 'none'}")
    if others:
        yield Finding(name, f"expected no other entry, seen {names(others[:3])}")


CHECKS = {
    "each service has its declared name and port": services_have_their_names,
    "each service reaches what it calls from its own pods": calls_get_through,
    "each service reads its database": databases_are_read,
    "each side effect is registered exactly once": registered_once,
}
