"""Round trips between two real PostgreSQL: each defect turns red for its own reason."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from harness.backup.restore import database, round_trip
from harness.backup.restore.round_trip import carry_out
from harness.core.errors import Unreachable
from harness.core.model import Outcome
from harness.core.waiting import until
from harness.tests.backup_files import FILES
from harness.tests.postgres_server import BINARIES, NEEDS_POSTGRES, psql
from harness.tests.round_trip_world import (
    CUT,
    DATABASE,
    FILES_EQUAL,
    LOST,
    MOMENT,
    MUTATIONS,
    RESTORED,
    ROWS,
    SERVED,
    WHOLE,
    World,
    judged,
    red,
    servers,
    world,
)
from harness.transport import Completed

__all__ = ["servers", "world"]
pytestmark = NEEDS_POSTGRES


def test_a_backup_comes_back_equal_in_time_and_leaves_nothing(world: World) -> None:
    for _ in range(2):
        trip = carry_out(world.trip())
        found = judged(trip, world.declared())
        assert {outcome for outcome, _ in found.values()} == {Outcome.PASS}, found
        assert world.is_clean()
    assert "3 files" in found[WHOLE][1]
    assert trip.rto_s is not None
    assert 0 < trip.rto_s < 30


def test_a_file_that_the_customer_itself_lacks_is_told_and_no_failure_of_its_backup(
    world: World,
) -> None:
    (world.files / min(FILES)).unlink()
    found = judged(carry_out(world.trip()), world.declared())
    assert {outcome for outcome, _ in found.values()} == {Outcome.PASS}, found
    assert "the customer itself lacks 1 files that its rows name" in found[WHOLE][1]
    assert "but for 1 that the customer itself lacks" in found[MOMENT][1]


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


BUNDLES = {
    "public.ir_attachment": {
        "rows": "name in ('0', '1', 'bundle')",
        "at_most": 3,
        "because": "Odoo makes its asset bundles anew when it is opened",
    }
}


@pytest.mark.parametrize("unnamed", [0, 1])
def test_files_that_come_and_go_with_declared_rows_are_judged_with_these_alone(
    world: World, after: Callable[[Callable[[], object]], None], unnamed: int
) -> None:
    """Odoo replaces its asset bundles when it is opened: of two, one file is removed already."""
    restored = world.folder / f"restored/{RESTORED}/filestore/{RESTORED}"
    gone, marked = tuple(FILES)[:2]
    bundle = "bb/bb" + "0" * 38

    def write(name: str) -> None:
        (restored / name).parent.mkdir(parents=True, exist_ok=True)
        (restored / name).write_bytes(b"")

    def open_odoo() -> None:
        psql(
            world.new,
            RESTORED,
            f"""
            delete from ir_attachment where store_fname in ('{gone}', '{marked}');
            insert into ir_attachment (name, store_fname) values ('bundle', '{bundle}');
            select setval('ir_attachment_id_seq', {len(FILES)});
            """,
        )
        (restored / gone).unlink()
        for name in (bundle, f"checklist/{marked}", f"checklist/{bundle}"):
            write(name)
        for number in range(unnamed):
            write(f"ee/ee{number:038}")

    after(open_odoo)
    mutations = MUTATIONS | BUNDLES
    found = carry_out(world.trip(mutations=mutations))
    reasons = red(world, found, mutations=mutations)
    assert set(reasons) == ({FILES_EQUAL, MOMENT} if unnamed else set()), reasons
    if unnamed:
        assert "1 files are not the customer's: ee/ee" in reasons[FILES_EQUAL]
    assert {ROWS, FILES_EQUAL} <= red(world, carry_out(world.trip())).keys()


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
            within_s=60,
            what="PostgreSQL counts the row",
        )

    after(go_on)
    found = judged(carry_out(world.trip()), world.declared())
    assert found[ROWS][0] is Outcome.NOT_PROVEN
    assert "public.invoice was written at the source" in found[ROWS][1]
    assert found[FILES_EQUAL][0] is Outcome.NOT_PROVEN
    assert "1 files differ, and each was written at the source" in found[FILES_EQUAL][1]


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
