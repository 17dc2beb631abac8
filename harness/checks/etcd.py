"""W1-ETCD: etcd has all its members, one leader, room, and a disk that is fast enough."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import TypeVar

from harness.checks.findings import Finding, Seen, conclude, items, joined, look, unknown, wanted
from harness.core.model import Case, Verdict
from harness.facts.etcd import (
    ALARMS,
    LISTENS,
    MEMBERS,
    METRICS,
    NO_LEADER,
    STATUS,
    WRITES,
    Buckets,
    Member,
    round_trips,
)
from harness.facts.schema import Entry, Unknown

T = TypeVar("T")

# With fewer samples the p99 is only the worst one.
_ENOUGH = 100


def _each(case: Case, entry: Entry[T]) -> Seen[T]:
    return items(case, entry, case.cluster.servers)


def members_and_leader(case: Case) -> Verdict:
    target = wanted(case, "members_count")
    lists, states = _each(case, MEMBERS), _each(case, STATUS)
    findings = [
        finding
        for name, listed in lists.values.items()
        for finding in _membership(case, name, listed.members, target["members_count"])
    ]
    leaders = {name: it.leader for name, it in states.values.items() if it.leader != NO_LEADER}
    findings += [
        Finding(name, "expected a leader, seen none")
        for name in states.values
        if name not in leaders
    ]
    listening = _each(case, LISTENS)
    findings += [
        Finding(name, "expected a running etcd member, seen its port closed")
        for name, listens in listening.values.items()
        if not listens
    ]
    if len(set(leaders.values())) > 1:
        follows = ", ".join(f"{name} follows {_hex(leader)}" for name, leader in leaders.items())
        findings.append(Finding("etcd", f"expected one leader, seen several: {follows}"))
    counts = [len(listed.members) for listed in lists.values.values()]
    return conclude(
        findings,
        joined(lists, states, listening),
        proven=f"every server sees the same {target['members_count']:g} members and one leader",
        measured={"members_count": min(counts)} if counts else {},
        target=target,
    )


def _membership(case: Case, name: str, members: Sequence[Member], want: float) -> list[Finding]:
    """What is wrong with the member list of one server."""
    voting = [member for member in members if not member.is_learner]
    found = []
    if len(voting) != want or len(members) != want:
        seen = f"{len(voting)} voting of {len(members)}"
        found.append(Finding(name, f"expected {want:g} voting members, seen {seen}"))
    for server in case.cluster.servers:
        if not any(_is_at(member, server.address) for member in voting):
            text = f"expected {server.name} ({server.address}) among the members, seen it absent"
            found.append(Finding(name, text))
    return found


def _is_at(member: Member, address: str) -> bool:
    return any(f"//{address}:" in url for url in member.peer_urls)


def _hex(identity: str) -> str:
    """A member's identity as etcd prints it; its gateway gives decimal digits."""
    return format(int(identity), "x")


def no_alarm(case: Case) -> Verdict:
    seen = _each(case, ALARMS)
    findings = [
        Finding(name, f"expected no alarm, seen {alarm.alarm}")
        for name, raised in seen.values.items()
        for alarm in raised.alarms
    ]
    return conclude(findings, seen, proven="no member raises an alarm")


def database_has_room(case: Case) -> Verdict:
    target = wanted(case, "db_quota_percent")
    limit = target["db_quota_percent"]
    seen = _each(case, METRICS)
    findings, shares = [], []
    for name, value in seen.values.items():
        if not value.db_bytes or not value.quota_bytes:
            findings.append(unknown(name, "etcd does not tell its database's size and quota"))
            continue
        share = 100 * value.db_bytes / value.quota_bytes
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
    """Uses each member's own histogram of WAL fsyncs, over a burst of small writes."""
    key = "wal_fsync_p99_ms"
    target = wanted(case, key)
    whole = look(case, WRITES)
    members = whole.only.members if whole.only else {}
    findings, worst = [], [0.0]
    for server in case.cluster.servers if whole.values else ():
        found = members.get(server.name, Unknown("its log was not looked at"))
        if isinstance(found, Unknown):
            findings.append(unknown(server.name, found.error))
            continue
        buckets = found.wal_fsync_s
        number, p99 = count(buckets), quantile(0.99, buckets)
        if p99 is None or (number < _ENOUGH and not _late(above(target[key] / 1000, buckets))):
            why = f"a p99 takes {_ENOUGH} samples, and etcd synced its log only {number} times"
            findings.append(unknown(server.name, why))
        else:
            worst.append(p99 * 1000)
            if p99 * 1000 > target[key]:
                says = f"seen {p99 * 1000:.1f} ms over {number} writes of the log"
                text = f"expected a p99 of at most {target[key]:g} ms for a WAL fsync, {says}"
                findings.append(Finding(server.name, text))
    return conclude(
        findings,
        whole,
        proven=f"the p99 of a WAL fsync is at most {max(worst):.1f} ms on every member",
        measured={key: max(worst)} if len(worst) > 1 else {},
        target=target,
    )


