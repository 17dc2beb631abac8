"""What service accounts may do: SubjectAccessReviews, which the API server answers and forgets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import ClassVar

from harness.core.declared import ActDeclared
from harness.core.errors import NotProven
from harness.core.model import JSON
from harness.core.parallel import in_each
from harness.facts.access import ACCESS, Account
from harness.facts.schema import Item, attempt, dump
from harness.probes.probe import Timing
from harness.settings.access import FORBIDDEN, act
from harness.transport import Kube, Reach
from harness.transport.objects import flag, has_account_token, listed, must, part, text

_REVIEWS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
_AT_ONCE = 8  # accounts: each asks its questions one after the other


class AccessReviews:
    """Asks what each declared account may do, and each that pods beside them use.

    An account that the profile does not declare is asked for the usual forbidden acts.
    """

    name: ClassVar[str] = ACCESS.name
    sentence: ClassVar[str] = "what every service account may do"
    timing: ClassVar[Timing] = Timing.AT_START
    within_s: ClassVar[float] = 60.0

    def targets(self, reach: Reach) -> Sequence[str]:
        return [reach.profile.name]

    def observe(self, reach: Reach, target: str) -> JSON:
        declared = reach.profile.cluster().accounts
        if not declared:
            raise NotProven(
                "the profile declares no service accounts", remedy="declare `service_accounts:`"
            )
        spaces = sorted({name.partition("/")[0] for name in declared})
        used = {name: pod for space in spaces for name, pod in _used(reach.kube, space).items()}
        asked: dict[str, Iterable[ActDeclared]] = {
            name: [act(it, name.partition("/")[0]) for it in FORBIDDEN] for name in used
        }
        asked |= {name: (*it.may, *it.must_not) for name, it in declared.items()}
        exists = {name for space in spaces for name in _existing(reach.kube, space)}

        def look(name: str) -> Item[Account]:
            return attempt(partial(_account, reach.kube, name, asked[name], exists, used))

        return dump(in_each(asked, look, at_once=_AT_ONCE))


def _account(
    kube: Kube,
    name: str,
    acts: Iterable[ActDeclared],
    exists: Iterable[str],
    used: Mapping[str, str],
) -> Account:
    answers = {str(it): attempt(partial(_is_allowed, kube, name, it)) for it in acts}
    return Account(exists=name in exists, pod=used.get(name, ""), allowed=answers)


def _used(kube: Kube, space: str) -> dict[str, str]:
    """The accounts that a namespace's pods have a token of, each with one of these pods."""
    return {
        f"{space}/{text(it, 'spec', 'serviceAccountName') or 'default'}": must(
            it, "metadata", "name"
        )
        for it in listed(kube.get(f"/api/v1/namespaces/{space}/pods"), "items")
        if text(it, "status", "phase") not in ("Succeeded", "Failed")
        and has_account_token(part(it, "spec"))
    }


def _existing(kube: Kube, space: str) -> list[str]:
    items = listed(kube.get(f"/api/v1/namespaces/{space}/serviceaccounts"), "items")
    return [f"{space}/{must(it, 'metadata', 'name')}" for it in items]


def _is_allowed(kube: Kube, name: str, act: ActDeclared) -> bool:
    """Whether the account may do it; NotProven if the API server could not decide that.

    The API server counts the groups that it is told: rights of all service accounts come from
    groups. It calls a binding to a missing role an error, which allows nothing.
    """
    space, _, account = name.partition("/")
    groups = ["system:serviceaccounts", f"system:serviceaccounts:{space}", "system:authenticated"]
    attributes = {
        "verb": act.verb,
        "group": act.group,
        "resource": act.resource,
        "subresource": act.subresource,
        "namespace": act.namespace,
    }
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {
            "user": f"system:serviceaccount:{space}:{account}",
            "groups": groups,
            "resourceAttributes": {key: it for key, it in attributes.items() if it},
        },
    }
    status = part(kube.create(_REVIEWS, review), "status")
    error = text(status, "evaluationError") or ""
    if not flag(status, "allowed") and error and "not found" not in error:
        raise NotProven(f"the API server could not decide {act}: {error[:200]}")
    return flag(status, "allowed")
