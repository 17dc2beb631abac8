"""Service accounts: what the API server answers about them, and what comes of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from harness.checks import CHECKS
from harness.core.errors import NotProven
from harness.core.model import Outcome, Verdict
from harness.settings.access import FORBIDDEN, ServiceAccount, act
from harness.tests.clean_case import case, clean
from harness.tests.clean_cluster import CLUSTER
from harness.tests.fake_transport import FakeKube
from harness.tests.probe_rig import PROFILE, observe, reach

NEEDS = "each service account may do what it needs"
REFUSED = "no service account may do what it must not"
INSTANCE = "saasodoo/instance-service"
DEPLOY, EXEC = "create deployments.apps in saasodoo", "create pods/exec in saasodoo"
REVIEWS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"


def judged(check: str, change: Callable[[Any], object] = lambda _: None) -> Verdict:
    there = clean()
    change(there["access-reviews"][CLUSTER.name])
    return CHECKS[check](case(there))


def answer(account: str, of: str, value: object) -> Callable[[Any], object]:
    return lambda it: it[account]["value"]["allowed"].update({of: value})


# --- the checks ---


@pytest.mark.parametrize("check", [NEEDS, REFUSED])
def test_accounts_with_just_their_rights_pass(check: str) -> None:
    assert judged(check).outcome is Outcome.PASS


@pytest.mark.parametrize(
    ("check", "change", "says"),
    [
        (
            NEEDS,
            answer(INSTANCE, DEPLOY, {"value": False}),
            f"{INSTANCE}: expected that it may {DEPLOY}, seen that it may not",
        ),
        (
            NEEDS,
            lambda it: it[INSTANCE]["value"].update(exists=False),
            "expected this service account, seen none of that name",
        ),
        (
            REFUSED,
            answer(INSTANCE, EXEC, {"value": True}),
            f"{INSTANCE}: it may {EXEC} (pod instance-service-1)",
        ),
        (
            REFUSED,
            answer("saasodoo/default", "create secrets in saasodoo", {"value": True}),
            "it may create secrets in saasodoo (pod user-service-1), and is not declared",
        ),
    ],
)
def test_an_account_with_too_little_or_too_much_fails(
    check: str, change: Callable[[Any], object], says: str
) -> None:
    verdict = judged(check, change)
    assert (verdict.outcome, says in verdict.reason) == (Outcome.FAIL, True), verdict.reason


@pytest.mark.parametrize(
    ("check", "change"),
    [
        (NEEDS, answer(INSTANCE, DEPLOY, {"error": "the API did not answer"})),
        (NEEDS, lambda it: it.pop(INSTANCE)),
        (REFUSED, answer(INSTANCE, EXEC, {"error": "the API did not answer"})),
        (REFUSED, lambda it: it[INSTANCE]["value"]["allowed"].pop(EXEC)),
        (REFUSED, lambda it: it["saasodoo/default"]["value"]["allowed"].clear()),
    ],
)
def test_an_act_without_an_answer_is_not_proven(
    check: str, change: Callable[[Any], object]
) -> None:
    assert judged(check, change).outcome is Outcome.NOT_PROVEN


# --- the probe ---


def answers(allowed: Callable[[Mapping[str, str]], bool], **status: object) -> FakeKube:
    """An API server with one pod under its own account and one under the default one."""
    accounts = [{"metadata": {"name": it}} for it in ("default", "instance-service")]
    pods = [
        {"metadata": {"name": "instance-0"}, "spec": {"serviceAccountName": "instance-service"}},
        {"metadata": {"name": "user-0"}, "spec": {}, "status": {"phase": "Running"}},
        {
            "metadata": {"name": "web-0"},
            "spec": {"serviceAccountName": "web", "automountServiceAccountToken": False},
        },
    ]
    space = "/api/v1/namespaces/saasodoo"

    def review(manifest: Any) -> object:
        return {"status": {"allowed": allowed(manifest["spec"]["resourceAttributes"]), **status}}

    return FakeKube(
        {
            f"{space}/pods": {"items": pods},
            f"{space}/serviceaccounts": {"items": accounts},
            f"POST {REVIEWS}": review,
        }
    )


def test_declared_accounts_and_those_that_pods_use_are_asked_about() -> None:
    kube = answers(lambda it: it["resource"] == "deployments")
    value = observe("access-reviews", reach(kube=kube), "contabo")
    assert sorted(value) == ["saasodoo/database-service", "saasodoo/default", INSTANCE]
    declared, used = value[INSTANCE]["value"], value["saasodoo/default"]["value"]
    assert declared["pod"] == "instance-0"
    assert declared["allowed"][DEPLOY] == {"value": True}
    assert value["saasodoo/database-service"]["value"]["exists"] is False
    assert {str(act(it, "saasodoo")) for it in FORBIDDEN} == set(used["allowed"])


def test_a_pod_that_mounts_the_token_by_a_volume_of_its_own_is_found() -> None:
    """No automatic token, and the token in a projected volume all the same."""

    def found(source: Mapping[str, object]) -> list[str]:
        kube = answers(lambda _: True)
        volume = {"name": "api", "projected": {"sources": [{"configMap": {}}, source]}}
        pods: Any = kube.get("/api/v1/namespaces/saasodoo/pods")
        pods["items"][2]["spec"]["volumes"] = [volume]
        there = clean()
        value = observe("access-reviews", reach(kube=kube), "contabo")
        there["access-reviews"] = {CLUSTER.name: value}
        return [it for it in CHECKS[REFUSED](case(there)).where if it == "saasodoo/web"]

    token = {"expirationSeconds": 3607, "path": "token"}
    assert found({"serviceAccountToken": token}) == ["saasodoo/web"]
    assert found({"serviceAccountToken": token | {"audience": "vault"}}) == []
    assert found({"secret": {"name": "tls"}}) == []


def test_a_review_names_the_groups_of_the_account_and_the_subresource() -> None:
    """Without its groups the API server refuses what it would allow the account itself."""
    kube = answers(lambda _: False)
    observe("access-reviews", reach(kube=kube), "contabo")
    calls: Any = kube.calls
    specs = [sent["spec"] for verb, sent in calls if verb.startswith("POST")]
    assert {tuple(spec["groups"]) for spec in specs} == {
        ("system:serviceaccounts", "system:serviceaccounts:saasodoo", "system:authenticated")
    }
    exec_, everywhere = (
        {"verb": "create", "resource": "pods", "subresource": "exec", "namespace": "saasodoo"},
        {"verb": "get", "resource": "nodes", "subresource": "proxy"},
    )
    asked = [spec["resourceAttributes"] for spec in specs]
    assert exec_ in asked
    assert everywhere in asked


def test_a_binding_to_a_missing_role_allows_nothing_and_another_error_proves_nothing() -> None:
    missing = 'clusterrole.rbac.authorization.k8s.io "old" not found'
    for error, seen in ((missing, {"value": False}), ("webhook timed out", None)):
        kube = answers(lambda _: False, evaluationError=error)
        value = observe("access-reviews", reach(kube=kube), "contabo")
        found = value[INSTANCE]["value"]["allowed"][EXEC]
        assert found == seen or (seen is None and "webhook timed out" in found["error"])


def test_a_profile_without_accounts_proves_nothing() -> None:
    bare = PROFILE.model_copy(update={"service_accounts": {}})
    with pytest.raises(NotProven, match="declares no service accounts"):
        observe("access-reviews", reach(kube=answers(lambda _: False), like=bare), "contabo")


# --- the declaration ---


@given(
    st.sampled_from(["get", "create", "*"]),
    st.sampled_from(["pods", "pods/exec", "deployments.apps", "deployments.apps/scale", "*.*"]),
    st.sampled_from(["", " in kube-system", " everywhere"]),
)
def test_an_act_is_read_and_written_in_the_same_words(verb: str, what: str, where: str) -> None:
    written = f"{verb} {what}{where}"
    assert str(act(written, "own")) == (written if where else f"{written} in own")


@pytest.mark.parametrize("wrong", ["pods", "get", "get pods in", "get Pods", "get pods/", ""])
def test_other_words_are_no_act(wrong: str) -> None:
    with pytest.raises(ValidationError, match="is no act"):
        ServiceAccount.model_validate({"may": [wrong]})


def test_what_an_account_needs_is_not_forbidden_to_it() -> None:
    account = ServiceAccount(may=("create secrets",)).declared("saasodoo/web")
    assert "create secrets in saasodoo" not in map(str, account.must_not)
    assert "list secrets in saasodoo" in map(str, account.must_not)
    with pytest.raises(ValidationError, match="is in `may` and in `must_not`"):
        ServiceAccount.model_validate({"may": ["get pods"], "must_not": ["get pods"]})
