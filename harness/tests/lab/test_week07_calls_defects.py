"""Seeded defects of W5-POSTGRES, W7-CALLS and W7-SERVICES: pods that stand for the platform."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from contextlib import suppress

import pytest

from harness.core.errors import TimedOut
from harness.core.waiting import until
from harness.tests.lab import objects
from harness.tests.lab.asking import ask
from harness.tests.lab.world import World

NAMES = "each service has its declared name and port"
THROUGH = "each service reaches what it calls from its own pods"
READS = "each service reads its database"
ONCE = "each side effect is registered exactly once"
ALONE = "no write is acknowledged by the primary alone"
CLAIMS = "PostgreSQL is ready on claims of its own"
SETTINGS = "PostgreSQL has its declared settings and limits"
ANSWERS = "each database answers from a pod by its name"
SPACE = "test-calls"
# As an image of PostgreSQL does it, but on a file system that ends with the pod.
SERVER = (
    "initdb --pgdata=/tmp/data --no-sync --username=postgres --auth=trust >/dev/null && "
    "echo 'host all all all trust' >>/tmp/data/pg_hba.conf && "
    "exec postgres -D /tmp/data -k /tmp -c listen_addresses='*'"
)
UNPRIVILEGED = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
DECLARED = f"""
services:
  namespace: {SPACE}
  names:
    user-service: {{port: 8001}}
    billing-service: {{port: 8004}}
    postgres: {{port: 5432, now: "pooler:6432", because: a pooler is in between}}
  callers:
    user-service:
      selector: app=db
      calls: [user-service, billing-service, postgres]
      reads: {{path: /users.json, has: {{/0: acme}}}}
registrations:
  the webhook: {{namespace: {SPACE}, selector: app=db, command: [cat, /tmp/hooks], entry: billing}}
postgres:
  namespace: {SPACE}
  selector: app=db
  psql: [psql, --username=postgres, --host=/tmp]
  settings: {{work_mem: 4MB}}
  limits: {{memory: 1Gi}}
  answers:
    name: database
    namespace: {SPACE}
    selector: app=db
    databases:
      postgres: {{user: postgres, password_file: PASSWORD, table: invoices}}
"""


@pytest.fixture
def space(world: World) -> Iterator[objects.Namespace]:
    """A database with one webhook, and every declared service before it."""
    with objects.namespace(world, SPACE) as space:
        server = ("sh", "-c", SERVER)
        database = objects.pod("db", world.one.name, *UNPRIVILEGED, *server, labels={"app": "db"})
        database["spec"]["containers"][0]["resources"] = {"limits": {"memory": "1Gi"}}
        space.apply(
            database,
            *(service(*it) for it in (("user-service", 8001), ("billing-service", 8004))),
            service("pooler", 6432),
            service("database", 5432),
        )
        space.ready("db")
        until(
            lambda: sql(space, "select 1").strip() == "1", within_s=120, what="PostgreSQL answers"
        )
        sql(space, "alter system set synchronous_standby_names = 'ANY 1 (*)'")
        sql(space, "select pg_reload_conf()")
        sql(space, "create table invoices (id int)")
        space.run("db", "sh", "-c", "echo http://billing > /tmp/hooks")
        yield space


@pytest.fixture
def profile(world: World) -> str:
    password = world.scratch / "any-password"
    password.write_text("any\n")
    declared = textwrap.dedent(DECLARED).replace("PASSWORD", str(password))
    own = ("services", "registrations")
    changes = [*((world.section(it), "") for it in own), (world.section("postgres"), declared)]
    return world.profile_with(changes)


def service(name: str, port: int, app: str = "db") -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": {"app": app}, "ports": [{"port": port}]},
    }


def sql(space: objects.Namespace, words: str) -> str:
    """PostgreSQL's answer; a commit does not wait for the standby that is not there."""
    psql = ("psql", "--username=postgres", "--host=/tmp", "-XAtqc", words)
    return space.run("db", "env", "PGOPTIONS=-c synchronous_commit=local", *psql)


def until_red(profile: str, probe: str, check: str, *words: str) -> None:
    """Wait until a check fails for reasons with these words: names and endpoints follow later."""
    found: dict[str, tuple[str, str]] = {}

    def red() -> bool:
        outcome, reason = found[check]
        return outcome == "fail" and all(word in reason for word in words)

    def look() -> bool:
        found.update(ask(profile, probe, check))
        return red()

    with suppress(TimedOut):
        until(look, within_s=120, what=f"“{check}” fails")
    assert red(), (words, found)


