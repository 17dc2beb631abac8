"""Seeded defects of W5-EQUAL between two major versions of PostgreSQL: a dump is the only way.

This host's PostgreSQL 15 is the old side; the new one is the 17 of the lab's images, which runs in
its own Debian. No running lab is needed.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from harness.backup.equality.compare import compared
from harness.checks import CHECKS
from harness.core.model import Outcome, Verdict
from harness.facts.schema import dump
from harness.lab import builds
from harness.lab.databases import postgres
from harness.tests import filled_servers
from harness.tests.clean_case import case, clean
from harness.tests.clean_cluster import CLUSTER
from harness.tests.filled_servers import HAS_POSTGRES, Postgres
from harness.tests.test_equality_restored import MEMBERS, ROLES, SEED
from harness.tests.test_lab_databases import fill

ROWS, REST = "every table holds the same rows", "everything beside the rows is the same"
AHEAD, SOUND = "no sequence is behind", "every index fits its table"
VERSION = "select current_setting('server_version_num')::int / 10000"
# ALL has one privilege more in version 17.
SHOP = (*(f"create role {it};" for it in ROLES), MEMBERS, "create database shop")
OBJECTS = (SEED, "grant all on app.subs to clerk; grant usage on schema app to clerk;")
# Sorted by ICU, which is another one in each Debian.
WORDS = (
    "create database words template template0 locale_provider icu icu_locale 'de-AT';\n",
    "\\connect words\n",
    "create table words (word text primary key);\n",
    "insert into words values ('zart'), ('Öl'), ('ohne'), ('Straße'), ('strafen')",
)
DATABASES = ("auth", "billing", "instance", "odoo_acme_1a2b3c4d", "shop", "words")
BY_HAND = {"definition of view *": "each was read on both sides"}
ANOTHER_ICU = {"database collation version": "the restore has built each index anew"}


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[tuple[Postgres, Postgres]]:
    """The platform's databases on the old version, and what their dump makes of them on the new."""
    if not HAS_POSTGRES:
        pytest.skip("there is no PostgreSQL here")
    archive = builds.system("workload", ".tar").ensure(tmp_path / "build.log")
    with tempfile.TemporaryDirectory(prefix="cutover-") as system, filled_servers.postgres() as old:
        Path(system).chmod(0o755)
        unpack = ("tar", "--extract", f"--file={archive}", f"--directory={system}")
        subprocess.run(unpack, check=True)
        with filled_servers.postgres(Path(system)) as new:
            versions = [it.psql("postgres", [VERSION]) for it in (old, new)]
            if versions[0] == versions[1]:
                pytest.skip(f"this host's PostgreSQL is of the lab's version, {versions[0]}")
            for script in (postgres(86, 60, ("acme_1a2b3c4d",)), SHOP, WORDS):
                old.psql("postgres", script)
            # The comparison needs amcheck at the target alone, where `fill` makes it.
            old.psql("shop", (*OBJECTS, "drop extension amcheck"))
            fill(old, new)
            yield old, new


def judged(servers: tuple[Postgres, Postgres], different: Mapping[str, str]) -> dict[str, Verdict]:
    """W5-EQUAL's verdicts on both servers, with what is declared to differ."""
    old, new = servers
    found = compared(old.server, new.server, DATABASES)
    seen = case(clean() | {"databases": {CLUSTER.name: dump(found)}})
    seen = replace(seen, cluster=replace(CLUSTER, equality_different={"": different}))
    return {name: CHECKS[name](seen) for name in (ROWS, REST, AHEAD, SOUND)}


@pytest.mark.defect(ROWS, REST)
def test_a_dump_restored_by_another_major_version_is_equal_and_what_it_lost_is_found(
    servers: tuple[Postgres, Postgres],
) -> None:
    # What the versions change by themselves is told until it is declared, and nothing else is.
    rows, rest, *others = judged(servers, BY_HAND).values()
    assert {it.outcome for it in (rows, *others)} == {Outcome.PASS}, (rows, others)
    assert (rest.outcome, rest.where) == (Outcome.FAIL, ("words, database collation version",))
    rest = judged(servers, ANOTHER_ICU)[REST]
    assert rest.outcome is Outcome.NOT_PROVEN, rest
    assert "the two versions write it differently: compare it by hand" in rest.reason
    assert set(rest.where) == {
        f"{database}, definition of view {view}"
        for database, view in (
            ("instance", "public.running_instances"),
            ("shop", "app.later"),
            ("shop", "app.paid"),
        )
    }
    found = judged(servers, BY_HAND | ANOTHER_ICU)
    assert {it.outcome for it in found.values()} == {Outcome.PASS}, found

    new = servers[1]
    new.psql("billing", ["update payments set amount = amount::numeric(20, 4) where id = 7"])
    lost = "payments_subscription_id_fkey"
    new.psql("billing", [f"alter table payments drop constraint {lost}"])
    found = judged(servers, BY_HAND | ANOTHER_ICU)
    assert {it: found[it].outcome for it in (AHEAD, SOUND)} == dict.fromkeys(
        (AHEAD, SOUND), Outcome.PASS
    )
    assert {it: (found[it].outcome, found[it].reason) for it in (ROWS, REST)} == {
        ROWS: (
            Outcome.FAIL,
            "billing, public.payments: expected the same rows, seen 60 and 60: "
            "id 7 changed in amount",
        ),
        REST: (
            Outcome.FAIL,
            f"billing, constraint {lost} on public.payments: expected it on both sides, "
            "seen on the source alone",
        ),
    }
