"""W3-CEPH: Ceph's data has its copies, on working OSDs and different machines; it is scrubbed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from harness.checks.ceph import CEPH, osd_tree, told
from harness.checks.findings import Finding, Seen, conclude, joined, names, unknown, wanted
from harness.core.model import Case, Verdict
from harness.facts import ceph
from harness.facts.ceph import Crush, CrushStep, Osd, OsdAnswer, PlacementGroup, Pool
from harness.facts.schema import Item, Unknown

_DAY_S = 86_400
# A machine's clock may be ahead by more than W1-HOST allows.
_AHEAD_S = 60.0
_REPLICATED = 1
_CHOOSES = ("choose_firstn", "choose_indep", "choosemsr")
_CHOOSES_LEAVES = ("chooseleaf_firstn", "chooseleaf_indep")
# Steps that only tune the search, and the end of a draw.
_OTHERS = re.compile(r"set_.*|emit")


def osds_serve(case: Case) -> Verdict:
    """Every OSD is up and in, and each machine that the profile gives an OSD has its own."""
    key = "osds_per_machine_count"
    target = wanted(case, key)
    seen = osd_tree(case)
    findings, counts = [], []
    # A server that only runs the control plane may have none.
    disks, everywhere = case.cluster.osd_disks, [it.name for it in case.cluster.machines]
    inventory = [name for name in everywhere if not disks or name in disks]
    for said in seen.values.values():
        hosts = said.hosts
        counts = [len(hosts.get(name, ())) for name in inventory]
        for name, number in zip(inventory, counts, strict=True):
            if number != target[key]:
                text = f"expected {target[key]:g} OSD on this machine, seen {number}"
                findings.append(Finding(name, text))
        findings += [f for host, osds in hosts.items() for f in _osds(host, osds, inventory)]
        findings += [
            Finding(f"osd.{osd}", "expected every OSD below a machine, seen it below none")
            for osd in said.stray
        ]
    return conclude(
        findings,
        seen,
        proven=f"all {sum(counts)} OSDs are up and in, {target[key]:g} on each machine",
        measured={key: min(counts)} if counts else {},
        target=target,
    )


def _osds(host: str, osds: Iterable[Osd], inventory: list[str]) -> Iterator[Finding]:
    for osd in osds:
        name = f"osd.{osd.id}"
        if host not in inventory:
            yield Finding(host, f"expected OSDs on declared machines only, seen {name} here")
        if not osd.up:
            yield Finding(host, f"expected {name} up, seen it down")
        if not osd.is_in:
            yield Finding(host, f"expected {name} in, seen it out")


def osds_answer(case: Case) -> Verdict:
    """Each OSD that is up answers when it is asked directly; the map may be an hour old."""
    seen, tree = told(case, ceph.OSD_ANSWERS), osd_tree(case)
    findings: list[Finding] = []
    answers = seen.only or {}
    hosts = tree.only.hosts if tree.only else {}
    up = {osd.id: host for host, osds in hosts.items() for osd in osds if osd.up}
    if seen.values and tree.values:
        if not up:
            findings.append(Finding(CEPH, "expected OSDs that answer, seen none up"))
        findings += [
            finding
            for osd, host in up.items()
            for finding in _answer(f"{host}, osd.{osd}", answers.get(osd))
        ]
    return conclude(findings, joined(seen, tree), proven=f"all {len(up)} OSDs that are up answer")


def _answer(where: str, answer: Item[OsdAnswer] | None) -> Iterator[Finding]:
    if answer is None:
        yield unknown(where, "it came up after the OSDs were asked")
    elif isinstance(answer, Unknown):
        yield unknown(where, answer.error)
    elif not answer.value.answers:
        text = "expected this OSD to answer, seen Ceph call it up and it silent"
        yield Finding(where, f"{text}: {answer.value.says}")


def _groups(case: Case) -> tuple[Seen[object], Sequence[PlacementGroup], list[Finding]]:
    """The placement groups; a pool of which none was seen is a gap."""
    groups, osd_map = told(case, ceph.PLACEMENT_GROUPS), told(case, ceph.OSD_MAP)
    found = groups.only or ()
    pools = {group.id.partition(".")[0] for group in found}
    gaps = []
    if groups.values and osd_map.only:
        known = osd_map.only.pools
        gaps = [
            unknown(pool.name, "none of its placement groups was seen")
            for pool in known
            if str(pool.id) not in pools
        ]
        gaps += [] if known else [unknown(CEPH, "there is no pool to look at")]
    return joined(groups, osd_map), found, gaps


def _few(ids: Iterable[str]) -> str:
    some = list(ids)
    return ", ".join(some[:3]) + (f" and {len(some) - 3} more" if len(some) > 3 else "")


def groups_clean(case: Case) -> Verdict:
    seen, groups, findings = _groups(case)
    states: dict[str, list[str]] = {}
    for group in groups:
        if not group.is_clean:
            states.setdefault(group.state, []).append(group.id)
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
    """Each placement group's copies are now on as many machines as it has copies."""
    want = wanted(case, "copies_count")["copies_count"]
    seen, groups, findings = _groups(case)
    tree = osd_tree(case)
    hosts = tree.only.hosts if tree.only else {}
    host_of = {osd.id: host for host, osds in hosts.items() for osd in osds}
    short: dict[tuple[str, ...], list[str]] = {}
    for group in groups if tree.values else ():
        machines = {host_of[osd] for osd in group.acting if osd in host_of}
        if len(machines) < want:
            short.setdefault(tuple(sorted(machines)), []).append(group.id)
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
    target = wanted(case, "copies_count", "min_copies_count")
    seen = told(case, ceph.OSD_MAP)
    pools = seen.only.pools if seen.only else ()
    findings = [] if pools or not seen.values else [unknown(CEPH, "there is no pool")]
    for pool in pools:
        where = f"pool {pool.name}"
        if pool.type != _REPLICATED:
            findings.append(Finding(where, "expected whole copies, seen an erasure-coded pool"))
            continue
        findings += [
            Finding(where, f"expected {word} {target[key]:g}, seen {word} {number}")
            for key, word, number in _copies(pool)
            if number != target[key]
        ]
    copies = [(key, number) for pool in pools for key, _, number in _copies(pool)]
    return conclude(
        findings,
        seen,
        proven=f"all {len(pools)} pools keep {target['copies_count']:g} copies",
        measured={key: min(number for of, number in copies if of == key) for key, _ in copies},
        target=target,
    )


