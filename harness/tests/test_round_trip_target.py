"""Round trips to a target that is not fit: it is NOT PROVEN, and what fails there is told apart."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.backup.restore import database
from harness.backup.restore.round_trip import carry_out
from harness.core.model import Outcome
from harness.tests.postgres_server import NEEDS_POSTGRES, psql
from harness.tests.round_trip_world import (
    DATABASE,
    SERVED,
    World,
    judged,
    red,
    servers,
    world,
)

__all__ = ["servers", "world"]
pytestmark = NEEDS_POSTGRES


@pytest.mark.parametrize("owned", ["database", "table"])
def test_a_role_that_only_the_source_has_proves_nothing_and_is_named(
    world: World, owned: str
) -> None:
    """A scratch server has no customer's roles, and no backup of a customer holds them."""
    psql(world.old, "postgres", f"create role {owned}_owner")
    name = DATABASE if owned == "database" else "invoice"
    psql(world.old, DATABASE, f"alter {owned} {name} owner to {owned}_owner")
    try:
        found = judged(carry_out(world.trip()), world.declared())
    finally:
        psql(world.old, DATABASE, f"alter {owned} {name} owner to postgres")
        psql(world.old, "postgres", f"drop role {owned}_owner")
    assert Outcome.FAIL not in {outcome for outcome, _ in found.values()}, found
    outcome, reason = found[SERVED]
    assert outcome is Outcome.NOT_PROVEN
    assert f'the PostgreSQL of new has no role "{owned}_owner"' in reason
    assert f'create role "{owned}_owner" nologin' in reason
    assert world.is_clean()


def test_a_psql_that_does_not_know_how_a_dump_begins_proves_nothing(world: World) -> None:
    """Version 15.13 reads a dump of 15.14."""
    old = """
case "$*" in
  *--version) echo 'psql (PostgreSQL) 15.13 (Debian 15.13-0+deb12u1)';;
  *--single-transaction*) echo 'psql:/x.sql:5: error: invalid command \\restrict' >&2; exit 3;;
  *) exec psql "$@";;
esac
"""
    psql = ["bash", "-c", old, *world.psql(world.new)]
    found = judged(carry_out(world.trip(target={"psql": psql})), world.declared())
    assert Outcome.FAIL not in {outcome for outcome, _ in found.values()}, found
    outcome, reason = found[SERVED]
    assert outcome is Outcome.NOT_PROVEN
    assert "new has psql (PostgreSQL) 15.13" in reason
    assert "invalid command \\restrict" in reason
    assert "name a psql of 15.14, 16.10, 17.6 or newer" in reason
    assert world.is_clean()


# pg_dump 17 and later write it, also of an older server.
NEWER = """sed -i '/^SET statement_timeout/a SET transaction_timeout = 0;' "$name"_database.sql
size=$(stat -c %s "$name"_database.sql)
sed -i "s/\\"database_size\\": [0-9]*/\\"database_size\\": $size/" "$name"_metadata.json
"""


def test_a_backup_that_its_own_version_of_the_server_refuses_fails(world: World) -> None:
    """The platform's pg_dump is newer than its server."""
    reasons = red(world, world.spoiled(NEWER))
    assert set(reasons) == {SERVED}
    assert 'unrecognized configuration parameter "transaction_timeout"' in reasons[SERVED]


def test_a_target_that_is_older_than_the_source_proves_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = {world.old: 17, world.new: 15}
    monkeypatch.setattr(database, "major", versions.__getitem__)
    outcome, reason = judged(world.spoiled(NEWER), world.declared())[SERVED]
    assert outcome is Outcome.NOT_PROVEN
    assert "the source is a PostgreSQL 17, and new has an older one, 15" in reason
    assert 'parameter "transaction_timeout"' in reason


def test_a_dump_that_names_a_role_of_no_server_fails(world: World) -> None:
    spoil = 'sed -i "s/OWNER TO odoo/OWNER TO nada/" $name"_database.sql"'
    reasons = red(world, world.spoiled(spoil))
    assert 'role "nada" does not exist' in reasons[SERVED]


def test_a_target_that_lacks_what_a_restore_needs_proves_nothing(world: World) -> None:
    psql = ["bash", "-c", 'exec "$0" "$@"', "no-such-program"]
    done = carry_out(world.trip(target={"psql": psql}))
    outcome, says = judged(done, world.declared())[SERVED]
    assert (outcome, "was not run on new" in says) == (Outcome.NOT_PROVEN, True)

    trip = world.trip()
    blind = replace(trip, target=replace(trip.target, backups="/nowhere"))
    assert "new does not see /nowhere" in judged(carry_out(blind), world.declared())[SERVED][1]
