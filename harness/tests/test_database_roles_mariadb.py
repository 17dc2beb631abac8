"""W5-ACCESS of MariaDB: what accounts may do, as a real server answers them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from harness.backup.equality.mariadb.catalogue import catalogue
from harness.backup.equality.mariadb.session import Server, rows
from harness.checks import CHECKS
from harness.core.errors import NotProven, Unreachable
from harness.core.model import Outcome
from harness.facts.schema import Known
from harness.probes.database_roles import DatabaseRoles, accounts_of
from harness.probes.mariadb_acts import Account, _Acts, allowed
from harness.settings.databases import Equality, declared_roles
from harness.tests.clean_case import case, clean
from harness.tests.clean_cluster import CLUSTER
from harness.tests.mariadb_server import mariadb, script
from harness.tests.probe_rig import PROFILE, reach

SEED = """
create database killbill;
create database kaui;
create database empty;
create table killbill.accounts (record_id serial primary key, name text not null,
  twice varchar(9) generated always as (left(name, 2)) stored);
create table killbill.invoices (id int primary key, amount decimal(15,9), note text);
create table kaui.users (name text);
insert into killbill.accounts (name) values ('one');
create user killbill@localhost identified by 'secret';
grant select, insert, update, delete on killbill.accounts to killbill@localhost;
grant select (id), update (note) on killbill.invoices to killbill@localhost;
create user maker@localhost identified by 'secret';
grant all on *.* to maker@localhost;
create role auditor;
grant select on kaui.* to auditor;
create user member@localhost identified by 'secret';
grant auditor to member@localhost;
create user anywhere@'%' identified by 'secret';
create user anywhere@localhost identified by 'secret';
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with mariadb() as started:
        script(started, SEED)
        yield started


def tried(server: Server, name: str, may: tuple[str, ...], must_not: tuple[str, ...] = ()) -> Any:
    """Each act's answer, or why there is none."""
    own = Server(server.socket, name.partition("@")[0], "secret")
    account = Account(name, own, "killbill", server, accounts_of(server))
    found = allowed(account, may, must_not)
    return {act: it.value if isinstance(it, Known) else it.error for act, it in found.items()}


@pytest.mark.slow
def test_a_service_can_use_its_own_tables(server: Server) -> None:
    acts = ("read accounts", "write accounts", "read killbill.accounts", "connect to killbill")
    assert tried(server, "killbill@localhost", acts) == dict.fromkeys(acts, True)


@pytest.mark.slow
def test_a_part_of_a_right_is_not_enough_and_already_too_much(server: Server) -> None:
    acts = ("read invoices", "update invoices", "write invoices")
    assert tried(server, "killbill@localhost", acts) == dict.fromkeys(acts, False)
    assert tried(server, "killbill@localhost", (), acts) == dict.fromkeys(acts, True)
    others = ("insert into invoices", "delete from invoices")
    assert tried(server, "killbill@localhost", (), others) == dict.fromkeys(others, False)


@pytest.mark.slow
def test_what_belongs_to_others_is_refused(server: Server) -> None:
    acts = (
        *("read kaui.users", "write kaui.users", "connect to kaui", "read mysql.global_priv"),
        *("become auditor", "create roles", "create databases", "create in killbill"),
    )
    assert tried(server, "killbill@localhost", (), acts) == dict.fromkeys(acts, False)


@pytest.mark.slow
def test_an_account_with_more_rights_is_found(server: Server) -> None:
    acts = ("create roles", "create databases", "create in kaui", "read mysql.global_priv")
    assert tried(server, "maker@localhost", (), acts) == dict.fromkeys(acts, True)
    found = tried(server, "member@localhost", (), ("become auditor", "read kaui.users"))
    assert found == {"become auditor": True, "read kaui.users": False}


@pytest.mark.slow
def test_what_is_not_there_is_not_proven(server: Server) -> None:
    acts = ("read nothing", "connect to nowhere", "become nobody", "create in empty")
    found = tried(server, "maker@localhost", acts)
    assert "there is no table killbill.nothing" in found["read nothing"]
    assert "nknown database 'nowhere'" in found["connect to nowhere"]
    assert "there is no role nobody" in found["become nobody"]
    assert "empty has no table" in found["create in empty"]


@pytest.mark.slow
def test_an_account_that_another_stands_before_is_not_proven(server: Server) -> None:
    with pytest.raises(NotProven, match="MariaDB takes it for anywhere@localhost"):
        tried(server, "anywhere@%", ("read accounts",))
    with pytest.raises(NotProven, match="Access denied"):
        tried(server, "stranger@localhost", ("read accounts",))


