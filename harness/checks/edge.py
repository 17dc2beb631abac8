"""W1-LB and W1-INGRESS: what the world can reach."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_address, ip_network

from harness.checks.findings import Finding, Seen, conclude, limited, look, names, unknown, wanted
from harness.core.declared import IngressDeclared, IngressPage
from harness.core.model import Case, Outcome, Verdict
from harness.facts.edge import INGRESS, LOAD_BALANCER, Invalid, Limited, PageAnswer, Shown, Site
from harness.facts.schema import Answered, Known, Unknown

_DAY_S = 86_400


def service_gets_an_address(case: Case) -> Verdict:
    target = wanted(case, "address_s")
    seen = look(case, LOAD_BALANCER)
    findings = []
    given = [it.given_after_s for it in seen.values.values() if it.given_after_s is not None]
    for value in seen.values.values():
        if value.address is None:
            because = f" ({value.said})" if value.said else ""
            findings.append(Finding("load balancer", f"expected an address, seen none{because}"))
        elif not _in_pool(value.address, case.cluster.load_balancer_pool):
            pool = names(case.cluster.load_balancer_pool)
            text = f"expected an address of {pool}, seen {value.address}"
            findings.append(Finding("load balancer", text))
    findings += [
        Finding(
            "load balancer",
            f"expected an address within {target['address_s']:g} s, seen {after_s:g} s",
        )
        for after_s in given
        if after_s > target["address_s"]
    ]
    return conclude(
        findings,
        seen,
        proven="a service was given an address of the declared pool",
        measured={"address_s": max(given)} if given else {},
        target=target,
    )


def _in_pool(address: str, pool: Sequence[str]) -> bool:
    given = ip_address(address)
    for part in pool:
        first, dash, last = part.partition("-")
        if dash and int(ip_address(first)) <= int(given) <= int(ip_address(last)):
            return True
        if not dash and given in ip_network(part):
            return True
    return False


def pool_has_room(case: Case) -> Verdict:
    """The harness's own service does not count, because it gives its address back."""
    target = wanted(case, "pool_left_count")
    pool = case.cluster.load_balancer_pool
    seen = look(case, LOAD_BALANCER)
    left = [
        sum(map(_size, pool)) - len([it for it in value.taken if _in_pool(it, pool)])
        for value in seen.values.values()
    ]
    findings = [
        Finding(
            "load balancer",
            f"expected {target['pool_left_count']:g} free addresses or more in {names(pool)}, "
            f"seen {it} of {sum(map(_size, pool))}",
        )
        for it in left
        if it < target["pool_left_count"]
    ]
    return conclude(
        findings,
        seen,
        proven=f"the pool {names(pool)} has free addresses",
        measured={"pool_left_count": min(left)} if left else {},
        target=target,
    )


def _size(part: str) -> int:
    """How many addresses a part of the pool has, "first-last" or a network."""
    first, dash, last = part.partition("-")
    if dash:
        return int(ip_address(last)) - int(ip_address(first)) + 1
    return ip_network(part).num_addresses


def service_answers(case: Case) -> Verdict:
    seen = look(case, LOAD_BALANCER)
    findings = []
    for value in seen.values.values():
        if value.address is None or value.answer is None:
            findings.append(unknown("load balancer", "the service has no address to answer at"))
        elif isinstance(value.answer, Unknown):
            text = f"expected the service to answer, seen {value.answer.error}"
            findings.append(Finding(value.address, text))
    return conclude(findings, seen, proven="the service answers at its address from outside")


def _sites(case: Case) -> Seen[Site]:
    """What a visitor saw, by the ingress's address."""
    whole = look(case, INGRESS)
    values, unseen = {}, list(whole.unseen)
    for value in whole.values.values():
        for address, site in value.sites.items():
            if address in case.cluster.unjudged:
                continue
            if isinstance(site, Unknown):
                unseen.append(unknown(address, site.error))
            else:
                values[address] = site
    return Seen(values, tuple(unseen))


def host_reaches_service(case: Case) -> Verdict:
    target = wanted(case, "route_s")
    seen = _sites(case)
    findings = []
    for address, site in seen.values.items():
        ours = site.ours
        if isinstance(ours, Limited):
            findings.append(unknown(address, _limited(ours)))
        elif isinstance(ours, Unknown):
            text = f"expected the host to reach its service, seen {ours.error}"
            findings.append(Finding(address, text))
        elif ours.value != "site":
            text = f"expected the host to reach its own pod, seen {ours.value[:80]!r}"
            findings.append(Finding(address, text))
        elif ours.took_s > target["route_s"]:
            text = f"expected the host to be routed within {target['route_s']:g} s"
            findings.append(Finding(address, f"{text}, seen {ours.took_s:.1f} s"))
    visits = [site.ours for site in seen.values.values()]
    took = [it.took_s for it in visits if isinstance(it, Answered)]
    return conclude(
        findings,
        seen,
        proven=f"a new host reaches its service at {len(seen.values)} address(es)",
        measured={"route_s": max(took)} if took else {},
        target=target,
    )


