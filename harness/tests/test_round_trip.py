"""Round trips between two real PostgreSQL: each defect turns red for its own reason."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from harness.backup import manifest
from harness.backup.equality.session import Server
from harness.backup.restore import database, round_trip
from harness.backup.restore.round_trip import BY_HAND, carry_out
from harness.backup.restore.side import Side
from harness.backup.restore.trip import Trip
from harness.checks import CHECKS
from harness.core.errors import ConfigError, Refused, Unreachable
from harness.core.model import Case, Observation, Outcome
from harness.core.waiting import until
from harness.facts.restore import RESTORE, RoundTrip
from harness.facts.schema import dump
from harness.settings.restore import Restore
from harness.tests.backup_files import FILES
from harness.tests.clean_cluster import CLUSTER
from harness.tests.postgres_server import BINARIES, IS_THERE, ThisShell, postgres, psql
from harness.transport import Completed

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not IS_THERE, reason=f"no PostgreSQL in {BINARIES}"),
]
DATABASE = "odoo_demo"
RESTORED = "cutover_restored_demo"
SEED = """
create table ir_config_parameter (key text primary key, value text);
insert into ir_config_parameter values ('database.uuid', '6d1c0000-demo');
create table ir_cron (id serial primary key, name text not null, active boolean not null,
  nextcall timestamp);
insert into ir_cron (name, active) select 'job ' || i, true from generate_series(1, 9) i;
create table ir_attachment (id serial primary key, name text, store_fname text);
create table partner (id serial primary key, name text not null);
insert into partner (name) select 'partner ' || i from generate_series(1, 500) i;
create table invoice (id serial primary key, partner int not null references partner,
  amount numeric check (amount > 0), paid timestamptz);
insert into invoice (partner, amount, paid)
  select i % 500 + 1, i * 1.5, timestamptz '2026-01-01 UTC' + i * interval '1 minute'
  from generate_series(1, 2000) i;
create index on invoice (paid);
create table heartbeat (at timestamptz not null);
alter table invoice owner to odoo;
"""
# What the platform does: a dump, a tar and its word that both are there.
PLATFORM = """
set -e
cd {backups}
name={database}_$(date +%s%N)
pg_dump -h {socket} -U postgres {{database}} > "$name"_database.sql
tar -C {data} -czf "$name"_data.tar.gz .
cat > "$name"_metadata.json <<END
{{"database_name": "{database}", "status": "completed",
 "database_size": $(stat -c %s "$name"_database.sql),
 "data_size": $(stat -c %s "$name"_data.tar.gz),
 "created_at": "$(date -u +%Y-%m-%dT%H:%M:%S.%6N)"}}
END
"""
CUT = """
sql="$name"_database.sql
truncate -s $(($(stat -c %s $sql) * {at} / 100)) $sql
"""
MUTATIONS = {
    "public.heartbeat": {"rows": "true", "because": "the drill writes it"},
    "public.ir_config_parameter": {
        "rows": "key in ('database.uuid', 'database.is_neutralized')",
        "at_most": 2,
        "because": "a restored customer has an identity of its own",
    },
    "public.ir_cron": {"columns": ["active"], "because": "a restored customer runs no jobs"},
}
WHOLE = "a whole backup of the customer is made"
NOTICED = "the inspection notices every known defect"
ROWS = "the restored database is the customer's"
FILES_EQUAL = "the restored files are the customer's"
MOMENT = "every restored row finds its file"
SERVED = "the restored customer is served in time"
LOST = "little enough work is lost"
LEFT = "the restore leaves nothing behind"
ALL = (WHOLE, NOTICED, ROWS, FILES_EQUAL, MOMENT, SERVED, LOST, LEFT)
TARGETS = {"differences_count": 0.0, "undetected_count": 0.0, "rto_minutes": 30, "rpo_minutes": 15}


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[Server, Server]]:
    """Two servers, each with the customer's role; the first has a customer as a template."""
    with tempfile.TemporaryDirectory(prefix="cutover-pg-") as place:
        Path(place).chmod(0o755)
        with postgres(Path(place, "old")) as old, postgres(Path(place, "new")) as new:
            for server in (old, new):
                psql(server, "postgres", "create role odoo login")
            psql(old, "postgres", "create database seed")
            psql(old, "seed", SEED)
            for at, name in enumerate(FILES):
                row = f"insert into ir_attachment (name, store_fname) values ('{at}', '{name}')"
                psql(old, "seed", row)
            yield old, new


