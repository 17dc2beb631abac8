"""W5-EQUAL: work that waits and sessions are moved, or their loss is declared."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase

from harness.checks.findings import Finding, conclude, failed, look, unknown, wanted
from harness.core.model import Case, Verdict
from harness.facts.queues import QUEUES_AND_SESSIONS, QueuesAndSessions, Sides
from harness.facts.schema import Item, Unknown

_KEY = "differences_count"


def queues_moved(case: Case) -> Verdict:
    """Each queue of the source is at the target, with as many messages.

    More of them are as wrong as fewer: a task that is worked on twice makes two instances.
    """
    return _judged(case, "queues", case.cluster.queues_lost, lambda it: it.queues, _same)


def sessions_moved(case: Case) -> Verdict:
    """The target has at least as many keys of each prefix as the source."""
    return _judged(case, "sessions", case.cluster.sessions_lost, lambda it: it.sessions, _as_many)


def _same(source: int, target: int | None) -> str:
    if target is None:
        return f"expected the queue with {source} messages at the target, seen no such queue"
    return "" if source == target else f"expected {source} messages at the target, seen {target}"


def _as_many(source: int, target: int | None) -> str:
    here = target or 0
    return "" if here >= source else f"expected at least {source} keys at the target, seen {here}"


def _judged(
    case: Case,
    kind: str,
    lost: Mapping[str, str] | None,
    pick: Callable[[QueuesAndSessions], Item[Sides]],
    differ: Callable[[int, int | None], str],
) -> Verdict:
    target = wanted(case, _KEY)
    seen = look(case, QUEUES_AND_SESSIONS)
    findings: list[Finding] = []
    moved = passed = 0
    if lost is None:
        findings.append(unknown("the profile", f"it declares no {kind}"))
    if seen.only is not None:
        item = pick(seen.only)
        if isinstance(item, Unknown):
            findings.append(unknown(kind, item.error))
        else:
            for name, count in item.value.source.items():
                says = differ(count, item.value.target.get(name))
                if says and _is_lost(name, lost or ()):
                    passed += 1
                elif says:
                    findings.append(Finding(name, says))
                else:
                    moved += 1
            if not item.value.source:
                findings.append(unknown(kind, f"the source has no {kind}: nothing was compared"))
    but = f", {passed} are lost on purpose" if passed else ""
    return conclude(
        findings,
        seen,
        proven=f"{moved} {'queues' if kind == 'queues' else 'prefixes of keys'} are moved{but}",
        measured={_KEY: failed(findings)} if seen.values else {},
        target=target,
    )


def _is_lost(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, it) for it in patterns)


CHECKS = {
    "every queue is moved, or declared lost": queues_moved,
    "every session is moved, or declared lost": sessions_moved,
}
