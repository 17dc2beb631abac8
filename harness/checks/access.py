"""W7-RBAC: service accounts may do what they need, and nothing that leads to more rights."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from harness.checks.findings import Finding, conclude, failed, look, unknown, wanted
from harness.core.declared import AccountDeclared
from harness.core.model import Case, Verdict
from harness.facts.access import ACCESS, Account, Accounts
from harness.facts.schema import Item, Unknown

_NOT_ASKED = Unknown("it was not asked for")


def needs_are_allowed(case: Case) -> Verdict:
    """Each declared account exists, and may do what it is declared to need."""
    declared = case.cluster.accounts
    seen = look(case, ACCESS)
    findings = [
        finding
        for found in seen.values.values()
        for name, account in declared.items()
        for finding in _needs(name, account, found.get(name, _NOT_ASKED))
    ]
    acts = sum(len(it.may) for it in declared.values())
    return conclude(
        [*findings, *_nothing(declared)],
        seen,
        proven=f"{len(declared)} service accounts may do the {acts} acts that they need",
    )


def _needs(name: str, declared: AccountDeclared, item: Item[Account]) -> Iterator[Finding]:
    if isinstance(item, Unknown):
        yield unknown(name, item.error)
        return
    if not item.value.exists:
        yield Finding(name, "expected this service account, seen none of that name")
    for act in map(str, declared.may):
        answer = item.value.allowed.get(act, _NOT_ASKED)
        if isinstance(answer, Unknown):
            yield unknown(name, f"{act}: {answer.error}")
        elif not answer.value:
            yield Finding(name, f"expected that it may {act}, seen that it may not")


def nothing_more_is_allowed(case: Case) -> Verdict:
    """No account may do what it is declared not to, or one of the usual forbidden acts.

    That holds for each account that pods use in the namespaces of the declared ones: what it may do
    on purpose belongs into the profile.
    """
    key = "allowed_count"
    seen = look(case, ACCESS)
    findings = [
        finding
        for found in seen.values.values()
        for finding in _refusals(found, case.cluster.accounts)
    ]
    accounts = sum(len(found) for found in seen.values.values())
    return conclude(
        [*findings, *_nothing(case.cluster.accounts)],
        seen,
        proven=f"{accounts} service accounts are refused everything that they must not do",
        measured={key: failed(findings)} if seen.values else {},
        target=wanted(case, key),
    )


def _refusals(found: Accounts, declared: Mapping[str, AccountDeclared]) -> Iterator[Finding]:
    for name in dict.fromkeys([*declared, *found]):
        item = found.get(name, _NOT_ASKED)
        if isinstance(item, Unknown):
            yield unknown(name, item.error)
            continue
        known = declared.get(name)
        user = f" (pod {item.value.pod})" if item.value.pod else ""
        says = f"it may {{}}{user}" if known else f"it may {{}}{user}, and is not declared"
        # An account that is not declared was asked for forbidden acts alone.
        acts = item.value.allowed if known is None else map(str, known.must_not)
        yield from _forbidden(name, says, acts, item.value)


def _forbidden(name: str, says: str, acts: Iterable[str], account: Account) -> Iterator[Finding]:
    asked = list(acts)
    if not asked:
        yield unknown(name, "no forbidden act was asked for")
    for act in asked:
        answer = account.allowed.get(act, _NOT_ASKED)
        if isinstance(answer, Unknown):
            yield unknown(name, f"{act}: {answer.error}")
        elif answer.value:
            yield Finding(name, says.format(act))


def _nothing(declared: object) -> list[Finding]:
    text = "it declares no service account (service_accounts)"
    return [] if declared else [unknown("the profile", text)]


CHECKS = {
    "each service account may do what it needs": needs_are_allowed,
    "no service account may do what it must not": nothing_more_is_allowed,
}