@dataclass
class World:
    """A customer with its files, a platform that makes backups, and an empty target."""

    folder: Path
    old: Server
    new: Server
    shell: ThisShell

    @property
    def files(self) -> Path:
        return self.folder / f"data/filestore/{DATABASE}"

    def psql(self, on: Server) -> list[str]:
        return ["psql", "-h", on.host, "-U", "postgres"]

    def platform(self, *, then: str = "", database: str = DATABASE) -> list[str]:
        """The platform's command; ``then`` spoils what it made, which is ``$name``."""
        made = PLATFORM.format(
            backups=self.folder / "backups",
            socket=self.old.host,
            data=self.folder / "data",
            database=database,
        )
        return ["bash", "-c", f"{made}\n{then}"]

    def declared(self, **changes: Any) -> Restore:
        backups = str(self.folder / "backups")
        server = {"machine": "unused", "address": "127.0.0.1", "password_file": "/unused"}
        target = {
            "machine": "new",
            "server": server,
            "backups": backups,
            "folder": str(self.folder / "restored"),
            "psql": self.psql(self.new),
        }
        told: dict[str, Any] = {
            "customers": {"demo": {"database": DATABASE, "folder": str(self.folder / "data")}},
            "source": {"machine": "old", "server": server, "backups": backups},
            "target": target | changes.pop("target", {}),
            "backup": {"command": self.platform(), "within_min": 0.5},
            "heartbeat": {
                "write": "insert into public.heartbeat values (now())",
                "newest": "select max(at) from public.heartbeat",
                "every_s": 0.05,
            },
            "answer": {"sql": "select count(*) from public.partner", "says": "500"},
            "mutations": MUTATIONS,
            "different": {"role *": "roles belong to the server"},
        }
        return Restore.model_validate(told | changes)

    def trip(self, **changes: Any) -> Trip:
        declared = self.declared(**changes)
        backups = str(self.folder / "backups")
        return Trip(
            name="demo",
            customer=declared.customers["demo"],
            declared=declared,
            source=Side(shell=self.shell, place="old", server=self.old, backups=backups),
            target=Side(shell=self.shell, place="new", server=self.new, backups=backups),
            tell=lambda _: None,
        )

    def spoiled(self, then: str) -> RoundTrip:
        """A round trip whose backup is spoiled as soon as it is made."""
        return carry_out(self.trip(backup={"command": self.platform(then=then)}))

    def is_clean(self) -> bool:
        """True if the target has nothing of a restore."""
        found = psql(self.new, "postgres", "select datname from pg_database")
        return RESTORED not in found and not list((self.folder / "restored").iterdir())


