"""W3-CEPH: Ceph's data has its copies, on disks that work, on different machines, and is read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from harness.checks.ceph import CEPH, osd_tree, told
from harness.checks.crush import failure_domain
from harness.checks.findings import Facts, Finding, conclude, joined, names, unknown, wanted
from harness.model import Case, Verdict

_DAY_S = 86_400
# A clock of a machine may be ahead by what W1-HOST allows, and more.
_AHEAD_S = 60.0
_REPLICATED = 1
# Beside "active" and "clean", what a placement group may be doing while all is well.
_FINE = {"active", "clean", "scrubbing", "deep", "snaptrim", "snaptrim_wait"}


def osds_serve(case: Case) -> Verdict:
    """Every OSD is up and in, and each machine has its own."""
    key = "osds_per_machine_count"
    target = wanted(case, key)
    seen = osd_tree(case)
    findings, counts = [], []
    inventory = [machine.name for machine in case.cluster.machines]
    for said in seen.values.values():
        hosts = said["hosts"]
        counts = [len(hosts.get(name, ())) for name in inventory]
        for name, number in zip(inventory, counts, strict=True):
            if number != target[key]:
                text = f"expected {target[key]:g} OSD on this machine, seen {number}"
                findings.append(Finding(name, text))
        findings += [f for host, osds in hosts.items() for f in _osds(host, osds, inventory)]
        findings += [
            Finding(f"osd.{osd}", "expected every OSD below a machine, seen it below none")
            for osd in said["stray"]
        ]
    return conclude(
        findings,
        seen,
        proven=f"all {sum(counts)} OSDs are up and in, {target[key]:g} on each machine",
        measured={key: min(counts)} if counts else {},
        target=target,
    )


def _osds(host: str, osds: Sequence[Mapping[str, Any]], inventory: list[str]) -> Iterator[Finding]:
    for osd in osds:
        name = f"osd.{osd['id']}"
        if host not in inventory:
            yield Finding(host, f"expected OSDs on declared machines only, seen {name} here")
        if not osd["up"]:
            yield Finding(host, f"expected {name} up, seen it down")
        if not osd["in"]:
            yield Finding(host, f"expected {name} in, seen it out")


def osds_answer(case: Case) -> Verdict:
    """Each OSD that is up answers when it is asked itself: the map may be of an hour ago."""
    seen, tree = told(case, "osd answers"), osd_tree(case)
    findings: list[Finding] = []
    answers: Mapping[str, Any] = seen.values.get(CEPH, {})
    hosts: Mapping[str, Any] = tree.values.get(CEPH, {}).get("hosts", {})
    up = {str(osd["id"]): host for host, osds in hosts.items() for osd in osds if osd["up"]}
    if seen.values and tree.values:
        if not up:
            findings.append(Finding(CEPH, "expected OSDs that answer, seen none up"))
        findings += [
            finding
            for osd, host in up.items()
            for finding in _answer(f"{host}, osd.{osd}", answers.get(osd))
        ]
    return conclude(findings, joined(seen, tree), proven=f"all {len(up)} OSDs that are up answer")


def _answer(where: str, told_: Mapping[str, Any] | None) -> Iterator[Finding]:
    if told_ is None:
        yield unknown(where, "it came up after the OSDs were asked")
    elif "error" in told_:
        yield unknown(where, told_["error"])
    elif not told_["value"]["answers"]:
        text = "expected this OSD to answer, seen Ceph call it up and it silent"
        yield Finding(where, f"{text}: {told_['value']['says']}")


def _groups(case: Case) -> tuple[Facts, Sequence[Mapping[str, Any]], list[Finding]]:
    """The placement groups; a pool of which none was seen is a gap."""
    groups, osd_map = told(case, "placement groups"), told(case, "osd map")
    found: Sequence[Mapping[str, Any]] = groups.values.get(CEPH, ())
    pools = {group["id"].partition(".")[0] for group in found}
    gaps = []
    if groups.values and osd_map.values:
        known = osd_map.values[CEPH]["pools"]
        gaps = [
            unknown(pool["name"], "none of its placement groups was seen")
            for pool in known
            if str(pool["id"]) not in pools
        ]
        gaps += [] if known else [unknown(CEPH, "there is no pool, hence nothing to look at")]
    return joined(groups, osd_map), found, gaps


def _few(ids: Iterable[str]) -> str:
    some = list(ids)
    return ", ".join(some[:3]) + (f" and {len(some) - 3} more" if len(some) > 3 else "")


def groups_clean(case: Case) -> Verdict:
    seen, groups, findings = _groups(case)
    states: dict[str, list[str]] = {}
    for group in groups:
        words = set(group["state"].split("+"))
        if not words >= {"active", "clean"} or words - _FINE:
            states.setdefault(group["state"], []).append(group["id"])
    findings += [
        Finding(
            CEPH,
            f"expected every placement group active and clean, seen {len(ids)} of {len(groups)} "
            f"{state} ({_few(ids)})",
        )
        for state, ids in states.items()
    ]
    proven = f"all {len(groups)} placement groups are active and clean"
    return conclude(findings, seen, proven=proven)


def copies_apart(case: Case) -> Verdict:
    """Where the copies are now, whatever the rules say: on as many machines as there are copies."""
    want = wanted(case, "copies_count")["copies_count"]
    seen, groups, findings = _groups(case)
    tree = osd_tree(case)
    hosts: Mapping[str, Any] = tree.values.get(CEPH, {}).get("hosts", {})
    host_of = {osd["id"]: host for host, osds in hosts.items() for osd in osds}
    short: dict[tuple[str, ...], list[str]] = {}
    for group in groups if tree.values else ():
        machines = {host_of[osd] for osd in group["acting"] if osd in host_of}
        if len(machines) < want:
            short.setdefault(tuple(sorted(machines)), []).append(group["id"])
    findings += [
        Finding(
            names(machines) if machines else CEPH,
            f"expected copies on {want:g} machines, seen {len(ids)} of {len(groups)} "
            f"placement groups on {len(machines)} ({_few(ids)})",
        )
        for machines, ids in short.items()
    ]
    proven = f"all {len(groups)} placement groups have their copies on {want:g} machines"
    return conclude(findings, joined(seen, tree), proven=proven)


def pools_sized(case: Case) -> Verdict:
    keys = {"copies_count": "size", "min_copies_count": "min_size"}
    target = wanted(case, *keys)
    seen = told(case, "osd map")
    pools: Sequence[Mapping[str, Any]] = seen.values.get(CEPH, {}).get("pools", ())
    findings = [] if pools or not seen.values else [unknown(CEPH, "there is no pool")]
    for pool in pools:
        if pool["type"] != _REPLICATED:
            text = "expected whole copies, seen an erasure-coded pool"
            findings.append(Finding(f"pool {pool['name']}", text))
            continue
        findings += [
            Finding(
                f"pool {pool['name']}",
                f"expected {word} {target[key]:g}, seen {word} {pool[word]}",
            )
            for key, word in keys.items()
            if pool[word] != target[key]
        ]
    return conclude(
        findings,
        seen,
        proven=f"all {len(pools)} pools keep {target['copies_count']:g} copies",
        measured={key: min(pool[word] for pool in pools) for key, word in keys.items() if pools},
        target=target,
    )


def domain_is_host(case: Case) -> Verdict:
    """Of each pool's rule, by its steps; a domain above the host (rack) separates hosts too."""
    crush, osd_map = told(case, "crush"), told(case, "osd map")
    findings, pools = [], []
    if crush.values and osd_map.values:
        pools = osd_map.values[CEPH]["pools"]
        findings = [] if pools else [unknown(CEPH, "there is no pool")]
    for pool in pools:
        where = f"pool {pool['name']}"
        try:
            rule = crush.values[CEPH]["rules"][str(pool["crush_rule"])]
            domain = failure_domain(rule["steps"])
        except (KeyError, ValueError) as error:
            findings.append(unknown(where, f"its rule is not understood: {error}"))
            continue
        heights = crush.values[CEPH]["types"]
        if heights.get(domain, -1) < heights["host"]:
            text = f"expected the failure domain host, seen {domain} (rule {rule['name']})"
            findings.append(Finding(where, text))
    proven = f"the rules of all {len(pools)} pools keep each copy on another machine"
    return conclude(findings, joined(crush, osd_map), proven=proven)


