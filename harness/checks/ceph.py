"""W3-CEPH: Ceph reports itself healthy: health, quorum, clocks, operations, crashes, versions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TypeVar

from harness.checks.findings import Finding, Seen, conclude, joined, look, unknown, wanted
from harness.core.model import Case, Verdict
from harness.facts import ceph
from harness.facts.ceph import HealthCheck, OsdTree
from harness.facts.ceph_names import by_machine
from harness.facts.schema import Part, Unknown, part_of

T = TypeVar("T")

CEPH = "Ceph"
# What the other side of an operation would wait for.
_SLOW = re.compile(r"SLOW_OP|SLOW_REQUEST|SLOW_METADATA_IO")
# Warnings that outlive what they tell of, by code, with how to look and how they clear. An OSD
# keeps the first four for a day after its last slow operation or stalled read, or until it restarts
# (bluestore_slow_ops_warn_lifetime, bdev_stalled_read_warn_lifetime). Of heartbeats, Ceph judges
# the slowest of the averages of 1, 5 and 15 minutes (PGMap::get_health_checks).
LINGERING: Mapping[str, str] = {
    **dict.fromkeys(
        (
            "BLUESTORE_SLOW_OP_ALERT",
            "BLOCK_DEVICE_STALLED_READ_ALERT",
            "DB_DEVICE_STALLED_READ_ALERT",
            "WAL_DEVICE_STALLED_READ_ALERT",
        ),
        "one in a day is enough: it clears a day after the last, or when the OSD restarts; "
        "`ceph log last 1000 info cluster` says since when, the OSD's log each time",
    ),
    **dict.fromkeys(
        ("OSD_SLOW_PING_TIME_BACK", "OSD_SLOW_PING_TIME_FRONT"),
        "an average of up to 15 minutes: it clears a quarter of an hour after the last slow one; "
        "`ceph tell osd.N dump_osd_network 0` says the last minute's",
    ),
}
# Flags that only record an upgrade, or that the numbers of groups are set by hand.
_HARMLESS = {"sortbitwise", "recovery_deletes", "purged_snapdirs", "pglog_hardlimit"}
_HARMLESS |= {"noautoscale"}
# Flags that keep Ceph from serving, from healing or from looking after its data.
_HOLDING = {"full", "pause", "pauserd", "pausewr", "noup", "nodown", "noout", "noin"}
_HOLDING |= {"nobackfill", "norebalance", "norecover", "noscrub", "nodeep-scrub", "nosnaptrim"}
_HOLDING |= {"notieragent", "nearfull", "backfillfull"}


def told(case: Case, item: Part[T]) -> Seen[T]:
    """One item of what Ceph says of itself, as the value of the place "Ceph"."""
    seen = look(case, ceph.CEPH)
    report = seen.only
    if report is None:
        return Seen({}, seen.unseen)
    if report.through is None:
        return Seen({}, (unknown(CEPH, "no monitor answered"),))
    found = part_of(report.items, item)
    if isinstance(found, Unknown):
        return Seen({}, (unknown(CEPH, f"{item.name}: {found.error}"),))
    return Seen({CEPH: found.value})


def osd_tree(case: Case) -> Seen[OsdTree]:
    """The tree of OSDs, each CRUSH host under the name of the declared machine that it is."""
    seen = told(case, ceph.OSD_TREE)
    machines = [machine.name for machine in case.cluster.machines]
    renamed = {
        place: replace(tree, hosts=by_machine(tree.hosts, machines))
        for place, tree in seen.values.items()
    }
    return Seen(renamed, seen.unseen)


def healthy(case: Case) -> Verdict:
    """HEALTH_OK, or only warnings that the profile declares; muted warnings count in full."""
    declared = case.cluster.ceph_warnings
    seen = told(case, ceph.HEALTH)
    findings, excused = [], []
    for health in seen.values.values():
        for code, check in health.checks.items():
            # Ceph keeps a message without turning its own state: a note, and not even a warning.
            if check.severity == "HEALTH_OK":
                continue
            if check.severity == "HEALTH_WARN" and code in declared:
                excused.append(code)
            else:
                findings.append(Finding(CEPH, _complaint(code, check, code in health.muted)))
        hidden = [code for code in health.muted if code not in {*health.checks, *declared}]
        findings += [
            Finding(CEPH, f"expected no warning muted that is not declared, seen {code}")
            for code in hidden
        ]
        if health.status != "HEALTH_OK" and not health.checks:
            findings.append(Finding(CEPH, f"expected HEALTH_OK, seen {health.status}"))
    return conclude(findings, seen, proven=f"Ceph says that it is well{beside(excused, declared)}")


def beside(excused: Iterable[str], declared: Mapping[str, str]) -> str:
    """The words, after a comma, for warnings that are there and declared; else empty."""
    told_of = [f"{code} ({declared[code]})" for code in excused]
    return f", beside what is declared: {', '.join(told_of)}" if told_of else ""


def _complaint(code: str, check: HealthCheck, muted: bool) -> str:
    detail = "; ".join(check.detail[:3])
    silenced = " (muted)" if muted else ""
    says = f"{code}{silenced}: {check.says}{f' ({detail})' if detail else ''}{lingers(code)}"
    wanted_ = "no error" if check.severity != "HEALTH_WARN" else "only declared warnings"
    return f"expected {wanted_}, seen {says}"


def lingers(code: str) -> str:
    """The words, after a semicolon, for a warning that outlives what it tells of; else empty."""
    return f"; {LINGERING[code]}" if code in LINGERING else ""


def quorum(case: Case) -> Verdict:
    """If no place gets an answer: a failure if every place was asked, else unknown."""
    target = wanted(case, "monitors_count")
    whole = look(case, ceph.CEPH)
    report = whole.only
    if report is not None and report.through is None:
        says = [f"{place}: {words}" for place, words in report.silent.items()]
        text = f"expected monitors that answer, seen none: {'; '.join(says)}"
        findings = [unknown(place, why) for place, why in report.lost.items()]
        findings = findings or [Finding(CEPH, text)]
        return conclude(findings, whole, proven="", target=target)
    seen = told(case, ceph.QUORUM)
    findings, number = [], {}
    for said in seen.values.values():
        number = {"monitors_count": len(said.members)}
        findings += [
            Finding(name, "expected this monitor in quorum, seen it out of it")
            for name in said.monitors
            if name not in said.members
        ]
        if len(said.members) < target["monitors_count"]:
            text = f"expected {target['monitors_count']:g} monitors in quorum"
            findings.append(Finding(CEPH, f"{text}, seen {len(said.members)}"))
    proven = f"all {number.get('monitors_count')} monitors are in quorum"
    return conclude(findings, seen, proven=proven, measured=number, target=target)


def clocks_agree(case: Case) -> Verdict:
    """Uses the monitors' own comparison; Ceph warns when the skew exceeds its limit."""
    key = "monitor_skew_ms"
    target = wanted(case, key)
    members, clocks = told(case, ceph.QUORUM), told(case, ceph.CLOCKS)
    findings, skews = [], []
    known = clocks.only or {}
    names = members.only.members if members.only and clocks.values else ()
    for name in names:
        clock = known.get(name)
        if clock is None:
            findings.append(unknown(name, "the monitors have not compared its clock yet"))
            continue
        skew_ms = abs(clock.skew_s) * 1000
        skews.append(skew_ms)
        if skew_ms > target[key] or clock.health != "HEALTH_OK":
            text = f"expected its clock within {target[key]:g} ms of the first monitor's, seen"
            findings.append(Finding(name, f"{text} {skew_ms:.0f} ms ({clock.health})"))
    return conclude(
        findings,
        joined(members, clocks),
        proven=f"the monitors' clocks agree to {max(skews, default=0):.0f} ms",
        measured={key: max(skews)} if skews else {},
        target=target,
    )


