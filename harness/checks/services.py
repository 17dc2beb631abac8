"""W7-CALLS, W7-SERVICES: services under their declared names, side effects registered once."""

from __future__ import annotations

from collections.abc import Iterator

from harness.checks.findings import Finding, conclude, failed, look, names, unknown, wanted
from harness.core.declared import ServiceDeclared
from harness.core.model import Case, Verdict
from harness.facts.schema import Item, Unknown
from harness.facts.services import REGISTRATIONS, SERVICES, Service

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
    "each side effect is registered exactly once": registered_once,
}