def stranger_gets_404(case: Case) -> Verdict:
    seen = _sites(case)
    findings = []
    for address, site in seen.values.items():
        stranger = site.stranger
        if isinstance(stranger, Limited):
            findings.append(unknown(address, _limited(stranger)))
        elif isinstance(stranger, Unknown):
            findings.append(unknown(address, stranger.error))
        elif stranger.value != 404:
            text = f"expected 404 for an unknown host, seen {stranger.value}"
            findings.append(Finding(address, text))
    return conclude(findings, seen, proven="an unknown host gets 404")


def sites_answer(case: Case) -> Verdict:
    """Every page of every declared site, at every address, as the profile says."""
    whole = look(case, INGRESS)
    known = case.cluster.ingress
    if known is None or not known.pages:
        # Before the first site moves there is none: a profile says so by declaring none.
        reason = "the profile declares no site (`ingress.sites`)"
        return Verdict(outcome=Outcome.NOT_APPLICABLE, reason=reason)
    asked = whole.only.pages if whole.only else {}
    findings = []
    values = {}
    for page in known.pages:
        for address in known.addresses:
            if address in case.cluster.unjudged:
                continue
            where = known.at(page, address)
            if where not in asked:
                findings.append(unknown(where, "this page was not asked for"))
                continue
            values[where] = asked[where]
            findings += _flaw(where, asked[where], page, known)
    return conclude(
        findings if whole.values else [],
        Seen(values, whole.unseen),
        proven=f"{len(known.pages)} pages of declared sites answer as declared at each address",
    )


def _flaw(
    where: str, it: PageAnswer, page: IngressPage, known: IngressDeclared
) -> Iterator[Finding]:
    if isinstance(it, Limited):
        yield unknown(where, _limited(it, known.limits.get(page.host)))
        return
    if isinstance(it, Unknown):
        yield Finding(where, f"expected an answer, seen {it.error}")
        return
    value = it.value
    wanted_status = "a status below 400" if page.status is None else f"status {page.status}"
    fits = value.status < 400 if page.status is None else value.status == page.status
    if not fits:
        yield Finding(where, f"expected {wanted_status}, seen {value.status}")
    elif page.status is None and value.location.startswith("https:") and known.scheme == "http":
        text = f"expected an answer over http, seen a redirect to {value.location}"
        yield Finding(where, f"{text} (`scheme: https` in the profile?)")
    elif not value.said:
        yield Finding(where, f"expected an answer that says {page.says!r}, seen another")


def _limited(it: Limited, per_min: float | None = None) -> str:
    return limited(None if per_min is None else {per_min}, it.limited)


def tls_is_valid(case: Case) -> Verdict:
    """Covers a new site, which must show its own certificate, and the declared sites."""
    if "tls" in case.cluster.absent:
        return Verdict(outcome=Outcome.NOT_APPLICABLE, reason=case.cluster.absent["tls"])
    target = wanted(case, "certificate_days")
    limit = target["certificate_days"]
    seen = _sites(case)
    whole = look(case, INGRESS)
    declared = whole.only.declared if whole.only else {}
    shown = {
        f"a new site at {at}": site.certificate or Unknown("its certificate was not asked for")
        for at, site in seen.values.items()
    }
    findings = list(_unfit({**shown, **declared}))
    at = case.of(INGRESS.name)[case.cluster.name].at if whole.only else 0.0
    left = {
        where: (found.value.not_after - at) / _DAY_S
        for where, found in declared.items()
        if isinstance(found, Known)
    }
    findings += [
        Finding(where, f"expected {limit:g} more days of its certificate, seen {days:.0f}")
        for where, days in left.items()
        if days < limit
    ]
    return conclude(
        findings,
        seen,
        proven=f"{len(shown) + len(declared)} certificates are valid for their hosts",
        measured={"certificate_days": min(left.values())} if left else {},
        target=target,
    )


def _unfit(shown: Mapping[str, Shown]) -> Iterator[Finding]:
    for where, found in shown.items():
        if isinstance(found, Invalid):
            yield Finding(where, f"expected a valid certificate, seen {found.denied}")
        elif isinstance(found, Unknown):
            yield unknown(where, found.error)


CHECKS = {
    "a service is given an address of the pool": service_gets_an_address,
    "the load balancer's pool has addresses left": pool_has_room,
    "the service answers at its address": service_answers,
    "a host reaches its service": host_reaches_service,
    "an unknown host gets 404": stranger_gets_404,
    "every declared site answers": sites_answer,
    "TLS is valid": tls_is_valid,
}
