"""W5-EQUAL of MariaDB: how rows become bytes, then two real servers of which one was changed."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.backup.equality.mariadb.compare import compared
from harness.backup.equality.mariadb.session import Server, moment, rows
from harness.backup.equality.mariadb.tables import packed, unpacked
from harness.checks import CHECKS
from harness.core.errors import NotProven
from harness.core.model import Outcome, Verdict
from harness.facts.databases import Compared, Database, Table
from harness.facts.schema import Unknown, dump
from harness.tests.clean_case import case, clean
from harness.tests.clean_cluster import CLUSTER
from harness.tests.mariadb_server import mariadb, script

ROWS = st.lists(st.one_of(st.none(), st.binary(max_size=12)), max_size=6).map(tuple)


@given(ROWS)
def test_a_row_comes_back_from_its_bytes(row: tuple[bytes | None, ...]) -> None:
    assert unpacked(packed(row)) == row


@given(ROWS, ROWS)
def test_different_rows_are_different_bytes(
    one: tuple[bytes | None, ...], other: tuple[bytes | None, ...]
) -> None:
    assert (packed(one) == packed(other)) == (one == other)


# --- two real servers ---

SEED = """
create database killbill character set utf8mb4;
create database kaui;
create user killbill@'%' identified by 'one';
grant select, insert, update on killbill.* to killbill@'%';
create role auditor;
grant select on killbill.* to auditor;
use killbill;
create table accounts (
  record_id serial primary key, id varchar(36) not null unique, name text, email varchar(128)
    collate utf8mb4_bin, balance decimal(15,9), rate double, share float, active bit(1),
    created timestamp not null default '2026-01-01 00:00:00', notes blob,
  constraint positive check (balance >= 0)
) engine=InnoDB;
insert into accounts (id, name, email, balance, rate, share, active, notes)
  select concat('account-', seq), concat('Näme ', seq), if(seq % 3, concat(seq, '@x'), null),
    seq * 1.5, 1e0 / seq, seq / 4, seq % 2, unhex(md5(seq)) from seq_1_to_2000;
create table invoices (
  id varchar(36) character set latin1 not null primary key, account bigint unsigned not null,
  amount decimal(15,9), due date, key of_account (account),
  constraint of foreign key (account) references accounts (record_id) on delete cascade
) engine=InnoDB;
insert into invoices select concat('Invoice ', char(65 + seq % 2 * 32), seq), seq % 2000 + 1,
  seq * 0.1, date '2026-01-01' + interval seq day from seq_1_to_3000;
create table tags (tag varchar(20), many int) engine=InnoDB;
insert into tags select concat('t', seq % 5), seq % 7 from seq_1_to_700;
create table old_notes (id int primary key, note text) engine=MyISAM;
insert into old_notes values (1, 'a');
create sequence numbers start with 100;
select nextval(numbers);
create table phones (number varchar(20) primary key) engine=InnoDB;
insert into phones values ('4930123456');
create view owing as select account, sum(amount) total from invoices group by account;
create trigger stamp before insert on invoices for each row set new.due = ifnull(new.due, now());
create procedure close_account(in which bigint) delete from accounts where record_id = which;
create event cleaning on schedule every 1 day starts '2026-01-01 00:00:00' do delete from tags;
"""
BREAK = """
set foreign_key_checks = 0;
update accounts set email = '' where record_id = 6;
delete from accounts where record_id = 8;
delete from phones;
insert into invoices values ('Invoice new', 1, 1, null);
insert into tags select * from tags limit 2;
alter table accounts drop constraint positive;
alter table invoices drop key of_account, add key of_account (account, due);
alter table invoices convert to character set utf8mb4;
alter table accounts auto_increment = 1;
delete from accounts where record_id > 1900;
alter table accounts auto_increment = 1901;
alter sequence numbers restart 50;
drop view owing;
create view owing as select account, count(*) total from invoices group by account;
drop trigger stamp;
drop procedure close_account;
alter event cleaning disable;
revoke update on killbill.* from killbill@'%';
set password for killbill@'%' = password('two');
drop role auditor;
"""
SECRETS = ("account-", "@x", "Invoice", "Näme", "4930123456")


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[Server, Server]]:
    with mariadb() as source, mariadb() as target:
        script(source, SEED)
        copy(source, target)
        yield source, target


def copy(source: Server, target: Server) -> None:
    """Restore the source's dump into the target, with its accounts."""
    dump = (
        *("mariadb-dump", "--no-defaults", "--user=root", "--password=secret"),
        *(
            f"--socket={source.socket}",
            "--single-transaction",
            "--routines",
            "--events",
            "--hex-blob",
        ),
    )
    databases = subprocess.run([*dump, "--databases", "killbill", "kaui"], capture_output=True)
    accounts = subprocess.run([*dump, "--system=users", "--insert-ignore"], capture_output=True)
    assert (databases.returncode, accounts.returncode) == (0, 0), (databases, accounts)
    script(target, databases.stdout.decode() + accounts.stdout.decode())


def judged(found: dict[str, Compared]) -> dict[str, Verdict]:
    seen = case(clean() | {"databases": {CLUSTER.name: dump(found)}})
    return {name: check(seen) for name, check in CHECKS.items() if name in EQUAL}


EQUAL = (
    "every table holds the same rows",
    "everything beside the rows is the same",
    "no sequence is behind",
    "every index fits its table",
)


@pytest.mark.slow
def test_a_copy_is_equal_but_for_tables_without_a_snapshot(servers: tuple[Server, Server]) -> None:
    found = compared(*servers)
    assert set(found) == {"kaui", "killbill"}
    killbill = found["killbill"]
    assert isinstance(killbill, Database)
    doubtful = killbill.tables["old_notes"]
    assert isinstance(doubtful, Unknown)
    assert "MyISAM keeps no snapshot" in doubtful.error
    rows, *others = judged(found).values()
    assert rows.outcome is Outcome.NOT_PROVEN
    assert {it.outcome for it in others} == {Outcome.PASS}, others