def scrubbed(case: Case) -> Verdict:
    """By each placement group's last scrubs, at the time of the look.

    One that was never scrubbed counts from its creation, as Ceph itself counts: it is not due yet
    in a cluster that is younger than the target.
    """
    keys = {"scrub_age_days": "scrubbed", "deep_scrub_age_days": "deep_scrubbed"}
    target = wanted(case, *keys)
    seen, groups, findings = _groups(case)
    at = case.of("ceph")[case.cluster.name].at if groups else 0.0
    measured: dict[str, float] = {}
    for key, word in keys.items():
        ages = {group["id"]: (at - group[word]) / _DAY_S for group in groups}
        late = {name: age for name, age in ages.items() if age > target[key]}
        ahead = [name for name, age in ages.items() if age * _DAY_S < -_AHEAD_S]
        if late:
            worst = max(late, key=late.__getitem__)
            text = f"expected every placement group {word.replace('_', ' ')} in {target[key]:g}"
            says = f"seen {len(late)} of {len(groups)} overdue, {worst} by {late[worst]:.1f} days"
            findings.append(Finding(CEPH, f"{text} days, {says}"))
        if ahead:
            findings.append(unknown(CEPH, f"{word} in the future, by its clock: {_few(ahead)}"))
        measured |= {key: max(ages.values())} if ages else {}
    proven = f"no scrub of {len(groups)} placement groups is overdue"
    return conclude(findings, seen, proven=proven, measured=measured, target=target)


CHECKS = {
    "every OSD is up and in": osds_serve,
    "every OSD answers": osds_answer,
    "every placement group is active and clean": groups_clean,
    "the copies lie on different machines": copies_apart,
    "every pool keeps its copies": pools_sized,
    "the failure domain is the host": domain_is_host,
    "no scrub is overdue": scrubbed,
}
