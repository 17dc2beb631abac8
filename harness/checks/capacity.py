"""W3-CAPACITY: Ceph has enough room, more than the old storage, and room to lose a machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeAlias

from harness.checks.ceph import CEPH, osd_tree, told
from harness.checks.ceph_data import domain_of
from harness.checks.findings import Finding, Seen, conclude, joined, unknown, wanted
from harness.core.model import Case, Verdict
from harness.facts import ceph
from harness.facts.ceph import Crush, OsdMap, OsdTree, OsdUse

_GB = 1e9
# The use of each OSD that holds data, by machine and number.
Hosts: TypeAlias = Mapping[str, Mapping[int, OsdUse]]


def _usable(case: Case) -> tuple[Seen[object], float | None]:
    """Usable capacity of Ceph in GB, copies not counted; None when no pool was seen.

    This is the data stored in all pools plus what still fits into the pool with the least room.
    Ceph computes the latter from the fullest OSD, the pool's copies and the ratio at which it stops
    writing.
    """
    seen = told(case, ceph.ROOM)
    pools = (seen.only or {}).values()
    if not pools:
        gap = (unknown(CEPH, "it has no pool, so its capacity is unknown"),) if seen.values else ()
        return Seen(seen.values, (*seen.unseen, *gap)), None
    stored = sum(pool.stored_bytes for pool in pools)
    return seen, (stored + min(pool.more_bytes for pool in pools)) / _GB


def usable(case: Case) -> Verdict:
    key = "usable_gb"
    target = wanted(case, key)
    seen, found = _usable(case)
    findings = []
    if found is not None and found < target[key]:
        text = f"expected {target[key]:g} GB of usable capacity, seen {found:.1f} GB"
        findings.append(Finding(CEPH, text))
    return conclude(
        findings,
        seen,
        proven=f"{found or 0:.1f} GB are usable",
        measured={} if found is None else {key: found},
        target=target,
    )


def more_than_before(case: Case) -> Verdict:
    key = "source_ratio"
    target = wanted(case, key)
    source = case.cluster.source_gb
    seen, found = _usable(case)
    findings, measured = [], {}
    if source is None:
        findings.append(unknown(CEPH, "the profile does not say what it replaces (ceph.source_gb)"))
    elif found is not None:
        measured = {key: found / source}
        if found < target[key] * source:
            text = f"expected {target[key]:g} times the {source:g} GB that it replaces"
            findings.append(Finding(CEPH, f"{text}, seen {found:.1f} GB"))
    proven = f"{found or 0:.1f} GB replace {source} GB"
    return conclude(findings, seen, proven=proven, measured=measured, target=target)


def room_after_loss(case: Case) -> Verdict:
    """The fullest OSD stays below the limit when any one machine is lost and Ceph has healed.

    With as many machines as copies (three and three), nothing can heal: every machine left already
    has a copy, so no data moves and no OSD gets fuller. With more machines, or with a failure
    domain below the host, Ceph writes the lost machine's data again on the others. Each OSD then
    takes its share by weight or an equal share, whichever is more, because CRUSH cannot put two
    copies on one machine to even it out. The check computes this for the pool that moves the most
    data.
    """
    key = "used_after_loss_percent"
    target = wanted(case, key)
    tree, use = osd_tree(case), told(case, ceph.OSD_USE)
    osd_map, crush = told(case, ceph.OSD_MAP), told(case, ceph.CRUSH)
    seen = joined(use, osd_map, crush, tree)
    if not (tree.only and use.only is not None and osd_map.only and crush.only):
        return conclude([], seen, proven="", target=target)
    if untold := list(_untold(tree.only, use.only, osd_map.only, crush.only)):
        return conclude(untold, seen, proven="", target=target)
    limit = min(target[key], round(100 * osd_map.only.nearfull_ratio, 3))
    hosts = _hosts(tree.only, use.only)
    findings, worst = [], []
    told_all = all(use.bytes > 0 for osds in hosts.values() for use in osds.values())
    if len(hosts) < 2 or not told_all:
        text = f"{len(hosts)} machine(s) hold data; every OSD tells its size: {told_all}"
        return conclude([unknown(CEPH, text)], seen, proven="", target=target)
    for lost in hosts:
        moves = _moves(hosts, lost, osd_map.only, crush.only)
        osd, percent = _fullest(hosts, lost, moves=moves)
        worst.append(percent)
        if percent >= limit:
            text = f"expected every OSD below {limit:g} % after losing this machine (nearfull)"
            findings.append(Finding(lost, f"{text}, seen osd.{osd} at {percent:.1f} %"))
    return conclude(
        findings,
        seen,
        proven=f"after losing any machine no OSD is fuller than {max(worst, default=0):.1f} %",
        measured={key: max(worst)} if worst else {},
        target={key: limit},
    )


def _untold(
    tree: OsdTree, use: Mapping[int, OsdUse], osd_map: OsdMap, crush: Crush
) -> Iterator[Finding]:
    """The OSDs and pools for which Ceph does not report the numbers needed here."""
    for osds in tree.hosts.values():
        for osd in osds:
            if osd.is_in and osd.id not in use:
                yield unknown(f"osd.{osd.id}", "Ceph does not tell how full it is")
    for pool in osd_map.pools:
        try:
            domain_of(pool, crush)
        except ValueError as error:
            yield unknown(f"pool {pool.name}", str(error))


def _hosts(tree: OsdTree, use: Mapping[int, OsdUse]) -> Hosts:
    hosts = {
        host: {osd.id: use[osd.id] for osd in osds if osd.is_in}
        for host, osds in tree.hosts.items()
    }
    return {host: osds for host, osds in hosts.items() if osds}


def _moves(hosts: Hosts, lost: str, osd_map: OsdMap, crush: Crush) -> bool:
    """True if the machines left have enough places for all copies of a pool."""
    left = [osds for host, osds in hosts.items() if host != lost]
    places = {"osd": sum(map(len, left)), "none": sum(map(len, left))}
    return any(places.get(domain_of(pool, crush), len(left)) >= pool.size for pool in osd_map.pools)


def _fullest(hosts: Hosts, lost: str, *, moves: bool) -> tuple[int, float]:
    """The OSD that is fullest once the machine is lost, and how full it is, in percent."""
    left = {
        osd: (use, len(osds)) for h, osds in hosts.items() if h != lost for osd, use in osds.items()
    }
    moved_bytes = sum(use.used_bytes for use in hosts[lost].values()) if moves else 0
    weights = sum(use.weight for use, _ in left.values())
    full = {}
    for osd, (use, beside) in left.items():
        by_weight = use.weight / weights if weights else 0.0
        share = max(by_weight, 1 / (len(hosts) - 1) / beside)
        full[osd] = 100 * (use.used_bytes + moved_bytes * share) / use.bytes
    worst = max(full, key=full.__getitem__)
    return worst, full[worst]


CHECKS = {
    "the usable capacity is large enough": usable,
    "there is more room than before": more_than_before,
    "losing one machine leaves room": room_after_loss,
}