def until_passed(profile: str, probe: str, *checks: str) -> None:
    """Wait until the checks pass."""
    found: dict[str, tuple[str, str]] = {}

    def look() -> bool:
        found.update(ask(profile, probe, *checks))
        return {outcome for outcome, _ in found.values()} == {"pass"}

    with suppress(TimedOut):
        until(look, within_s=120, what=f"{checks} pass")
    assert {outcome for outcome, _ in found.values()} == {"pass"}, found


@pytest.mark.defect(
    "each service has its declared name and port",
    "each side effect is registered exactly once",
    "no write is acknowledged by the primary alone",
    "PostgreSQL is ready on claims of its own",
    "PostgreSQL has its declared settings and limits",
    "each database answers from a pod by its name",
)
def test_services_webhooks_and_commits_that_are_not_as_declared_are_found(
    space: objects.Namespace, profile: str
) -> None:
    of_postgres = (ALONE, SETTINGS, ANSWERS)
    for probe, checks in (
        ("services", (NAMES,)),
        ("registrations", (ONCE,)),
        ("postgres", of_postgres),
    ):
        until_passed(profile, probe, *checks)
    # The pod's data ends with it.
    outcome, reason = ask(profile, "postgres", CLAIMS)[CLAIMS]
    assert outcome == "fail"
    assert "db: expected a pod of a StatefulSet or of CloudNativePG's cluster" in reason
    assert "expected /tmp/data on a claim, seen the container's own file system" in reason

    space.apply(service("user-service", 80), service("billing-service", 8004, app="none"))
    space.kubectl("delete", "service", "pooler", "database")
    space.run("db", "sh", "-c", "echo http://billing >> /tmp/hooks")
    sql(space, "create role billing_service")
    sql(space, "alter role billing_service set synchronous_commit = off")
    sql(space, "alter system reset synchronous_standby_names")
    sql(space, "alter system set work_mem = '8MB'")
    sql(space, "select pg_reload_conf()")

    until_red(
        profile,
        "services",
        NAMES,
        "user-service:8001: expected TCP port 8001 of the Service, seen 80",
        "billing-service:8004: expected a ready pod behind the Service, seen none",
        "pooler:6432 (postgres:5432 under the Swarm): expected a Service, seen none",
    )
    until_red(profile, "postgres", ANSWERS, "postgres at database: expected an answer, seen: psql")
    outcome, reason = ask(profile, "registrations", ONCE)[ONCE]
    assert (outcome, "expected one entry with 'billing', seen 2" in reason) == ("fail", True)
    found = ask(profile, "postgres", *of_postgres)
    assert {found[it][0] for it in of_postgres} == {"fail"}, found
    assert "db: expected work_mem = 4MB, seen 8MB" in found[SETTINGS][1]
    reason = found[ALONE][1]
    assert "db: " in reason
    assert "seen synchronous_standby_names is empty" in reason
    assert "seen synchronous_commit=off for role billing_service" in reason


@pytest.mark.defect(
    "each service reaches what it calls from its own pods", "each service reads its database"
)
def test_a_lost_name_a_shut_port_and_an_answer_without_a_database_are_found(
    space: objects.Namespace, profile: str
) -> None:
    serve = "(cd /tmp/www; setsid python3 -m http.server $0 >/dev/null 2>&1 & echo $! >/tmp/$0)"
    space.run("db", "sh", "-c", """mkdir /tmp/www && echo '["acme"]' > /tmp/www/users.json""")
    for port in ("8001", "8004", "6432"):
        space.run("db", "sh", "-c", serve, port)
    until_passed(profile, "service-calls", THROUGH, READS)

    space.run("db", "sh", "-c", """echo '{"status": "healthy"}' > /tmp/www/users.json""")
    space.run("db", "sh", "-c", "kill $(cat /tmp/8004)")
    space.kubectl("delete", "service", "pooler")
    until_red(
        profile,
        "service-calls",
        THROUGH,
        "user-service → postgres:5432: expected a connection from db",
        "its name is not known",
        "user-service → billing-service:8004: expected a connection",
    )
    seen = 'user-service /users.json: expected /0 "acme", seen nothing'
    until_red(profile, "service-calls", READS, seen)
