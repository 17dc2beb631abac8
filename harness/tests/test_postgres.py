"""Who must have a write before PostgreSQL confirms it: settings as real operators leave them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import pytest

from harness.checks import CHECKS
from harness.core.model import Outcome, Verdict
from harness.settings.databases import Postgres
from harness.tests.clean_case import case, clean
from harness.tests.clean_cluster import CLUSTER
from harness.tests.fake_transport import FakeKube
from harness.tests.probe_rig import PROFILE, observe, reach
from harness.transport import Completed

ALONE = "no write is acknowledged by the primary alone"
SPACE = "/api/v1/namespaces/saasodoo"


def judged(
    change: Callable[[Any], object] = lambda _: None, operator: str | None = None
) -> Verdict:
    seen = clean()
    change(seen["postgres"][CLUSTER.name])
    there = case(seen)
    if operator is not None:
        declared = replace(CLUSTER.postgres, operator=operator)
        there = replace(there, cluster=replace(CLUSTER, postgres=declared))
    return CHECKS[ALONE](there)


def primary(it: Any) -> Any:
    return it["instances"]["db-1"]


def setting(key: str, value: str, source: str = "configuration file") -> Callable[[Any], object]:
    return lambda it: primary(it)["settings"].update({key: {"setting": value, "source": source}})


def told(**settings: str) -> Callable[[Any], object]:
    return lambda it: it.update(operator={"value": settings})


def test_a_primary_that_waits_for_a_standby_passes() -> None:
    assert judged().outcome is Outcome.PASS
    assert judged(told(), operator="").outcome is Outcome.PASS


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (setting("synchronous_standby_names", ""), "synchronous_standby_names is empty"),
        (setting("synchronous_commit", "local"), "synchronous_commit = local"),
        (setting("synchronous_commit", "off"), "synchronous_commit = off"),
        (setting("fsync", "off"), "fsync = off"),
        (setting("full_page_writes", "off"), "full_page_writes = off"),
    ],
)
def test_a_setting_that_confirms_too_early_fails(
    change: Callable[[Any], object], says: str
) -> None:
    verdict = judged(change)
    assert (verdict.outcome, verdict.where) == (Outcome.FAIL, ("db-1",))
    assert f"seen {says}" in verdict.reason


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ({"role": "billing_service", "database": ""}, "for role billing_service"),
        ({"role": "", "database": "billing"}, "for every role in database billing"),
        ({"role": "odoo", "database": "odoo_a"}, "for role odoo in database odoo_a"),
    ],
)
def test_a_role_or_database_that_does_not_wait_fails(override: dict[str, str], says: str) -> None:
    """ALTER ROLE … SET synchronous_commit = off is invisible in the server's own settings."""
    more = {**override, "setting": "synchronous_commit=off"}
    verdict = judged(lambda it: primary(it).update(overrides=[more]))
    assert (verdict.outcome, says in verdict.reason) == (Outcome.FAIL, True), verdict.reason


def test_a_role_that_waits_for_more_passes() -> None:
    more = {"role": "billing_service", "database": "", "setting": "synchronous_commit=remote_apply"}
    assert judged(lambda it: primary(it).update(overrides=[more])).outcome is Outcome.PASS


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            told(minSyncReplicas="1", maxSyncReplicas="2"),
            "expected spec.postgresql.synchronous, which waits for standbys that are away, "
            "seen maxSyncReplicas: 2, minSyncReplicas: 1",
        ),
        (told(), "seen no synchronous standby"),
        (
            told(method="any", number="1", dataDurability="preferred"),
            "expected dataDurability: required",
        ),
    ],
)
def test_cloudnative_pg_that_may_write_alone_later_fails(
    change: Callable[[Any], object], says: str
) -> None:
    """Now the primary waits: the operator lowers that once the standbys are away."""
    verdict = judged(change)
    assert (verdict.outcome, says in verdict.reason) == (Outcome.FAIL, True), verdict.reason


def test_cloudnative_pg_requires_durability_unless_it_is_told_otherwise() -> None:
    assert judged(told(method="first", number="1")).outcome is Outcome.PASS


@pytest.mark.parametrize(
    ("settings", "outcome"),
    [
        ({"synchronous_mode": "true", "synchronous_mode_strict": "true"}, Outcome.PASS),
        ({"synchronous_mode": "quorum", "synchronous_mode_strict": "true"}, Outcome.PASS),
        ({"synchronous_mode": "true"}, Outcome.FAIL),
        ({"synchronous_mode": "false", "synchronous_mode_strict": "true"}, Outcome.FAIL),
        ({}, Outcome.FAIL),
    ],
)
def test_patroni_waits_only_in_strict_mode(settings: dict[str, str], outcome: Outcome) -> None:
    assert judged(told(**settings), operator="patroni").outcome is outcome


@pytest.mark.parametrize(
    "change",
    [
        lambda it: it.update(instances={}),
        lambda it: it["instances"].update({"db-1": {"error": "psql ended with status 2"}}),
        lambda it: it["instances"].update({"db-2": {"error": "psql ended with status 2"}}),
        lambda it: primary(it)["settings"].pop("fsync"),
        setting("synchronous_commit", "on", source="user"),
        lambda it: it.update(operator={"error": "the API did not answer"}),
        lambda it: it.update(operator={"value": None}),
    ],
)
def test_what_could_not_be_asked_is_not_proven(change: Callable[[Any], object]) -> None:
    assert judged(change).outcome is Outcome.NOT_PROVEN