@pytest.fixture
def world(servers: tuple[Server, Server], monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    old, new = servers
    with tempfile.TemporaryDirectory(prefix="cutover-trip-") as place:
        folder = Path(place)
        monkeypatch.setattr(manifest, "FOLDERS", str(folder / "manifests"))
        for name in ("backups", "restored", "data/sessions"):
            (folder / name).mkdir(parents=True)
        made = World(folder, old, new, ThisShell())
        for name, content in FILES.items():
            (made.files / name).parent.mkdir(parents=True, exist_ok=True)
            (made.files / name).write_bytes(content)
        statements = f"drop database if exists {DATABASE} with (force)"
        psql(old, "postgres", statements)
        psql(old, "postgres", f"create database {DATABASE} template seed")
        yield made
        psql(new, "postgres", f"drop database if exists {RESTORED} with (force)")


def judged(trip: RoundTrip, declared: Restore) -> dict[str, tuple[Outcome, str]]:
    """Outcome and reason of each check, after a way through JSON."""
    seen = Observation(RESTORE.name, CLUSTER.name, time.time(), 1.0, dump(trip))
    cluster = replace(CLUSTER, restore=declared.declared())
    case = Case(cluster=cluster, targets=TARGETS, observations=[seen])
    verdicts = {check: CHECKS[check](case) for check in ALL}
    return {check: (it.outcome, it.reason) for check, it in verdicts.items()}


def red(world: World, trip: RoundTrip, **changes: Any) -> dict[str, str]:
    """The reasons of the checks that fail."""
    found = judged(trip, world.declared(**changes))
    return {check: says for check, (outcome, says) in found.items() if outcome is Outcome.FAIL}


def test_a_backup_comes_back_equal_in_time_and_leaves_nothing(world: World) -> None:
    for _ in range(2):
        trip = carry_out(world.trip())
        found = judged(trip, world.declared())
        assert {outcome for outcome, _ in found.values()} == {Outcome.PASS}, found
        assert world.is_clean()
    assert "3 files" in found[WHOLE][1]
    assert trip.rto_s is not None
    assert 0 < trip.rto_s < 30


def test_odoos_own_zip_comes_back_too(world: World) -> None:
    made = f"""
set -e
cd $(mktemp -d)
pg_dump -h {world.old.host} -U postgres --no-owner {DATABASE} > dump.sql
cp -a {world.files} filestore
echo '{{"odoo_dump": "1", "db_name": "{DATABASE}"}}' > manifest.json
zip={world.folder}/backups/{DATABASE}_$(date +%s%N).zip
python3 -m zipfile -c $zip dump.sql filestore manifest.json
"""
    changes = {
        "format": "zip",
        "backup": {"command": ["bash", "-c", made]},
        "different": {"role *": "roles belong to the server", "* public.*": "no owner is dumped"},
    }
    trip = carry_out(world.trip(**changes))
    found = judged(trip, world.declared(**changes))
    assert {outcome for outcome, _ in found.values()} == {Outcome.PASS}, found
    assert world.is_clean()


@pytest.mark.parametrize(
    ("then", "says"),
    [
        (CUT.format(at=60), "cut: the dump ends"),
        (': > "$name"_database.sql', "empty: the dump has no byte"),
        # What the platform does when its tar fails: an empty file, and the status completed.
        (': > "$name"_data.tar.gz', "empty: the archive has no byte"),
        ('sed -i s/odoo_demo/odoo_x/ "$name"_metadata.json', "customer: expected database_name"),
        ('sed -i s/6d1c0000-demo/ffff/ "$name"_database.sql', "customer: expected a row"),
        ('touch -d "2 hours ago" "$name"_database.sql', "stale"),
        (
            'mkdir t && cd t && tar xzf ../"$name"_data.tar.gz && rm -r filestore/*/*/ && '
            'tar czf ../"$name"_data.tar.gz .',
            "moment: 3 rows name a file that it has not",
        ),
        (
            'mkfifo x && tar czf "$name"_data.tar.gz --transform s,^,../../, -P x',
            "escape: ../../x leaves",
        ),
    ],
)
def test_a_spoiled_backup_is_told_and_never_restored(world: World, then: str, says: str) -> None:
    trip = world.spoiled(then)
    reasons = red(world, trip)
    assert says in reasons[WHOLE], reasons
    assert set(reasons) == {WHOLE}
    assert (set(trip.took_s), world.is_clean()) == ({"making the backup"}, True)


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (["bash", "-c", "echo no room >&2; exit 28"], "ended with status 28: no room"),
        (["bash", "-c", "kill -9 $$"], "ended with status -9"),
        (["true"], "has a backup of odoo_demo that was asked for: not within 0.6 s"),
    ],
)
def test_a_backup_that_the_platform_does_not_make_fails(
    world: World, command: Sequence[str], says: str
) -> None:
    trip = carry_out(world.trip(backup={"command": command, "within_min": 0.01}))
    assert says in red(world, trip)[WHOLE]


def test_a_backup_that_is_never_called_completed_fails(world: World) -> None:
    backup = {"command": ["true"], "done": ["false"], "within_min": 0.01}
    trip = carry_out(world.trip(backup=backup))
    assert "calls the backup completed (false): not within" in red(world, trip)[WHOLE]


def test_a_backup_that_an_api_makes_later_is_waited_for(world: World) -> None:
    later = f"(sleep 3; {world.platform()[2]}) >/dev/null 2>&1 &"
    trip = carry_out(world.trip(backup={"command": ["bash", "-c", later], "within_min": 1}))
    assert trip.stopped is None
    assert trip.took_s["making the backup"] > 3


