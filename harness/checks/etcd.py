"""W1-ETCD: the cluster's memory has its members, a leader, room, and a disk that is fast enough."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.checks.findings import Facts, Finding, conclude, facts, unknown, wanted
from harness.checks.quantiles import count, quantile
from harness.model import Case, Verdict

_PROBE = "host-facts"
# Below this many samples a p99 is the worst single one: then the whole life of the member counts.
_ENOUGH = 100


def _each(case: Case, item: str) -> Facts:
    return facts(case, _PROBE, f"etcd {item}", case.cluster.servers)


def members_and_leader(case: Case) -> Verdict:
    target = wanted(case, "members_count")
    lists, states = _each(case, "members"), _each(case, "status")
    findings = [
        finding
        for name, value in lists.values.items()
        for finding in _membership(case, name, value.get("members", []), target["members_count"])
    ]
    # The gateway leaves out a number that is zero, which here means that there is no leader.
    told = {name: value.get("leader", "0") for name, value in states.values.items()}
    leaders = {name: leader for name, leader in told.items() if leader != "0"}
    findings += [
        Finding(name, "expected a leader, seen none") for name in told if name not in leaders
    ]
    if len(set(leaders.values())) > 1:
        follows = ", ".join(f"{name} follows {_hex(leader)}" for name, leader in leaders.items())
        findings.append(Finding("etcd", f"expected one leader, seen several: {follows}"))
    counts = [len(value.get("members", [])) for value in lists.values.values()]
    return conclude(
        findings,
        Facts({**lists.values, **states.values}, (*lists.unseen, *states.unseen)),
        proven=f"every server sees the same {target['members_count']:g} members and one leader",
        measured={"members_count": min(counts)} if counts else {},
        target=target,
    )


def _membership(
    case: Case, name: str, members: Sequence[Mapping[str, Any]], want: float
) -> list[Finding]:
    """What is wrong with the members as one server lists them."""
    voting = [member for member in members if not member.get("isLearner")]
    found = []
    if len(voting) != want or len(members) != want:
        seen = f"{len(voting)} voting of {len(members)}"
        found.append(Finding(name, f"expected {want:g} voting members, seen {seen}"))
    for server in case.cluster.servers:
        if not any(_is_at(member, server.address) for member in voting):
            text = f"expected {server.name} ({server.address}) among the members, seen it absent"
            found.append(Finding(name, text))
    return found


def _is_at(member: Mapping[str, Any], address: str) -> bool:
    return any(f"//{address}:" in url for url in member.get("peerURLs", ()))


def _hex(identity: str) -> str:
    """A member's identity as etcd prints it; its gateway gives decimal digits."""
    return format(int(identity), "x")


def no_alarm(case: Case) -> Verdict:
    seen = _each(case, "alarms")
    findings = [
        Finding(name, f"expected no alarm, seen {alarm.get('alarm', alarm)}")
        for name, value in seen.values.items()
        for alarm in value.get("alarms", ())
    ]
    return conclude(findings, seen, proven="no member raises an alarm")


def database_has_room(case: Case) -> Verdict:
    target = wanted(case, "db_quota_percent")
    limit = target["db_quota_percent"]
    seen = _each(case, "metrics")
    findings, shares = [], []
    for name, value in seen.values.items():
        if not value["db_bytes"] or not value["quota_bytes"]:
            findings.append(unknown(name, "etcd does not tell its database's size and quota"))
            continue
        share = 100 * value["db_bytes"] / value["quota_bytes"]
        shares.append(share)
        if share > limit:
            text = f"expected a database below {limit:g} % of its quota, seen {share:.1f} %"
            findings.append(Finding(name, text))
    return conclude(
        findings,
        seen,
        proven=f"every member's database is below {limit:g} % of its quota",
        measured={"db_quota_percent": max(shares)} if shares else {},
        target=target,
    )


def log_is_fast(case: Case) -> Verdict:
    seen = _each(case, "metrics")
    histograms = {name: value["wal_fsync_s"] for name, value in seen.values.items()}
    return _p99_below(case, seen, histograms, "wal_fsync_p99_ms", "writing the log (WAL fsync)")


def peers_are_near(case: Case) -> Verdict:
    seen = _each(case, "metrics")
    who = _members_by_id(case)
    histograms = {
        f"{name} → {who.get(peer, peer)}": histogram
        for name, value in seen.values.items()
        for peer, histogram in value["peer_rtt_s"].items()
        if peer in who
    }
    findings = [
        unknown(name, "etcd does not tell its round trips to every other member")
        for name, value in seen.values.items()
        if len(value["peer_rtt_s"]) < len(case.cluster.servers) - 1
    ]
    return _p99_below(
        case, seen, histograms, "peer_rtt_p99_ms", "the round trip to a peer", findings
    )


def _members_by_id(case: Case) -> Mapping[str, str]:
    """Machine names by member identity in hexadecimal, as the metrics label peers."""
    return {
        _hex(member["ID"]): server.name
        for value in _each(case, "members").values.values()
        for member in value.get("members", ())
        for server in case.cluster.servers
        if _is_at(member, server.address)
    }


def _p99_below(
    case: Case,
    seen: Facts,
    histograms: Mapping[str, Mapping[str, Any]],
    key: str,
    what: str,
    findings: Sequence[Finding] = (),
) -> Verdict:
    """Is the p99 of each histogram at most the target ``key``, in milliseconds?"""
    target = wanted(case, key)
    against, worst = list(findings), []
    for where, histogram in histograms.items():
        recent = count(histogram["in_window"]) >= _ENOUGH
        buckets = histogram["in_window" if recent else "since_start"]
        p99 = quantile(0.99, buckets)
        if p99 is None:
            against.append(unknown(where, f"etcd has no sample of {what}"))
            continue
        worst.append(p99 * 1000)
        if p99 * 1000 > target[key]:
            span = "while we looked" if recent else "since etcd started"
            text = f"p99 of {what}: expected at most {target[key]:g} ms, seen {p99 * 1000:.1f} ms"
            against.append(Finding(where, f"{text} over {count(buckets)} samples {span}"))
    return conclude(
        against,
        seen,
        proven=f"p99 of {what} is at most {max(worst, default=0):.1f} ms on every member",
        measured={key: max(worst)} if worst else {},
        target=target,
    )


CHECKS = {
    "etcd has every member and one leader": members_and_leader,
    "etcd raises no alarm": no_alarm,
    "etcd's database has room": database_has_room,
    "etcd writes its log fast enough": log_is_fast,
    "etcd's members are near enough to each other": peers_are_near,
}