def nothing_slow(case: Case) -> Verdict:
    """Uses Ceph's own warnings: an operation is slow after ``osd_op_complaint_time``, 30 s.

    A slow-operation warning that the profile declares does not count here either.
    """
    declared = case.cluster.ceph_warnings
    seen = told(case, ceph.HEALTH)
    slow = [
        (code, check)
        for health in seen.values.values()
        for code, check in health.checks.items()
        if _SLOW.search(code) and check.severity != "HEALTH_OK"
    ]
    excused = [code for code, check in slow if check.severity == "HEALTH_WARN" and code in declared]
    findings = [
        Finding(CEPH, f"expected no slow operation, seen {code}: {_with_detail(code, check)}")
        for code, check in slow
        if code not in excused
    ]
    return conclude(findings, seen, proven=f"no operation is slow{beside(excused, declared)}")


def _with_detail(code: str, check: HealthCheck) -> str:
    return "; ".join([check.says, *check.detail[:3]]) + lingers(code)


def no_new_crash(case: Case) -> Verdict:
    """No crash of any age is unarchived; Ceph's health check forgets one after two weeks."""
    seen = told(case, ceph.CRASHES)
    newest = {crash.entity: crash for crash in sorted(seen.only or (), key=lambda crash: crash.at)}
    findings = [
        Finding(entity, f"expected no unread crash, seen one at {crash.at} ({crash.id})")
        for entity, crash in newest.items()
    ]
    return conclude(findings, seen, proven="no crash of a daemon is unread")


