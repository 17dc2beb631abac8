"""W5-POSTGRES: pods on claims of their own, declared settings, and answers by name."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from harness.backup.equality.session import Server
from harness.checks import CHECKS
from harness.core.model import Outcome, Verdict
from harness.settings.databases import Postgres
from harness.tests.clean_case import case, clean
from harness.tests.clean_cluster import CLUSTER
from harness.tests.fake_transport import FakeKube
from harness.tests.postgres_server import BINARIES, IS_THERE, postgres, psql
from harness.tests.probe_rig import PROFILE, observe, reach
from harness.transport import Completed

CLAIMS = "PostgreSQL is ready on claims of its own"
SETTINGS = "PostgreSQL has its declared settings and limits"
ANSWERS = "each database answers from a pod by its name"
ALL = (CLAIMS, SETTINGS, ANSWERS)
Change = Callable[[Any], object]


def judged(check: str, change: Change = lambda _: None) -> Verdict:
    seen = clean()
    change(seen["postgres"][CLUSTER.name])
    return CHECKS[check](case(seen))


def running(it: Any) -> Any:
    return it["running"]["value"]


def folder(**changes: object) -> Change:
    return lambda it: running(it)["pods"]["db-2"]["folders"]["value"]["/data"].update(changes)


def pod(**changes: object) -> Change:
    return lambda it: running(it)["pods"]["db-2"].update(changes)


def answer(**changes: object) -> Change:
    return lambda it: it["answers"]["value"]["billing"].update(changes)


def test_postgresql_as_declared_passes() -> None:
    assert {check: judged(check).outcome for check in ALL} == dict.fromkeys(ALL, Outcome.PASS)


@pytest.mark.parametrize(
    ("check", "change", "says"),
    [
        (
            CLAIMS,
            folder(volume="emptyDir", claim=""),
            "db-2: expected /data on a claim, seen emptyDir",
        ),
        (
            CLAIMS,
            folder(volume="hostPath", claim=""),
            "db-2: expected /data on a claim, seen hostPath",
        ),
        (
            CLAIMS,
            folder(volume="", claim=""),
            "db-2: expected /data on a claim, seen the container's own file system",
        ),
        (
            CLAIMS,
            folder(others=["db-1"]),
            "db-2: expected /data on a claim of its own, seen db-2, which db-1 mounts too",
        ),
        (CLAIMS, pod(ready=False), "db-2: expected a ready pod, seen one that is not"),
        (
            CLAIMS,
            pod(owner="ReplicaSet/db-5f9"),
            "db-2: expected a pod of a StatefulSet or of CloudNativePG's cluster, "
            "seen one of ReplicaSet/db-5f9",
        ),
        (
            CLAIMS,
            lambda it: running(it)["workloads"]["Cluster/db"].update(ready=2),
            "Cluster/db: expected 3 ready pods, seen 2",
        ),
        (
            SETTINGS,
            lambda it: it["instances"]["db-1"]["declared"]["max_connections"].update(setting="100"),
            "db-1: expected max_connections = 200, seen 100",
        ),
        (SETTINGS, pod(limits={}), "db-2: expected the limit memory: 2Gi, seen none"),
        (
            ANSWERS,
            answer(status=2, system="", says="psql: error: connection refused"),
            "billing at pooler: expected an answer, seen: psql: error: connection refused",
        ),
        (
            ANSWERS,
            answer(system="9"),
            "billing at pooler: expected the answer of the declared pods, "
            "seen that of another PostgreSQL (9)",
        ),
    ],
)
def test_what_is_not_as_declared_fails(check: str, change: Change, says: str) -> None:
    verdict = judged(check, change)
    assert (verdict.outcome, verdict.reason) == (Outcome.FAIL, says)


@pytest.mark.parametrize(
    ("check", "change"),
    [
        (CLAIMS, lambda it: it.pop("running")),
        (CLAIMS, lambda it: running(it)["pods"].clear()),
        (CLAIMS, lambda it: running(it)["workloads"].update({"Cluster/db": {"error": "403"}})),
        (CLAIMS, pod(folders={"error": "PostgreSQL was not asked"})),
        (CLAIMS, pod(folders={"value": {}})),
        (SETTINGS, lambda it: it["instances"]["db-1"]["declared"].clear()),
        (SETTINGS, lambda it: it["instances"].clear()),
        (SETTINGS, lambda it: it.pop("running")),
        (ANSWERS, lambda it: it.pop("answers")),
        (ANSWERS, lambda it: it["answers"]["value"].clear()),
        (ANSWERS, answer(status=127, says="sh: exec: psql: not found")),
        (ANSWERS, answer(status=2, says='FATAL:  password authentication failed for user "x"')),
    ],
)
def test_what_could_not_be_seen_is_not_proven(check: str, change: Change) -> None:
    assert judged(check, change).outcome is Outcome.NOT_PROVEN


@pytest.mark.parametrize(
    ("check", "fields"),
    [(SETTINGS, {"settings": {}}), (SETTINGS, {"limits": {}}), (ANSWERS, {"databases": ()})],
)
def test_a_profile_that_declares_nothing_proves_nothing(check: str, fields: Any) -> None:
    declared = replace(CLUSTER, postgres=replace(CLUSTER.postgres, **fields))
    verdict = CHECKS[check](replace(case(clean()), cluster=declared))
    assert verdict.outcome is Outcome.NOT_PROVEN


# --- the probe ---

SPACE = "/api/v1/namespaces/saasodoo/pods"
READY = {
    "phase": "Running",
    "podIP": "10.42.0.9",
    "conditions": [{"type": "Ready", "status": "True"}],
}
INSTANCE = {
    "in_recovery": False,
    "settings": {},
    "overrides": [],
    "declared": {},
    "system": "7301",
    "folders": ["/var/lib/postgresql/data/pgdata", "/var/lib/postgresql/data/pgdata/pg_wal"],
}
# As CloudNativePG makes a pod with a volume of its own for the log of writes.
CNPG_POD = {
    "metadata": {"name": "db-1", "ownerReferences": [{"kind": "Cluster", "name": "db"}]},
    "spec": {
        "containers": [
            {
                "name": "postgres",
                "resources": {"limits": {"cpu": "2", "memory": "2Gi"}},
                "volumeMounts": [
                    {"mountPath": "/var/lib/postgresql/data", "name": "pgdata"},
                    {"mountPath": "/var/lib/postgresql/wal", "name": "pg-wal"},
                    {"mountPath": "/run", "name": "scratch-data"},
                ],
            }
        ],
        "volumes": [
            {"name": "pgdata", "persistentVolumeClaim": {"claimName": "db-1"}},
            {"name": "pg-wal", "persistentVolumeClaim": {"claimName": "db-1-wal"}},
            {"name": "scratch-data", "emptyDir": {}},
        ],
    },
    "status": READY,
}
BACKUP_POD = {
    "metadata": {"name": "copier"},
    "spec": {"volumes": [{"name": "d", "persistentVolumeClaim": {"claimName": "db-1-wal"}}]},
    "status": {"phase": "Running"},
}
DONE_POD = {
    "metadata": {"name": "db-1-initdb"},
    "spec": {"volumes": [{"name": "d", "persistentVolumeClaim": {"claimName": "db-1"}}]},
    "status": {"phase": "Succeeded"},
}
CLUSTERS = "/apis/postgresql.cnpg.io/v1/namespaces/saasodoo/clusters/db"
SETS = "/apis/apps/v1/namespaces/saasodoo/statefulsets/db"


class Pods(FakeKube):
    """A cluster whose pods answer psql, and readlink with the links of CloudNativePG."""

    def exec(
        self,
        namespace: str,
        pod: str,
        argv: Sequence[str],
        *,
        stdin: str = "",
        within_s: float = 30.0,
    ) -> Completed:
        if argv[0] == "psql":
            return Completed(status=0, stdout=json.dumps(INSTANCE), stderr="")
        if argv[0] == "readlink":
            real = "/var/lib/postgresql/wal/pg_wal" if argv[2].endswith("/pg_wal") else argv[2]
            return Completed(status=0, stdout=f"{real}\n", stderr="")
        self.calls.append(("STDIN", stdin))
        return Completed(status=0, stdout="7301|1\n", stderr="")


def seen(objects: dict[str, object], *, asked: Any = None, **more: object) -> tuple[Any, FakeKube]:
    told = {"namespace": "saasodoo", "selector": "app=db", "answers": asked, **more}
    postgres = Postgres.model_validate(told)
    like = PROFILE.model_copy(update={"postgres": postgres})
    selected = f"{SPACE}?labelSelector={quote(postgres.selector, safe='')}"
    kube = Pods({selected: {"items": [CNPG_POD, DONE_POD]}, **objects})
    return observe("postgres", reach(kube=kube, like=like), "contabo"), kube


def test_each_folder_of_data_is_found_on_its_volume_through_links() -> None:
    value, _ = seen(
        {
            SPACE: {"items": [CNPG_POD, BACKUP_POD, DONE_POD]},
            CLUSTERS: {"spec": {"instances": 3}, "status": {"readyInstances": 2}},
        },
        operator="cloudnative-pg",
        cluster="db",
    )
    found = value["running"]["value"]
    assert found["workloads"] == {"Cluster/db": {"wanted": 3, "ready": 2}}
    assert found["pods"]["db-1"]["limits"] == {"cpu": "2", "memory": "2Gi"}
    data, log = found["pods"]["db-1"]["folders"]["value"].values()
    assert data == {"volume": "persistentVolumeClaim", "claim": "db-1", "others": []}
    assert log == {"volume": "persistentVolumeClaim", "claim": "db-1-wal", "others": ["copier"]}


def test_a_statefulset_without_a_ready_pod_counts_none() -> None:
    owner = {"name": "db-1", "ownerReferences": [{"kind": "StatefulSet", "name": "db"}]}
    pods = {"items": [{**CNPG_POD, "metadata": owner}]}
    value, _ = seen(
        {SPACE: pods, f"{SPACE}?labelSelector=app%3Ddb": pods, SETS: {"spec": {}, "status": {}}}
    )
    assert value["running"]["value"]["workloads"] == {"StatefulSet/db": {"wanted": 1, "ready": 0}}


def test_a_database_is_asked_by_name_and_its_password_is_no_argument(tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("canary\n")
    database = {"user": "auth_service", "password_file": str(password), "table": "users"}
    asked = {
        "name": "saasodoo-db-pooler-rw",
        "namespace": "saasodoo",
        "selector": "app=db",
        "databases": {"auth": database},
    }
    value, kube = seen({SPACE: {"items": [CNPG_POD]}}, asked=asked)
    answer = {"status": 0, "says": "", "system": "7301"}
    assert value["answers"] == {"value": {"auth": answer}}
    assert ("STDIN", "canary\n") in kube.calls
    assert "canary" not in json.dumps(value)


# --- a real server: what the statements really answer ---


class Here(FakeKube):
    """Runs the commands of pods on this machine."""

    def exec(
        self,
        namespace: str,
        pod: str,
        argv: Sequence[str],
        *,
        stdin: str = "",
        within_s: float = 30.0,
    ) -> Completed:
        done = subprocess.run(
            argv,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=within_s,
            env={**os.environ, "PATH": f"{BINARIES}:{os.environ['PATH']}"},
        )
        return Completed(status=done.returncode, stdout=done.stdout, stderr=done.stderr)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    if not IS_THERE:
        pytest.skip("postgresql-15 is not installed")
    with tempfile.TemporaryDirectory(prefix="cutover-pg-") as place:
        Path(place).chmod(0o755)
        with postgres(Path(place, "db")) as server:
            psql(server, "postgres", TABLES)
            yield server


TABLES = """
create role auth_service login;
create table users (id int);
grant select (id) on users to auth_service;
"""


@pytest.mark.slow
def test_a_real_server_answers_as_the_probe_expects(server: Server, tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("theirs\n")
    tables = {"postgres": "users", "template1": "nowhere"}
    asked = {
        "user": "auth_service",
        "password_file": str(password),
    }
    like = PROFILE.model_copy(
        update={
            "postgres": Postgres.model_validate(
                {
                    "namespace": "saasodoo",
                    "selector": "app=db",
                    "psql": ["psql", "--username=postgres", f"--host={server.host}"],
                    "settings": {"shared_buffers": "16MB", "no_such_setting": "1"},
                    "answers": {
                        "name": "postgres",
                        "namespace": "saasodoo",
                        "selector": "app=db",
                        "databases": {it: {**asked, "table": tables[it]} for it in tables},
                    },
                }
            )
        }
    )
    assert like.postgres is not None
    assert like.postgres.answers is not None
    # A folder of sockets stands for the name of a Service.
    answers = like.postgres.answers.model_copy(update={"name": server.host})
    like = like.model_copy(
        update={"postgres": like.postgres.model_copy(update={"answers": answers})}
    )
    pods = {"items": [{**CNPG_POD, "metadata": {"name": "db-1"}}]}
    kube = Here({SPACE: pods, f"{SPACE}?labelSelector=app%3Ddb": pods})
    value = observe("postgres", reach(kube=kube, like=like), "contabo")

    instance = value["instances"]["db-1"]
    assert instance["declared"] == {"shared_buffers": {"setting": "16MB", "source": "command line"}}
    assert instance["folders"] == [f"{server.host}/data", f"{server.host}/data/pg_wal"]
    folders = value["running"]["value"]["pods"]["db-1"]["folders"]["value"]
    assert {it["volume"] for it in folders.values()} == {""}, "no volume is mounted there"
    good, bad = (value["answers"]["value"][it] for it in tables)
    assert good == {"status": 0, "says": "", "system": instance["system"]}
    assert bad["status"] != 0
    assert 'relation "nowhere" does not exist' in bad["says"]