def test_two_primaries_fail() -> None:
    verdict = judged(lambda it: it["instances"]["db-2"].update(in_recovery=False))
    assert verdict.outcome is Outcome.FAIL
    assert "db-1: expected one primary, seen 2" in verdict.reason


# --- the probe ---

ANSWER = {
    "in_recovery": False,
    "settings": {
        "fsync": {"setting": "on", "source": "default"},
        "full_page_writes": {"setting": "on", "source": "default"},
        "synchronous_commit": {"setting": "on", "source": "default"},
        "synchronous_standby_names": {
            "setting": 'ANY 1 ("db-2","db-3")',
            "source": "configuration file",
        },
    },
    "overrides": [],
    "declared": {},
    "system": "7301",
    "folders": ["/data", "/data/pg_wal"],
}
SAID = Completed(status=0, stdout=json.dumps(ANSWER) + "\n", stderr="")
READY = {
    "phase": "Running",
    "podIP": "10.42.0.9",
    "conditions": [{"type": "Ready", "status": "True"}],
}
CLUSTERS = "/apis/postgresql.cnpg.io/v1/namespaces/saasodoo/clusters/db"


def seen(answer: Completed, objects: dict[str, Any], **declared: Any) -> Any:
    """What the probe sees of one pod, as the profile declares the database."""
    told = {"namespace": "saasodoo", "selector": "cnpg.io/cluster=db", **declared}
    postgres = Postgres.model_validate(told)
    like = PROFILE.model_copy(update={"postgres": postgres})
    pods = [
        {"metadata": {"name": "db-1"}, "status": READY},
        {"metadata": {"name": "db-1-initdb-x7k2p"}, "status": {"phase": "Succeeded"}},
    ]
    path = f"{SPACE}/pods?labelSelector={quote(postgres.selector, safe='')}"
    kube = FakeKube({path: {"items": pods}, **objects}, in_pods={("db-1", "psql"): answer})
    return observe("postgres", reach(kube=kube, like=like), "contabo")


def test_each_pod_that_is_not_done_is_asked_by_psql() -> None:
    value = seen(SAID, {})
    assert value["instances"] == {"db-1": ANSWER}
    assert value["operator"] == {"value": None}


@pytest.mark.parametrize(
    "answer",
    [
        Completed(status=2, stdout="", stderr="psql: error: connection refused"),
        Completed(status=0, stdout="", stderr=""),
        Completed(status=0, stdout="[]", stderr=""),
    ],
)
def test_a_pod_that_does_not_answer_is_told(answer: Completed) -> None:
    assert "error" in seen(answer, {})["instances"]["db-1"]


def test_the_settings_of_cloudnative_pg_are_those_of_its_cluster() -> None:
    synchronous = {"method": "any", "number": 1, "dataDurability": "required"}
    spec = {"instances": 3, "postgresql": {"synchronous": synchronous}}
    told = {"operator": "cloudnative-pg", "cluster": "db"}
    new = seen(SAID, {CLUSTERS: {"spec": spec}}, **told)
    assert new["operator"]["value"] == {**synchronous, "number": "1"}
    as_built = {"instances": 3, "minSyncReplicas": 1, "maxSyncReplicas": 2, "postgresql": {}}
    old = seen(SAID, {CLUSTERS: {"spec": as_built}}, **told)
    assert old["operator"]["value"] == {"minSyncReplicas": "1", "maxSyncReplicas": "2"}
    assert "error" in seen(SAID, {}, **told)["operator"]


@pytest.mark.parametrize(
    ("declared", "selector"),
    [
        ({}, "cnpg.io/cluster=db"),
        ({"operator": "patroni"}, "cnpg.io/cluster=db"),
        ({"operator": "cloudnative-pg"}, "cnpg.io/cluster=db,cnpg.io/podRole=instance"),
        (
            {"operator": "cloudnative-pg", "selector": "cnpg.io/podRole in (instance)"},
            "cnpg.io/podRole in (instance)",
        ),
    ],
)
def test_pods_of_pgbouncer_which_have_the_label_of_their_cluster_are_no_postgresql(
    declared: dict[str, str], selector: str
) -> None:
    told = {"namespace": "saasodoo", "selector": "cnpg.io/cluster=db", "cluster": "db"}
    assert Postgres.model_validate(told | declared).selector == selector


@pytest.mark.parametrize("kind", ["endpoints", "configmaps"])
def test_patronis_configuration_is_in_an_annotation(kind: str) -> None:
    config = {"ttl": 30, "synchronous_mode": True, "synchronous_mode_strict": True}
    held = {"metadata": {"annotations": {"config": json.dumps(config)}}}
    value = seen(SAID, {f"{SPACE}/{kind}/db-config": held}, operator="patroni", cluster="db")
    assert value["operator"]["value"] == {
        "synchronous_mode": "true",
        "synchronous_mode_strict": "true",
    }
    assert "db-config" in seen(SAID, {}, operator="patroni", cluster="db")["operator"]["error"]