@pytest.mark.slow
def test_every_difference_is_found_and_no_value_is_told(servers: tuple[Server, Server]) -> None:
    script(servers[1], BREAK, "killbill")
    found = compared(*servers, ["killbill"])
    verdicts = judged(found)
    rows, rest, ahead = (verdicts[it] for it in EQUAL[:3])
    assert {it.outcome for it in (rows, rest, ahead)} == {Outcome.FAIL}, (rows, rest, ahead)
    killbill = found["killbill"]
    assert isinstance(killbill, Database)
    accounts = killbill.tables["accounts"]
    assert isinstance(accounts, Table)
    assert (accounts.source.rows, accounts.target.rows, accounts.differing) == (2000, 1899, 102)
    assert len(accounts.first) == 20
    assert "killbill, invoices: expected the same rows, seen 3000 and 3001" in rows.reason
    assert "killbill, tags: expected the same rows, seen 700 and 702" in rows.reason
    told = [f"killbill, {words}" for words in REST] + list(OF_SERVER)
    assert [it for it in told if it not in rest.reason] == [], rest.reason
    assert ahead.reason == (
        "killbill, accounts.record_id: expected at least 2047, seen 1900; "
        "killbill, numbers: expected at least 1099, seen 49"
    )
    assert not any(secret in str(found) for secret in SECRETS)


REST = (
    "column invoices.id: expected character set latin1; collation latin1_swedish_ci, seen",
    "constraint positive on accounts: expected it on both sides, seen on the source alone",
    "event cleaning: expected ENABLED, seen DISABLED",
    "index of_account on invoices: expected on account, seen on account, due",
    "procedure close_account: expected it on both sides, seen on the source alone",
    "trigger stamp: expected it on both sides, seen on the source alone",
    "view owing: expected select",
)
# Of the server, hence in both of its databases, and told once.
OF_SERVER = (
    "; role auditor: expected it on both sides, seen on the source alone",
    "; user killbill@%: expected GRANT SELECT, INSERT, UPDATE ON `killbill`.* TO `killbill`@`%`; "
    "GRANT USAGE ON *.* TO `killbill`@`%` IDENTIFIED BY PASSWORD",
)


@pytest.mark.slow
def test_each_changed_value_of_a_row_is_found(servers: tuple[Server, Server]) -> None:
    """A FLOAT and a DOUBLE one step apart, NULL against empty, an hour, a letter's case."""
    source, target = servers
    for one in servers:
        script(one, VALUES)
    script(target, CHANGES, "worth")
    worth = compared(source, target, ["worth"])["worth"]
    assert isinstance(worth, Database)
    found = worth.tables["t"]
    assert isinstance(found, Table)
    assert {it.row: it.columns for it in found.first} == {
        "id 1": ("share",),
        "id 2": ("rate",),
        "id 3": ("note",),
        "id 4": ("at",),
        "id 5": ("name",),
        "id 6": ("money",),
        "id 10": ("bits",),
    }


VALUES = """
create database worth;
use worth;
create table t (id int primary key, share float, rate double, note text, at timestamp null,
  name varchar(9), money decimal(15,9), bits bit(9)) engine=InnoDB;
insert into t select seq, 0.75, 0.3, null, '2026-03-01', 'Paid', 9.99, b'1' from seq_1_to_10;
"""
CHANGES = """
update t set share = share + 6e-8 where id = 1;
update t set rate = 0.1e0 + 0.2e0 where id = 2;
update t set note = '' where id = 3;
update t set at = at + interval 1 hour where id = 4;
update t set name = 'paid' where id = 5;
update t set money = money + 0.000000001 where id = 6;
update t set bits = b'100000001' where id = 10;
"""


@pytest.mark.slow
def test_a_damaged_table_of_the_target_is_found(servers: tuple[Server, Server]) -> None:
    """An Aria table's file loses its end, as when a copy was cut."""
    _, target = servers
    seed = "create database hurt; create table hurt.t (id int primary key, note text) engine=Aria"
    for one in servers:
        script(one, f"{seed}; insert into hurt.t values (1, repeat('x', 99))")
    script(target, "flush tables hurt.t")
    data = Path(target.socket).with_name("data") / "hurt" / "t.MAD"
    os.truncate(data, 9000)
    hurt = compared(*servers, ["hurt"])
    sound = judged(hurt)["every index fits its table"]
    assert sound.outcome is Outcome.FAIL
    assert sound.reason.startswith("hurt, t: expected an index that fits its table, seen: error:")


@pytest.mark.slow
def test_a_source_that_is_written_to_is_noticed(servers: tuple[Server, Server]) -> None:
    source, _ = servers
    with moment(source, "kaui") as still:
        assert not still.wrote_since()
        script(source, "create table kaui.t (id int primary key)")
        script(source, "insert into kaui.t values (1)")
        assert still.wrote_since()
        with pytest.raises(NotProven, match=r"doesn't exist|definition has changed"):
            rows(still.connection, "select * from t")


@pytest.mark.slow
def test_a_server_is_never_compared_with_itself(servers: tuple[Server, Server]) -> None:
    with pytest.raises(NotProven, match="source and target are the same MariaDB"):
        compared(servers[0], servers[0])


@pytest.mark.slow
def test_a_server_that_refuses_or_is_gone_is_told(servers: tuple[Server, Server]) -> None:
    wrong = replace(servers[0], password="wrong")
    with pytest.raises(NotProven, match="Access denied"), wrong.connect():
        pass