def test_a_source_that_cannot_be_asked_proves_nothing(world: World) -> None:
    def cut_off(_: str, argv: Sequence[str]) -> Completed | None:
        if argv[0] == "bash":
            raise Unreachable("old: no route")
        return None

    world.shell.before = cut_off
    found = judged(carry_out(world.trip()), world.declared())
    assert found[WHOLE] == (
        Outcome.NOT_PROVEN,
        "demo: it ended while making the backup: old: no route",
    )
    assert Outcome.FAIL not in {outcome for outcome, _ in found.values()}


# --- what is restored ---


@pytest.fixture
def after(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Does something to the target as soon as it is restored."""

    def arrange(change: Callable[[], object]) -> None:
        whole = round_trip._Done.restore

        def restore(done: Any) -> None:
            whole(done)
            change()

        monkeypatch.setattr(round_trip._Done, "restore", restore)

    return arrange


def test_every_difference_of_the_restored_customer_is_found(
    world: World, after: Callable[[Callable[[], object]], None]
) -> None:
    """One batch of mutations, declared and undeclared; each is told apart."""
    restored = world.folder / f"restored/{RESTORED}/filestore/{RESTORED}"
    names = sorted(FILES)

    def spoil() -> None:
        psql(
            world.new,
            RESTORED,
            """
            update ir_config_parameter set value = 'new' where key = 'database.uuid';
            insert into ir_config_parameter values ('database.is_neutralized', 'true');
            update ir_cron set active = false;
            update ir_cron set name = 'other' where id = 3;
            update invoice set amount = amount + 1 where id = 7;
            delete from invoice where id = 8;
            drop index invoice_paid_idx;
            select setval('partner_id_seq', 3);
            insert into ir_attachment (name, store_fname) values ('x', 'ab/nothing');
            """,
        )
        (restored / names[0]).write_bytes(b"changed!")
        (restored / names[1]).unlink()
        (restored / "aa").mkdir()
        (restored / "aa" / ("aa" + "0" * 38)).write_bytes(b"extra")

    after(spoil)
    reasons = red(world, carry_out(world.trip()))
    assert set(reasons) == {ROWS, FILES_EQUAL, MOMENT}, reasons
    for says in (
        "public.ir_cron: expected the same rows, seen 9 and 9: id 3 changed in name",
        "public.invoice: expected the same rows, seen 2000 and 1999: id 7 changed in amount",
        "public.ir_attachment: expected the same rows",
        "index public.invoice_paid_idx: expected it on both sides",
        "public.partner_id_seq: expected 500, seen 3",
    ):
        assert says in reasons[ROWS]
    assert "ir_config_parameter" not in reasons[ROWS]
    for says in ("1 files differ", "1 files were not restored", "1 files are not the customer's"):
        assert says in reasons[FILES_EQUAL]
    assert "2 rows name a missing file" in reasons[MOMENT]
    assert world.is_clean()


def test_more_mutations_than_declared_fail(
    world: World, after: Callable[[Callable[[], object]], None]
) -> None:
    after(lambda: psql(world.new, RESTORED, "update ir_config_parameter set value = 'x'"))
    mutations = {
        **MUTATIONS,
        "public.ir_config_parameter": {"rows": "true", "at_most": 0, "because": "none is expected"},
    }
    reasons = red(world, carry_out(world.trip(mutations=mutations)), mutations=mutations)
    assert reasons == {ROWS: "public.ir_config_parameter: expected 0 declared mutations, seen 1"}


def test_a_customer_that_goes_on_writing_proves_nothing(
    world: World, after: Callable[[Callable[[], object]], None]
) -> None:
    def go_on() -> None:
        psql(world.old, DATABASE, "insert into invoice (partner, amount) values (1, 1)")
        (world.files / "zz").mkdir()
        (world.files / "zz" / ("zz" + "0" * 38)).write_bytes(b"later")
        until(
            lambda: database.writes(world.old, DATABASE)["public.invoice"] > 0,
            within_s=15,
            what="PostgreSQL counts the row",
        )

    after(go_on)
    found = judged(carry_out(world.trip()), world.declared())
    assert found[ROWS][0] is Outcome.NOT_PROVEN
    assert "public.invoice was written at the source" in found[ROWS][1]
    assert found[FILES_EQUAL][0] is Outcome.NOT_PROVEN
    assert "1 files differ, and each was written at the source" in found[FILES_EQUAL][1]


def test_a_missing_role_stops_the_restore_with_its_name(world: World) -> None:
    psql(world.new, "postgres", "drop role odoo")
    try:
        reasons = red(world, carry_out(world.trip()))
    finally:
        psql(world.new, "postgres", "create role odoo login")
    assert set(reasons) == {SERVED}
    assert 'role "odoo" does not exist' in reasons[SERVED]
    assert world.is_clean()


def test_a_target_that_lacks_what_a_restore_needs_proves_nothing(world: World) -> None:
    psql = ["bash", "-c", 'exec "$0" "$@"', "no-such-program"]
    done = carry_out(world.trip(target={"psql": psql}))
    outcome, says = judged(done, world.declared())[SERVED]
    assert (outcome, "was not run on new" in says) == (Outcome.NOT_PROVEN, True)

    trip = world.trip()
    blind = replace(trip, target=replace(trip.target, backups="/nowhere"))
    assert "new does not see /nowhere" in judged(carry_out(blind), world.declared())[SERVED][1]


def test_a_wrong_answer_is_none(world: World) -> None:
    answer = {"sql": "select count(*) from public.partner", "says": "501", "within_min": 0.01}
    trip = carry_out(world.trip(answer=answer))
    reasons = red(world, trip)
    assert set(reasons) == {SERVED}
    assert "the last answer: 500" in reasons[SERVED]
    assert world.is_clean()


def test_an_answer_may_come_from_a_command(world: World) -> None:
    asked = [*world.psql(world.new), "-d", "{restored}", "-Atc", "select count(*) from partner"]
    trip = carry_out(world.trip(answer={"command": asked, "says": "500"}))
    assert (trip.answer, trip.stopped) == ("500\n", None)


def test_an_old_backup_costs_the_work_since_its_newest_heartbeat(world: World) -> None:
    """No backup is asked for: the newest one counts, however old its content is."""
    psql(world.old, DATABASE, "insert into heartbeat values (now() - interval '40 minutes')")
    subprocess.run(
        [it.replace("{database}", DATABASE) for it in world.platform()],
        check=True,
        env={**os.environ, "PATH": f"{BINARIES}:{os.environ['PATH']}"},
    )
    trip = carry_out(world.trip(backup=None))
    assert set(red(world, trip)) == {LOST}
    assert "seen 40." in red(world, trip)[LOST]


def test_without_a_heartbeat_the_loss_is_not_known(world: World) -> None:
    heartbeat = {"newest": "select max(at) from public.heartbeat"}
    found = judged(carry_out(world.trip(heartbeat=heartbeat)), world.declared())
    assert found[LOST] == (Outcome.NOT_PROVEN, "demo: no heartbeat was restored")


def test_a_restore_command_of_the_platform_is_held_against_the_source(world: World) -> None:
    """It does what the platform's own does: no stop at an error, and changes on purpose."""
    command = f"""
set -e
mkdir -p {{folder}}/filestore
createdb -h {world.new.host} -U postgres {{restored}}
backup={world.folder}/backups/{{backup}}
psql -q -h {world.new.host} -U postgres -d {{restored}} -f $backup'_database.sql'
tar -C {{folder}} -xzf $backup'_data.tar.gz'
mv {{folder}}/filestore/{{database}} {{folder}}/filestore/{{restored}}
psql -q -h {world.new.host} -U postgres -d {{restored}} -c "update ir_cron set active = false"
"""
    target = {"command": ["bash", "-c", command]}
    trip = carry_out(world.trip(target=target))
    found = judged(trip, world.declared(target=target))
    assert {outcome for outcome, _ in found.values()} == {Outcome.PASS}, found
    assert "but for" in found[ROWS][1]
    assert world.is_clean()


# --- what is refused, stopped, or short of room ---


def test_a_dirty_target_is_refused_and_stays_as_it_is(world: World) -> None:
    psql(world.new, "postgres", f"create database {RESTORED}")
    psql(world.new, RESTORED, "create table kept (id int)")
    with pytest.raises(Refused, match=f"has a database {RESTORED} already"):
        carry_out(world.trip())
    psql(world.new, RESTORED, "select from kept")
    psql(world.new, "postgres", f"drop database {RESTORED}")
    (world.folder / "restored" / RESTORED).mkdir()
    (world.folder / "restored" / RESTORED / "kept").touch()
    with pytest.raises(Refused, match=f"{RESTORED} already"):
        carry_out(world.trip())
    assert (world.folder / "restored" / RESTORED / "kept").exists()
    assert not list((world.folder / "backups").iterdir())


def test_a_restore_where_the_customer_lives_is_refused(world: World) -> None:
    trip = world.trip()
    here = replace(trip.target, server=world.old)
    with pytest.raises(Refused, match="would be restored where it lives"):
        carry_out(replace(trip, target=here))
    with pytest.raises(Refused, match="would be restored where it lives"):
        carry_out(replace(trip, target=replace(trip.target, place="old")))


def test_a_customer_without_a_database_is_a_mistake_of_the_profile(world: World) -> None:
    customers = {"demo": {"database": "odoo_gone", "folder": str(world.folder / "data")}}
    with pytest.raises(ConfigError, match="no database odoo_gone"):
        carry_out(world.trip(customers=customers))


def test_too_little_room_is_refused_before_anything_is_asked(world: World) -> None:
    free = shutil.disk_usage(world.folder).free
    room = free / database.size(world.old, DATABASE) * 2
    with pytest.raises(Refused, match="GB free at"):
        carry_out(world.trip(room=room))
    assert not list((world.folder / "backups").iterdir())


def test_a_disk_that_is_full_half_way_stops_the_restore(world: World) -> None:
    """A tmpfs for the restored files, which something else fills once the room was found."""
    disk = world.folder / "small"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "none", disk]).returncode != 0:
        pytest.skip("this test mounts a tmpfs: it needs root")
    fill = f"head -c 65M /dev/zero > {disk}/other || true"
    changes = {
        "target": {"folder": str(disk)},
        "backup": {"command": world.platform(then=fill)},
    }
    try:
        reasons = red(world, carry_out(world.trip(**changes)), **changes)
        assert set(reasons) == {SERVED}
        assert "No space left on device" in reasons[SERVED]
        assert [it.name for it in disk.iterdir()] == ["other"]
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_backup_that_cannot_be_written_fails(world: World) -> None:
    """The claim of the backups is mounted read-only."""
    if os.geteuid() != 0:
        pytest.skip("this test mounts a folder read-only: it needs root")
    backups = world.folder / "backups"
    subprocess.run(["mount", "-t", "tmpfs", "-o", "ro,size=1m", "none", backups], check=True)
    try:
        reasons = red(world, carry_out(world.trip()))
    finally:
        subprocess.run(["umount", backups], check=True)
    assert set(reasons) == {WHOLE}
    assert "Read-only file system" in reasons[WHOLE]