@pytest.mark.slow
@pytest.mark.parametrize("act", ["write killbill.accounts", "connect to killbill"])
def test_a_connection_that_is_lost_amid_the_acts_allows_nothing(server: Server, act: str) -> None:
    """PyMySQL's error of a connection that is gone has the number 0."""
    account = Account("maker@localhost", server, "killbill", server, ("auditor",))
    with server.connect() as admin, server.connect() as connection:
        acts = _Acts(account, connection, admin)
        connection.close()
        with pytest.raises(Unreachable):
            acts.is_allowed(act, all)
        connection.connect()


def test_nothing_of_it_stays(server: Server) -> None:
    def state() -> object:
        names = "select table_schema, table_name, table_rows from information_schema.tables"
        with server.connect("killbill") as connection:
            counter = "select max(record_id), count(*) from accounts"
            return (
                catalogue(connection, b""),
                rows(connection, counter),
                [it[:2] for it in rows(connection, names)],
            )

    before = state()
    acts = ("write accounts", "create roles", "create databases", "create in kaui")
    tried(server, "maker@localhost", acts, ("become auditor", "connect to kaui"))
    assert state() == before


@pytest.mark.slow
def test_grants_are_the_same_in_any_order_and_no_password_is_shown(server: Server) -> None:
    def user() -> str:
        with server.connect("killbill") as connection:
            return catalogue(connection, b"salt")["user killbill@localhost"]

    before = user()
    script(server, "revoke select (id), update (note) on killbill.invoices from killbill@localhost")
    assert user() != before
    script(server, "revoke all, grant option from killbill@localhost")
    script(server, "grant update (note), select (id) on killbill.invoices to killbill@localhost")
    everything = "select, insert, update, delete"
    script(server, f"grant {everything} on killbill.accounts to killbill@localhost")
    assert user() == before
    with server.connect() as connection:
        ((digest,),) = rows(connection, "select password('secret')")
    assert "PASSWORD" in before
    assert str(digest) not in before


class SocketTunnels:
    """A tunnel whose socket file is a server's own."""

    def __init__(self, socket: str) -> None:
        self.socket = Path(socket)

    def unix_forward(self, *_: object) -> Path:
        return self.socket

    def close(self) -> None:
        """Nothing is open."""


@pytest.mark.slow
def test_the_probe_tells_what_the_checks_judge(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "password").write_text("secret\n")
    side = {
        "machine": "vmi2887101",
        "address": "127.0.0.1",
        "password_file": f"{tmp_path}/password",
    }
    declared = {
        "password_file": f"{tmp_path}/password",
        "database": "killbill",
        "may": ["write accounts", "read invoices"],
        "must_not": ["connect to kaui"],
    }
    pair = Equality.model_validate(
        {
            "kind": "mariadb",
            "name": "money",
            "source": side,
            "target": side,
            "roles": {"killbill@localhost": declared, "maker@localhost": declared},
        }
    )
    like = PROFILE.model_copy(update={"equality": (pair,)})
    monkeypatch.setattr(
        "harness.probes.database_roles.Tunnels", lambda *_: SocketTunnels(server.socket)
    )
    seen = DatabaseRoles().observe(reach(like=like), like.name)
    found = case(clean() | {"database-roles": {CLUSTER.name: seen}})
    cluster = replace(CLUSTER, database_roles=declared_roles([pair]))
    verdicts = {
        check: CHECKS[check](replace(found, cluster=cluster))
        for check in (
            "both sides have the same roles",
            "every role can do what it must",
            "no role can do what it must not",
        )
    }
    same, work, no_more = verdicts.values()
    assert same.outcome is Outcome.PASS, same
    assert work.reason == (
        "money/killbill@localhost: expected that it may read invoices, seen that it may not"
    )
    assert no_more.outcome is Outcome.FAIL
    assert set(no_more.where) == {"money/maker@localhost"}


def test_an_account_without_a_host_is_refused() -> None:
    side = {"machine": "one", "address": "127.0.0.1", "password_file": "/x"}
    role = {"password_file": "/x", "database": "killbill", "may": ["read accounts"]}
    with pytest.raises(ValidationError, match="write killbill@% for 'killbill'"):
        Equality.model_validate(
            {"kind": "mariadb", "source": side, "target": side, "roles": {"killbill": role}}
        )
