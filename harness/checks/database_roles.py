"""W5-ACCESS: each service's role reads and writes what it must, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase

from harness.checks.findings import Finding, conclude, failed, look, unknown, wanted
from harness.core.declared import RoleDeclared
from harness.core.model import Case, Verdict
from harness.facts.database_roles import DATABASE_ROLES, Roles
from harness.facts.schema import Item, Unknown

_NOT_ASKED = Unknown("it was not asked for")


def same_roles(case: Case) -> Verdict:
    """Each role of one side exists on the other, unless it differs on purpose."""
    findings: list[Finding] = []
    both = 0
    for pair, found in _pairs(case):
        if isinstance(found, Unknown):
            findings.append(unknown(_place(pair), found.error))
        elif isinstance(found.source, Unknown):
            findings.append(unknown(_place(pair), f"the source: {found.source.error}"))
        elif isinstance(found.target, Unknown):
            findings.append(unknown(_place(pair), f"the target: {found.target.error}"))
        else:
            before, now = set(found.source.value), set(found.target.value)
            both += len(before & now)
            allowed = case.cluster.equality_different.get(pair, {})
            for role in sorted(before ^ now):
                # An account of MariaDB is a user; a role has no host.
                word = "user" if "@" in role else "role"
                if not any(fnmatchcase(f"{word} {role}", it) for it in allowed):
                    there = "source" if role in before else "target"
                    says = f"expected the role on both sides, seen on the {there} alone"
                    findings.append(Finding(_place(pair, role), says))
    return conclude(
        findings, look(case, DATABASE_ROLES), proven=f"both sides have the same {both} roles"
    )


def roles_can_work(case: Case) -> Verdict:
    """Each declared role exists on the target, logs in there, and can do all that it must."""
    roles = [it for pair in case.cluster.database_roles.values() for it in pair.values()]
    acts = sum(len(it.may) for it in roles)
    return conclude(
        list(_of_roles(case, _needs)),
        look(case, DATABASE_ROLES),
        proven=f"{len(roles)} roles can do the {acts} acts that they need",
    )


def roles_can_do_no_more(case: Case) -> Verdict:
    """No declared role can do any part of what it must not."""
    key = "allowed_count"
    target = wanted(case, key)
    seen = look(case, DATABASE_ROLES)
    roles = [it for pair in case.cluster.database_roles.values() for it in pair.values()]
    acts = sum(len(it.must_not) for it in roles)
    findings = list(_of_roles(case, _refusals))
    return conclude(
        findings,
        seen,
        proven=f"{len(roles)} roles were refused the {acts} acts that they must not do",
        measured={key: failed(findings)} if seen.values else {},
        target=target,
    )


Judge = Callable[[str, RoleDeclared, Roles, str], Iterator[Finding]]


def _of_roles(case: Case, judge: Judge) -> Iterator[Finding]:
    if not case.cluster.database_roles:
        yield unknown("the profile", "it declares no role (equality.roles)")
    for pair, found in _pairs(case):
        if isinstance(found, Unknown):
            yield unknown(_place(pair), found.error)
            continue
        for role, declared in case.cluster.database_roles[pair].items():
            yield from judge(_place(pair, role), declared, found, role)


def _needs(where: str, declared: RoleDeclared, found: Roles, role: str) -> Iterator[Finding]:
    if not isinstance(found.target, Unknown) and role not in found.target.value:
        yield Finding(where, "expected the role on the target, seen none of that name")
        return
    for act in declared.may:
        answer = _answer(found, role, act)
        if isinstance(answer, Unknown):
            yield unknown(where, f"{act}: {answer.error}")
        elif not answer.value:
            yield Finding(where, f"expected that it may {act}, seen that it may not")


def _refusals(where: str, declared: RoleDeclared, found: Roles, role: str) -> Iterator[Finding]:
    for act in declared.must_not:
        answer = _answer(found, role, act)
        if isinstance(answer, Unknown):
            yield unknown(where, f"{act}: {answer.error}")
        elif answer.value:
            yield Finding(where, f"expected that it may not {act}, seen that it may")


def _answer(found: Roles, role: str, act: str) -> Item[bool]:
    tried = found.allowed.get(role, _NOT_ASKED)
    return tried if isinstance(tried, Unknown) else tried.get(act, _NOT_ASKED)


def _pairs(case: Case) -> Iterator[tuple[str, Roles | Unknown]]:
    """What was seen of each pair of servers with declared roles."""
    only = look(case, DATABASE_ROLES).only
    for pair in case.cluster.database_roles if only is not None else ():
        yield pair, (only or {}).get(pair, _NOT_ASKED)


def _place(pair: str, role: str = "every role") -> str:
    return f"{pair}/{role}" if pair else role


CHECKS = {
    "both sides have the same roles": same_roles,
    "every role can do what it must": roles_can_work,
    "no role can do what it must not": roles_can_do_no_more,
}
