"""W3-CAPACITY: there is room enough, more than there was, and room when a machine is lost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness.checks.ceph import CEPH, osd_tree, told
from harness.checks.crush import failure_domain
from harness.checks.findings import Facts, Finding, Seen, conclude, joined, unknown, wanted
from harness.model import Case, Verdict

_GB = 1e9


def _usable(case: Case) -> tuple[Facts, float | None]:
    """What fits into Ceph in GB, copies not counted; None when no pool was seen.

    All that is stored, and what still fits into the pool that has least room: Ceph reckons that
    from the fullest OSD, the pool's copies and the ratio at which it stops to write.
    """
    seen = told(case, "room")
    pools: Mapping[str, Any] = seen.values.get(CEPH, {})
    if not pools:
        gap = (unknown(CEPH, "it has no pool, hence tells no capacity"),) if seen.values else ()
        return Seen(seen.values, (*seen.unseen, *gap)), None
    stored = sum(pool["stored_bytes"] for pool in pools.values())
    return seen, (stored + min(pool["more_bytes"] for pool in pools.values())) / _GB


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
    """How full the fullest OSD gets when any one machine is lost and Ceph has healed.

    With as many machines as copies (three and three) nothing can heal: there is no machine left
    that has no copy yet, so nothing moves, and those left stay as full as they are. With more, or
    with a failure domain below the host, the lost machine's data is written again on the others:
    each OSD then takes its share by weight or an equal one, whichever is more, since CRUSH cannot
    put two copies on one machine to even it out. Reckoned for the pool that would move most.
    """
    key = "used_after_loss_percent"
    target = wanted(case, key)
    parts = {item: told(case, item) for item in ("osd use", "osd map", "crush")}
    parts["osd tree"] = osd_tree(case)
    seen = joined(*parts.values())
    said: dict[str, Any] = {item: part.values.get(CEPH) for item, part in parts.items()}
    if seen.unseen:
        return conclude([], seen, proven="", target=target)
    if untold := list(_untold(said)):
        return conclude(untold, seen, proven="", target=target)
    limit = min(target[key], round(100 * said["osd map"]["nearfull_ratio"], 3))
    hosts = _hosts(said["osd tree"], said["osd use"])
    findings, worst = [], []
    told_all = all(use["bytes"] > 0 for osds in hosts.values() for use in osds.values())
    if len(hosts) < 2 or not told_all:
        text = f"{len(hosts)} machine(s) hold data; every OSD tells its size: {told_all}"
        return conclude([unknown(CEPH, text)], seen, proven="", target=target)
    for lost in hosts:
        moves = _moves(hosts, lost, said["osd map"]["pools"], said["crush"]["rules"])
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


def _untold(said: Mapping[str, Any]) -> Iterator[Finding]:
    """The OSDs and pools of which Ceph does not tell what the sums need."""
    for osds in said["osd tree"]["hosts"].values():
        for osd in osds:
            if osd["in"] and str(osd["id"]) not in said["osd use"]:
                yield unknown(f"osd.{osd['id']}", "Ceph does not tell how full it is")
    for pool in said["osd map"]["pools"]:
        where, rule = f"pool {pool['name']}", said["crush"]["rules"].get(str(pool["crush_rule"]))
        if rule is None:
            yield unknown(where, f"Ceph does not tell its CRUSH rule {pool['crush_rule']}")
            continue
        try:
            failure_domain(rule["steps"])
        except ValueError as error:
            yield unknown(where, f"its CRUSH rule {pool['crush_rule']}: {error}")


def _hosts(tree: Mapping[str, Any], use: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The use of each OSD that holds data, by machine."""
    hosts = {
        host: {str(osd["id"]): use[str(osd["id"])] for osd in osds if osd["in"]}
        for host, osds in tree["hosts"].items()
    }
    return {host: osds for host, osds in hosts.items() if osds}


def _moves(
    hosts: Mapping[str, Mapping[str, Any]],
    lost: str,
    pools: Sequence[Mapping[str, Any]],
    rules: Mapping[str, Any],
) -> bool:
    """Whether a pool finds enough places for all its copies on what is left."""
    left = [osds for host, osds in hosts.items() if host != lost]
    places = {"osd": sum(map(len, left)), "none": sum(map(len, left))}
    return any(
        places.get(failure_domain(rules[str(pool["crush_rule"])]["steps"]), len(left))
        >= pool["size"]
        for pool in pools
    )


def _fullest(
    hosts: Mapping[str, Mapping[str, Any]], lost: str, *, moves: bool
) -> tuple[str, float]:
    """The OSD that is fullest once the machine is lost, and how full it is, in percent."""
    left = {
        osd: (use, len(osds)) for h, osds in hosts.items() if h != lost for osd, use in osds.items()
    }
    moved = sum(use["used_bytes"] for use in hosts[lost].values()) if moves else 0
    weights = sum(use["weight"] for use, _ in left.values())
    full = {}
    for osd, (use, beside) in left.items():
        by_weight = use["weight"] / weights if weights else 0.0
        share = max(by_weight, 1 / (len(hosts) - 1) / beside)
        full[osd] = 100 * (use["used_bytes"] + moved * share) / use["bytes"]
    worst = max(full, key=full.__getitem__)
    return worst, full[worst]


CHECKS = {
    "the usable capacity is large enough": usable,
    "there is more room than before": more_than_before,
    "losing one machine leaves room": room_after_loss,
}
