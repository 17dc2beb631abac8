"""A database that moves by a dump between two real PostgreSQL: equal, spoilt, cut, and removed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from harness.backup.equality.session import Server
from harness.backup.restore.side import Side as Place
from harness.checks import CHECKS
from harness.core.errors import NotProven, Refused
from harness.core.interrupts import BY_HAND
from harness.core.model import Case, Observation, Outcome, Verdict
from harness.core.waiting import until
from harness.facts.dump import DUMP, Dumped, Step
from harness.facts.schema import dump
from harness.move.dump import Move, carry_out, remains, removed
from harness.move.rehearsal import DATABASE
from harness.move.side import Address, Side
from harness.pytest_gate.launch import Asked, plan_run
from harness.settings import load_profile
from harness.tests.clean_cluster import CLUSTER
from harness.tests.fake_transport import FakeShell
from harness.tests.postgres_server import NEEDS_POSTGRES, ThisShell, psql
from harness.tests.switch_world import two_servers
from harness.transport import Completed

pytestmark = NEEDS_POSTGRES
BILLING = "billing"
SEED = """
create table invoices (id serial primary key, amount numeric check (amount > 0), note text);
insert into invoices (amount, note)
  select i, repeat(md5(i::text), 9) from generate_series(1, 5000) i;
create index on invoices (amount);
alter table invoices owner to billing_service;
create table mails (at timestamptz);
"""
RESTORED = "the dump was restored"
ROWS = "every restored table holds the dumped rows"
REST = "everything beside the rows was restored"
AHEAD = "no restored sequence is behind"
SOUND = "every restored index fits its table"
LEFT = "the dump leaves nothing behind"
ALL = (RESTORED, ROWS, REST, AHEAD, SOUND, LEFT)
# Runs pg_restore, then spoils what it has restored.
SPOILS = f'pg_restore "$@" && psql -q -h "$0" -U postgres -d {DATABASE} -c'


@dataclass
class World:
    """The source with its database, the target, and a place that reaches both."""

    old: Server
    new: Server
    folder: Path
    open: ExitStack
    shell: ThisShell = field(default_factory=ThisShell)

    def side(self, name: str, server: Server) -> Side:
        side = Side(name, server, Address(server.host, server.port))
        self.open.callback(side.close)
        return side

    def move(self, **changes: Any) -> Move:
        target = self.side("target", self.new)
        place = Place(shell=self.shell, place="beside", server=self.new, backups=str(self.folder))
        move = Move(
            database=BILLING,
            source=self.side("source", self.old),
            target=target,
            place=place,
            within_s=60,
            room=1.0,
            tell=lambda _: None,
        )
        return replace(move, **changes)

    def spoiling(self, statement: str) -> tuple[str, ...]:
        """A pg_restore after which a statement runs."""
        return ("sh", "-c", f'{SPOILS} "{statement}"', self.new.host)


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[Server, Server]]:
    with two_servers() as both:
        for server in both:
            psql(server, "postgres", "create role billing_service")
        psql(both[0], "postgres", f"create database {BILLING}")
        psql(both[0], BILLING, SEED)
        yield both


@pytest.fixture
def world(servers: tuple[Server, Server], tmp_path: Path) -> Iterator[World]:
    with ExitStack() as stack:
        world = World(*servers, tmp_path, stack)
        yield world
        assert remains(world.move()) == []


def judged(done: Dumped, **different: str) -> dict[str, Verdict]:
    """The verdict of each check."""
    seen = Observation(probe=DUMP.name, target=CLUSTER.name, at=0.0, took_s=0.0, value=dump(done))
    cluster = replace(CLUSTER, dump_different=different)
    case = Case(cluster=cluster, targets={"differences_count": 0.0}, observations=[seen])
    return {name: CHECKS[name](case) for name in ALL}


def red(done: Dumped) -> dict[str, str]:
    """The checks that do not pass, with their reasons."""
    return {name: it.reason for name, it in judged(done).items() if it.outcome is not Outcome.PASS}


def test_a_database_is_dumped_and_restored_equal_while_its_writers_go_on(world: World) -> None:
    """What is written after the snapshot is in neither: it is no difference."""
    late = "insert into mails values (now()); select nextval('invoices_id_seq')"

    def write(text: str) -> None:
        psql(world.old, BILLING, late)
        told.append(text)

    told: list[str] = []
    done = carry_out(world.move(tell=write))
    assert red(done) == {}
    assert done.bytes is not None
    assert done.bytes > 10_000
    assert [*done.took_s] == [*Step]
    measured = judged(done)[RESTORED].measured
    assert {*measured} == {"dump_s", "restore_s", "compare_s", "dump_gb"}
    assert f"{BILLING}: {Step.DUMP}" in told


@pytest.mark.parametrize(
    ("statement", "check", "says"),
    [
        ("delete from invoices where id = 7", ROWS, "id 7 missing"),
        ("insert into mails values (now())", ROWS, "public.mails"),
        ("drop index invoices_amount_idx", REST, "invoices_amount_idx"),
        ("alter table invoices owner to postgres", REST, "owner billing_service"),
        ("select setval('invoices_id_seq', 3)", AHEAD, "expected at least"),
    ],
)
def test_a_restore_that_loses_or_changes_something_is_told(
    world: World, statement: str, check: str, says: str
) -> None:
    done = carry_out(world.move(pg_restore=world.spoiling(statement)))
    found = red(done)
    assert says in found[check], found
    assert judged(done)[check].outcome is Outcome.FAIL


@pytest.mark.parametrize("percent", [30, 60, 90, 99])
def test_a_dump_that_is_cut_is_not_restored(world: World, percent: int) -> None:
    """pg_dump has said that all is well: the disk below lost the end."""
    cut = (
        'pg_dump "$@" && for it in "$@"; do case $it in --file=/dev/null) exit;; '
        "--file=*) file=${it#--file=};; esac; done; "
        f'truncate --size=$(($(stat -c %s "$file") * {percent} / 100)) "$file"'
    )
    done = carry_out(world.move(pg_dump=("sh", "-c", cut, "sh")))
    found = judged(done)
    assert done.stopped is not None
    assert (done.stopped.step, done.stopped.at_fault) == (Step.RESTORE, True)
    assert {found[it].outcome for it in ALL if it != LEFT} == {Outcome.FAIL}
    assert "pg_restore ended with status 1" in found[RESTORED].reason


def test_a_target_that_pg_restore_does_not_reach_tells_nothing_about_the_dump(world: World) -> None:
    """The harness itself reaches it: it makes the database before."""
    move = world.move()
    nowhere = replace(move.target, address=Address("127.0.0.1", 1))
    done = carry_out(replace(move, target=nowhere))
    found = judged(done)
    assert {found[it].outcome for it in ALL if it != LEFT} == {Outcome.NOT_PROVEN}
    assert "pg_restore was in vain: pg_dump ended with status 1" in found[RESTORED].reason
    assert done.left == ()


def test_a_dump_that_cannot_be_read_there_proves_nothing(world: World) -> None:
    gone = f'rm {world.folder}/{DATABASE}/dump; exec pg_restore "$@"'
    done = carry_out(world.move(pg_restore=("sh", "-c", gone, "sh")))
    found = judged(done)
    assert {found[it].outcome for it in ALL if it != LEFT} == {Outcome.NOT_PROVEN}
    assert "reading the dump ended with status 1" in found[RESTORED].reason


def program(name: str, version: str, otherwise: str = "") -> tuple[str, ...]:
    """A program that says it is of this version."""
    says = f"echo '{name} (PostgreSQL) {version} (Debian {version}-1.pgdg12+1)'"
    script = f'for it in "$@"; do [ "$it" = --version ] && {says} && exit; done; '
    return ("sh", "-c", script + (otherwise or f'exec {name} "$@"'), "sh")


UNREADABLE = "echo 'pg_restore: error: unsupported version (1.16) in file header' >&2; exit 1"
_UNKNOWN = 'ERROR:  unrecognized configuration parameter "transaction_timeout"'
UNKNOWN_SETTING = f"""
echo 'pg_restore: error: could not execute query: {_UNKNOWN}
Command was: SET transaction_timeout = 0;' >&2; exit 1
"""


@pytest.mark.parametrize(
    ("dumps", "restores", "refuses", "says"),
    [
        ("17.6", "15.18", UNREADABLE, "unsupported version (1.16) in file header"),
        ("17.6", "17.6", UNKNOWN_SETTING, 'parameter "transaction_timeout"'),
    ],
)
def test_a_pg_restore_of_another_version_tells_nothing_about_the_dump(
    world: World, dumps: str, restores: str, refuses: str, says: str
) -> None:
    """As version 15 refuses an archive of 17, and a PostgreSQL 15 what pg_restore 17 sends it."""
    move = world.move(
        pg_dump=program("pg_dump", dumps), pg_restore=program("pg_restore", restores, refuses)
    )
    found = judged(carry_out(move))
    assert {found[it].outcome for it in ALL if it != LEFT} == {Outcome.NOT_PROVEN}
    reason = found[RESTORED].reason
    assert says in reason
    assert (
        f"pg_restore {restores[:2]} restores what pg_dump 17 wrote into a PostgreSQL 15" in reason
    )
    assert "name programs of version 15" in reason


def test_programs_that_do_not_say_their_version_excuse_no_failure(world: World) -> None:
    mute = program("pg_restore", "15.18", UNREADABLE)[2].replace("PostgreSQL", "?")
    found = judged(carry_out(world.move(pg_restore=("sh", "-c", mute, "sh"))))
    assert found[RESTORED].outcome is Outcome.FAIL


def test_what_could_not_be_removed_blocks_and_is_no_failure_of_the_system(world: World) -> None:
    done = carry_out(world.move())
    left = judged(replace(done, left=("/dumps/cutover_rehearsal of one: no route",)))[LEFT]
    assert left.outcome is Outcome.NOT_PROVEN
    assert "it could not be removed: /dumps/cutover_rehearsal of one" in left.reason


def test_a_role_that_the_target_lacks_fails_and_is_named(world: World) -> None:
    psql(world.old, "postgres", "create role auditor")
    psql(world.old, BILLING, "grant select on invoices to auditor")
    try:
        done = carry_out(world.move())
    finally:
        psql(world.old, BILLING, "revoke all on invoices from auditor")
        psql(world.old, "postgres", "drop role auditor")
    assert done.stopped is not None
    assert done.stopped.at_fault
    assert 'role "auditor" does not exist' in done.stopped.says


def test_a_dump_that_cannot_be_made_proves_nothing(world: World) -> None:
    done = carry_out(world.move(pg_dump=("pg_dump", "--host=/nowhere", "--port=1", "--fail")))
    assert {it.outcome for name, it in judged(done).items() if name != LEFT} == {Outcome.NOT_PROVEN}


def test_a_folder_in_which_nothing_can_be_made_proves_nothing(world: World) -> None:
    def spoil(text: str) -> None:
        if text.endswith(Step.DUMP):
            (world.folder / DATABASE).touch()

    done = carry_out(world.move(tell=spoil))
    assert done.stopped is not None
    assert "mkdir" in done.stopped.says
    assert {it.outcome for name, it in judged(done).items() if name != LEFT} == {Outcome.NOT_PROVEN}


def test_a_program_that_outlives_the_harness_is_ended(world: World) -> None:
    """Here it sleeps beside pg_dump; in a pod, pg_dump itself goes on after Ctrl-C."""
    at = f'psql -h {world.old.host} -U {world.old.user} -At postgres -c "'
    asleep = "select count(*) from pg_stat_activity where query = 'select pg_sleep(600)'"
    beside = (
        f'{at}select pg_sleep(600)" >/dev/null 2>&1 & '
        f'until [ "$({at}{asleep}")" = 1 ]; do :; done; exec pg_dump "$@"'
    )
    done = carry_out(world.move(pg_dump=("sh", "-c", beside, "sh")))
    assert (red(done), done.left) == ({}, ())
    until(
        lambda: world.move().source.ask("postgres", asleep) == [(0,)],
        within_s=60,
        what="the program's session has ended",
    )


def test_a_place_that_does_not_say_whether_a_dump_is_there_is_not_taken_for_empty(
    world: World,
) -> None:
    move = world.move()
    shell = FakeShell({("*", "test"): Completed(status=126, stdout="", stderr="no")})
    with pytest.raises(NotProven, match="ended with 126"):
        remains(replace(move, place=replace(move.place, shell=shell)))


def test_ctrl_c_ends_it_and_leaves_nothing(world: World) -> None:
    def stop(text: str) -> None:
        if text.endswith(Step.COMPARE):
            raise KeyboardInterrupt

    done = carry_out(world.move(tell=stop))
    assert done.stopped is not None
    assert (done.stopped.step, done.stopped.says) == (Step.COMPARE, BY_HAND)
    assert done.left == ()


def test_what_a_killed_move_leaves_is_refused_and_then_removed(world: World) -> None:
    move = world.move()
    (world.folder / DATABASE).mkdir()
    with pytest.raises(Refused, match=r"has .* already"):
        carry_out(move)
    psql(world.new, "postgres", f"create database {DATABASE}")
    with pytest.raises(Refused, match="cutover heal"):
        carry_out(move)
    assert remains(move) == [
        f"the database {DATABASE} of target",
        f"the folder {world.folder}/{DATABASE} of beside",
    ]
    assert removed(move) == []


def test_a_move_that_cannot_be_is_refused_before_anything_is_made(world: World) -> None:
    begun: list[str] = []
    move = world.move(on_begin=lambda: begun.append("begun"))
    with pytest.raises(Refused, match="the same PostgreSQL"):
        carry_out(replace(move, target=world.side("target", world.old)))
    with pytest.raises(NotProven, match="has no database nothing"):
        carry_out(replace(move, database="nothing"))
    with pytest.raises(Refused, match=r"GB free at .*: expected"):
        carry_out(replace(move, room=1e9))
    assert begun == []


@pytest.mark.parametrize(
    ("move", "targets"),
    [
        ("dump", {"differences_count"}),
        ("switch", {"lost_count", "duplicated_count", "invented_count", "frozen_s"}),
    ],
)
def test_a_rehearsal_is_judged_by_what_its_own_scenario_measures(
    move: str, targets: set[str]
) -> None:
    """The others are of scenarios that it does not ask."""
    asked = Asked(cluster="contabo", only=("W5-DURABLE",), drill=move)
    (durable,) = plan_run(asked, load_profile("contabo")).requirements
    assert durable.targets.keys() == targets