def peers_are_near(case: Case) -> Verdict:
    """Uses small exchanges that each member's machine made with every other member."""
    key = "peer_rtt_p99_ms"
    target = wanted(case, key)
    findings, parts, worst = [], [], [0.0]
    for peer in case.cluster.servers:
        others = [server for server in case.cluster.servers if server.name != peer.name]
        part = items(case, round_trips(peer.name), others)
        parts.append(part)
        for name, samples in part.values.items():
            where = f"{name} → {peer.name}"
            p99 = nearest_rank(0.99, samples)
            late = sum(sample * 1000 > target[key] for sample in samples)
            if p99 is None or (len(samples) < _ENOUGH and not _late(late)):
                findings.append(unknown(where, f"only {len(samples)} round trips were made"))
                continue
            worst.append(p99 * 1000)
            if p99 * 1000 > target[key]:
                text = f"expected a p99 of at most {target[key]:g} ms for a round trip"
                says = f"seen {p99 * 1000:.1f} ms over {len(samples)} of them"
                findings.append(Finding(where, f"{text}, {says}"))
    return conclude(
        findings,
        joined(*parts),
        proven=f"the p99 of a round trip between members is at most {max(worst):.1f} ms",
        measured={key: max(worst)} if len(worst) > 1 else {},
        target=target,
    )


def _late(number: int) -> bool:
    """True if enough samples miss the target to prove that the p99 misses it.

    A very slow member gives few samples. They suffice: more samples could not lower the p99.
    """
    return number > 0.01 * _ENOUGH


def quantile(q: float, buckets: Buckets) -> float | None:
    """The q-quantile (0 < q ≤ 1) of buckets ``[upper bound, samples at or below it]``, ascending.

    Linear between a bucket's bounds, as Prometheus' histogram_quantile: the truth lies within the
    same bucket. Beyond the last finite bound (None stands for +Inf) it is that bound, and so a
    lower limit. None when there is no sample.
    """
    finite = [(bound, count) for bound, count in buckets if bound is not None]
    total = max((count for _, count in buckets), default=0)
    if total <= 0 or not finite:
        return None
    rank = q * total
    lower, below = 0.0, 0.0
    for bound, count in finite:
        if count >= rank:
            inside = count - below
            return lower + (bound - lower) * ((rank - below) / inside if inside else 1.0)
        lower, below = bound, count
    return finite[-1][0]


def above(limit: float, buckets: Buckets) -> int:
    """How many samples certainly exceed the limit: above the first bound that is not below it."""
    under = [number for bound, number in buckets if bound is not None and bound >= limit]
    return count(buckets) - under[0] if under else 0


def nearest_rank(q: float, samples: Sequence[float]) -> float | None:
    """The q-quantile (0 < q ≤ 1) of samples, which is one of them; None when there is none."""
    return sorted(samples)[ceil(q * len(samples)) - 1] if samples else None


def count(buckets: Buckets) -> int:
    """How many samples the histogram holds."""
    return max((number for _, number in buckets), default=0)


CHECKS = {
    "etcd has every member and one leader": members_and_leader,
    "etcd raises no alarm": no_alarm,
    "etcd's database has room": database_has_room,
    "etcd writes its log fast enough": log_is_fast,
    "etcd's members are near enough to each other": peers_are_near,
}