def one_version(case: Case) -> Verdict:
    seen = told(case, ceph.VERSIONS)
    kinds: dict[str, list[str]] = {}
    for said in seen.values.values():
        for kind, counts in said.items():
            for version, number in counts.items():
                kinds.setdefault(version, []).append(f"{number} {kind}")
    findings = []
    if len(kinds) > 1:
        says = [f"{_short(version)} ({', '.join(who)})" for version, who in kinds.items()]
        findings.append(Finding(CEPH, f"expected one version everywhere, seen {', '.join(says)}"))
    elif not kinds and seen.values:
        findings.append(unknown(CEPH, "it names no daemon's version"))
    proven = f"every daemon runs {_short(next(iter(kinds), ''))}"
    return conclude(findings, seen, proven=proven)


def _short(version: str) -> str:
    """Number and build of ``ceph version 16.2.15 (618f4408929889…) pacific (stable)``."""
    number = version.removeprefix("ceph version ").partition(" ")[0]
    build = re.search(r"\(([0-9a-f]{9,})\)", version)
    return f"{number} ({build.group(1)[:9]})" if build else number


def no_flag(case: Case) -> Verdict:
    """Covers flags of all of Ceph, and of one OSD, machine or device class (``osd.1: noout``)."""
    declared = case.cluster.ceph_flags
    seen = told(case, ceph.OSD_MAP)
    findings = []
    for said in seen.values.values():
        for entry in said.flags:
            place, _, flag = entry.rpartition(": ")
            if flag in declared or flag in _HARMLESS:
                continue
            if flag in _HOLDING:
                text = f"expected no flag that is not declared, seen {flag}"
                findings.append(Finding(place or CEPH, text))
            else:
                findings.append(unknown(place or CEPH, f"what its flag {flag} does is not known"))
    return conclude(findings, seen, proven="no flag holds Ceph back")


CHECKS = {
    "Ceph is healthy": healthy,
    "every Ceph monitor is in quorum": quorum,
    "the monitors' clocks agree": clocks_agree,
    "no operation in Ceph is slow": nothing_slow,
    "no crash of Ceph is unread": no_new_crash,
    "every daemon of Ceph runs one version": one_version,
    "no flag holds Ceph back": no_flag,
}