def _copies(pool: Pool) -> Iterator[tuple[str, str, int]]:
    """For each declared number of copies of a pool: its target, its name in Ceph, its value."""
    yield "copies_count", "size", pool.size
    yield "min_copies_count", "min_size", pool.min_size


def domain_is_host(case: Case) -> Verdict:
    """Reads the steps of each pool's rule; a domain above the host (rack) separates hosts too."""
    crush, osd_map = told(case, ceph.CRUSH), told(case, ceph.OSD_MAP)
    findings: list[Finding] = []
    pools: Sequence[Pool] = ()
    if crush.only and osd_map.only:
        pools = osd_map.only.pools
        findings = [it for pool in pools for it in _domain(pool, crush.only)]
        findings += [] if pools else [unknown(CEPH, "there is no pool")]
    proven = f"the rules of all {len(pools)} pools keep each copy on another machine"
    return conclude(findings, joined(crush, osd_map), proven=proven)


def _domain(pool: Pool, crush: Crush) -> Iterator[Finding]:
    where = f"pool {pool.name}"
    try:
        domain = domain_of(pool, crush)
    except ValueError as error:
        yield unknown(where, str(error))
        return
    if crush.types.get(domain, -1) < crush.types["host"]:
        text = f"expected the failure domain host, seen {domain}"
        yield Finding(where, f"{text} (rule {crush.rules[pool.crush_rule].name})")


def domain_of(pool: Pool, crush: Crush) -> str:
    """The failure domain of a pool's rule; ValueError when it cannot be told, with the reason."""
    rule = crush.rules.get(pool.crush_rule)
    if rule is None:
        raise ValueError(f"Ceph does not tell its CRUSH rule {pool.crush_rule}")
    try:
        return failure_domain(rule.steps)
    except ValueError as error:
        raise ValueError(f"its CRUSH rule {pool.crush_rule}: {error}") from error


def failure_domain(steps: Iterable[CrushStep]) -> str:
    """The type of bucket of which each holds one copy at most; ValueError when it cannot be told.

    The steps are read from the lowest choice upwards. A step that chooses several buckets may put
    several copies into their common parent, so only the chosen type separates copies. A step that
    chooses one bucket adds nothing. Several draws (take … emit) are independent and may choose the
    same OSD: "none".
    """
    draws: list[list[tuple[int, str]]] = []
    for step in steps:
        if step.op == "take":
            draws.append([])
        elif step.op in (*_CHOOSES, *_CHOOSES_LEAVES):
            if not draws or step.num is None or step.type is None:
                raise ValueError(f"its step {step.op} is incomplete")
            draws[-1].append((step.num, step.type))
        elif not _OTHERS.fullmatch(step.op):
            raise ValueError(f"its step {step.op} is not known")
    if len(draws) != 1:
        return "none"
    for number, kind in reversed(draws[0]):
        if number != 1:
            return kind
    raise ValueError("it chooses but one place")


def scrubbed(case: Case) -> Verdict:
    """Uses each placement group's last scrubs, at the time of the look.

    A group that was never scrubbed counts from its creation, as in Ceph itself. In a cluster that
    is younger than the target, it is not due yet.
    """
    target = wanted(case, "scrub_age_days", "deep_scrub_age_days")
    seen, groups, findings = _groups(case)
    at = case.of(ceph.CEPH.name)[case.cluster.name].at if groups else 0.0
    scrubs = {
        "scrub_age_days": ("scrubbed", {it.id: at - it.scrubbed for it in groups}),
        "deep_scrub_age_days": ("deep scrubbed", {it.id: at - it.deep_scrubbed for it in groups}),
    }
    measured: dict[str, float] = {}
    for key, (word, ages_s) in scrubs.items():
        ages = {name: age_s / _DAY_S for name, age_s in ages_s.items()}
        late = {name: age for name, age in ages.items() if age > target[key]}
        ahead = [name for name, age_s in ages_s.items() if age_s < -_AHEAD_S]
        if late:
            worst = max(late, key=late.__getitem__)
            text = f"expected every placement group {word} in {target[key]:g}"
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
