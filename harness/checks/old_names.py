"""W9-SWARM-GONE: no name and no Service leads to the old platform.

Its machines may be those of the new platform. A name that leads to one of them leads to the new
platform only where the ingress is declared to answer, and only if no published port of the old
platform answers there.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from ipaddress import ip_address

from harness.checks.findings import (
    Finding,
    Seen,
    conclude,
    failed,
    look,
    looks,
    names,
    unknown,
    wanted,
)
from harness.core.model import Case, Outcome, Verdict
from harness.facts.old_names import OLD_NAMES, OLD_ROUTES, Name, OldNames, Routes
from harness.facts.schema import Item, Unknown

_KEY = "remains_count"
_DNS = "the cluster's DNS"


def names_lead_elsewhere(case: Case) -> Verdict:
    """Each declared name of the old platform has no address, or one of the new ingress's.

    An address of neither platform may be a load balancer before either: NOT PROVEN until the
    profile declares it.
    """
    seen = looks(case, OLD_NAMES, [machine.name for machine in case.cluster.machines])
    findings = [
        finding
        for machine, found in seen.values.items()
        for name, one in found.names.items()
        for finding in _of_name(case, f"{name} on {machine}", one, found.old)
    ]
    if any(not found.names for found in seen.values.values()):
        findings.append(unknown("the profile", "it declares no host of the old platform (swarm)"))
    count = len({name for found in seen.values.values() for name in found.names})
    return _concluded(case, seen, findings, f"none of {count} names leads to the old platform")


def services_lead_elsewhere(case: Case) -> Verdict:
    """No Service stands for a name, or has endpoints without pods, that lead to it."""
    seen = look(case, OLD_ROUTES)
    findings = [it for routes in seen.values.values() for it in _of_routes(case, routes)]
    count = sum(len(it.aliases) + len(it.endpoints) for it in seen.values.values())
    proven = f"none of {count} Services without pods leads to the old platform"
    return _concluded(case, seen, findings, proven)


def _of_routes(case: Case, routes: Routes) -> Iterator[Finding]:
    for service, alias in routes.aliases.items():
        for it in _of_name(case, f"{service} → {alias.name}", alias.seen, routes.old):
            # A Service may well lead out, to a mail provider: only the old platform counts.
            if it.outcome is Outcome.FAIL or isinstance(alias.seen.machine, Unknown):
                yield it
    for service, places in routes.endpoints.items():
        led = [it for it in places if _leads_to_old(case, it, routes)]
        if led:
            says = (
                f"expected no endpoint at a published port of the old platform, seen {names(led)}"
            )
            yield Finding(service, says)


def _leads_to_old(case: Case, place: str, routes: Routes) -> bool:
    is_published = int(place.rpartition(":")[2]) in routes.ports
    return is_published and _is_old(place, routes.old) and not _is_ingress(case, place)


def _of_name(case: Case, where: str, name: Name, old: Collection[str]) -> Iterator[Finding]:
    for asked, item in (("the machine's resolver", name.machine), (_DNS, name.cluster)):
        if isinstance(item, Unknown):
            yield unknown(where, f"{asked} did not answer: {item.error}")
    new = case.cluster.ingress.addresses if case.cluster.ingress is not None else ()
    for address, ways in _ways(name).items():
        if address in new:
            continue
        says = f"expected the ingress's address or none, seen {address} by {names(ways)}"
        if address in old or ip_address(address).is_loopback:
            yield Finding(where, says)
        else:
            yield unknown(where, f"{says}: no address of either platform")
    answered = [it for it in name.answers if _is_old(it, old) and not _is_ingress(case, it)]
    if answered:
        yield Finding(
            where, f"expected no answer of the old platform, seen one at {names(answered)}"
        )


def _known(item: Item[tuple[str, ...]]) -> tuple[str, ...]:
    return () if isinstance(item, Unknown) else item.value


def _ways(name: Name) -> Mapping[str, list[str]]:
    """By which ways each address was found; what is in /etc/hosts is what the resolver says."""
    found = {address: ["/etc/hosts"] for address in name.hosts}
    for address in _known(name.machine):
        found.setdefault(address, ["the resolver"])
    for address in _known(name.cluster):
        found.setdefault(address, []).append(_DNS)
    return found


def _is_old(place: str, old: Collection[str]) -> bool:
    """True if ADDRESS:PORT has an address of the old platform."""
    return place.rpartition(":")[0].strip("[]") in old


def _is_ingress(case: Case, place: str) -> bool:
    """True if the new ingress is declared to answer at this ADDRESS:PORT.

    An ingress of HTTPS answers at port 80 too, with a redirect.
    """
    ingress = case.cluster.ingress
    if ingress is None:
        return False
    address, _, port = place.rpartition(":")
    ports = (ingress.port, 80) if ingress.scheme == "https" else (ingress.port,)
    return address in ingress.addresses and int(port) in ports


def _concluded(
    case: Case, seen: Seen[OldNames] | Seen[Routes], findings: list[Finding], proven: str
) -> Verdict:
    measured = {_KEY: failed(findings)} if seen.values else {}
    return conclude(findings, seen, proven=proven, measured=measured, target=wanted(case, _KEY))


CHECKS = {
    "no name of the old platform leads to it": names_lead_elsewhere,
    "no Service leads to the old platform": services_lead_elsewhere,
}