def test_ctrl_c_ends_with_what_is_known_and_removes_what_was_made(
    world: World, after: Callable[[Callable[[], object]], None]
) -> None:
    def press() -> None:
        raise KeyboardInterrupt

    after(press)
    trip = carry_out(world.trip())
    assert trip.stopped is not None
    assert (trip.stopped.says, trip.left) == (BY_HAND, ())
    found = judged(trip, world.declared())
    assert found[WHOLE][0] is Outcome.PASS
    assert {found[it][0] for it in (ROWS, FILES_EQUAL, SERVED)} == {Outcome.NOT_PROVEN}
    assert world.is_clean()


def test_what_cannot_be_removed_is_told(
    world: World, after: Callable[[Callable[[], object]], None]
) -> None:
    def cut_off() -> None:
        def gone(machine: str, _: Sequence[str]) -> Completed | None:
            if machine == "new":
                raise Unreachable("new: no route")
            return None

        world.shell.before = gone

    after(cut_off)
    trip = carry_out(world.trip(answer={"sql": "select 500", "says": "500"}))
    found: Mapping[str, tuple[Outcome, str]] = judged(trip, world.declared())
    assert found[LEFT][0] is Outcome.NOT_PROVEN
    assert f"{RESTORED}: new: no route" in found[LEFT][1]
