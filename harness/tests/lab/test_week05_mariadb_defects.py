"""Seeded defects of W5-EQUAL and W5-ACCESS: the Swarm's MariaDB and a pod that its dump filled.

Both are reached by the harness's own tunnels, as a profile declares them: a task of the Swarm at
its address on docker_gwbridge, and a Service.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from harness.core.waiting import until
from harness.lab import kubernetes, swarm
from harness.lab.shape import Node
from harness.tests.lab import objects
from harness.tests.lab.asking import ask
from harness.tests.lab.test_week05_equality_defects import (
    AHEAD,
    NO_MORE,
    REST,
    ROWS,
    SAME,
    SOUND,
    WORK,
    compared,
)
from harness.tests.lab.world import World

SPACE, SERVICE = "test-mariadb", "saasodoo_killbill-db"
CLIENT = ("mariadb", "--no-defaults", "--socket=/tmp/s", "--batch", "--skip-column-names")
AS = "setpriv --reuid=65534 --regid=65534 --clear-groups"
SERVER = (
    f"install -d -o 65534 -g 65534 -m 0700 /tmp/data && {AS} mariadb-install-db --no-defaults "
    f"--skip-test-db --datadir=/tmp/data && exec {AS} mariadbd --no-defaults --datadir=/tmp/data "
    "--socket=/tmp/s --innodb-buffer-pool-size=8M --innodb-flush-log-at-trx-commit=0"
)
# The service's own account is killbill@%; the others are there for this test alone.
ACCOUNTS = """
create user cutover@'%' identified by 'secret';
grant all on *.* to cutover@'%';
create user auditor@'%' identified by 'secret';
grant select on killbill.* to auditor@'%';
"""
NO_ACCOUNTS = "drop user if exists cutover@'%', auditor@'%'"
DUMP = (
    "mariadb-dump --single-transaction --routines --events --hex-blob --databases killbill && "
    "mariadb-dump --system=users --insert-ignore"
)
BREAK = """
update killbill.accounts set email = '' where record_id = 7;
revoke update on killbill.* from killbill@'%';
drop user auditor@'%';
"""
DECLARED = f"""
equality:
  kind: mariadb
  name: money
  source: {{machine: MACHINE, address: ADDRESS, user: cutover, password_file: PASSWORD}}
  target: {{service: {SPACE}/new, user: cutover, password_file: PASSWORD}}
  roles:
    killbill@%:
      password_file: ACCOUNT
      database: killbill
      may: [read accounts, write accounts, write invoices]
"""


@dataclass(frozen=True)
class Task:
    """The old platform's MariaDB: its machine, its container, and its address for that machine."""

    node: Node
    container: str
    address: str


@pytest.fixture
def task(world: World) -> Iterator[Task]:
    """The running task, with the accounts of this test."""
    listed = ("docker", "service", "ps", SERVICE, "--filter=desired-state=running")
    name = world.do(swarm.manager(world.lab), *listed, "--format={{.Node}}").strip()
    node = world.lab.node(name)
    label = f"--filter=label=com.docker.swarm.service.name={SERVICE}"
    container = world.do(node, "docker", "ps", "--quiet", "--no-trunc", label).strip()
    bridge = world.do(node, "docker", "network", "inspect", "docker_gwbridge")
    (at,) = (it for key, it in json.loads(bridge)[0]["Containers"].items() if key == container)
    server = ("docker", "exec", "--interactive", container, "mariadb")
    world.do(node, *server, stdin=f"{NO_ACCOUNTS};\n{ACCOUNTS}")
    try:
        yield Task(node, container, at["IPv4Address"].partition("/")[0])
    finally:
        world.do(node, *server, stdin=NO_ACCOUNTS)


@pytest.fixture
def space(world: World, task: Task) -> Iterator[objects.Namespace]:
    """A MariaDB in the new platform, which holds what a dump of the old one makes of it."""
    with objects.namespace(world, SPACE) as space:
        labels = {"app": "new"}
        pod = objects.pod("new", world.one.name, "sh", "-c", SERVER, labels=labels)
        space.apply(pod, objects.service("new", labels, 3306, at=3306))
        dump = world.do(task.node, "docker", "exec", task.container, "sh", "-c", DUMP)
        space.ready("new")
        until(
            lambda: space.run("new", *CLIENT, "--execute=select 'up'").strip() == "up",
            within_s=120,
            what="the new MariaDB answers",
        )
        script(space, dump)
        yield space


@pytest.fixture
def profile(world: World, task: Task) -> str:
    declared = textwrap.dedent(DECLARED)
    for word, text in (("PASSWORD", "secret\n"), ("ACCOUNT", "killbill of the lab\n")):
        file = world.scratch / word.lower()
        file.write_text(text)
        declared = declared.replace(word, str(file))
    declared = declared.replace("MACHINE", task.node.name).replace("ADDRESS", task.address)
    return world.profile_with([(world.section("equality"), declared)])


def script(space: objects.Namespace, words: str) -> None:
    """Run statements as root of the new MariaDB; all must succeed."""
    client = (f"--namespace={SPACE}", "exec", "--stdin", "new", "--", *CLIENT)
    kubernetes.kubectl(space.world.lab, *client, stdin=words, log=space.world.log)


@pytest.mark.defect(ROWS, REST, SAME, WORK)
def test_a_row_an_account_and_a_grant_of_mariadb_that_differ_are_found_through_the_tunnels(
    space: objects.Namespace, profile: str
) -> None:
    found = compared(profile)
    assert {outcome for outcome, _ in found.values()} == {"pass"}, found
    assert found[ROWS][1] == "241 rows of 5 tables are the same on both sides"
    acts = ask(profile, "database-roles", SAME, WORK, NO_MORE)
    assert {outcome for outcome, _ in acts.values()} == {"pass"}, acts

    script(space, BREAK)
    found = compared(profile)
    assert {it: found[it][0] for it in (AHEAD, SOUND)} == {AHEAD: "pass", SOUND: "pass"}, found
    assert found[ROWS] == (
        "fail",
        "money/killbill, accounts: expected the same rows, seen 60 and 60: "
        "record_id 7 changed in email",
    )
    outcome, rest = found[REST]
    assert outcome == "fail"
    assert "money, user auditor@%: expected it on both sides, seen on the source alone" in rest
    assert "money, user killbill@%: expected GRANT ALL PRIVILEGES ON `killbill`.* TO" in rest
    acts = ask(profile, "database-roles", SAME, WORK, NO_MORE)
    assert {it: outcome for it, (outcome, _) in acts.items()} == {
        SAME: "fail",
        WORK: "fail",
        NO_MORE: "pass",
    }
    assert "auditor@%: expected the role on both sides, seen on the source alone" in acts[SAME][1]
    assert "expected that it may write accounts, seen that it may not" in acts[WORK][1]
