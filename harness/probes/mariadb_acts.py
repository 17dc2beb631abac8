"""What an account of MariaDB may do, found out by doing it as that account; nothing stays done.

Each act is on no row, or meets what is there already: MariaDB asks for the right first. It has no
transactions for CREATE, so nothing that is not there is ever created.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import pymysql
from pymysql.constants import ER

from harness.backup.equality.mariadb.session import Connection, Server, asking, quoted, rows, value
from harness.core.errors import NotProven
from harness.facts.schema import Item, attempt

_STATEMENT_S = 30
_REFUSED = (
    *(ER.DBACCESS_DENIED_ERROR, ER.TABLEACCESS_DENIED_ERROR, ER.COLUMNACCESS_DENIED_ERROR),
    ER.SPECIFIC_ACCESS_DENIED_ERROR,
)
# A role that is there, and that the account may not take on (MariaDB, "Error 1959").
_INVALID_ROLE = 1959
_WRITES = ("insert into", "update", "delete from")
_COLUMNS = """
select column_name, is_generated = 'NEVER' from information_schema.columns
where table_schema = {} and table_name = {} order by ordinal_position
"""
_ANY_TABLE = "select table_name from information_schema.tables where table_schema = {} limit 1"
How: TypeAlias = Callable[[Iterable[bool]], bool]


@dataclass(frozen=True, slots=True)
class Account:
    """Who acts and where: ``user@host``, by ``server`` as that user; ``admin`` sees everything."""

    name: str
    server: Server
    database: str
    admin: Server
    roles: Collection[str]


def allowed(
    account: Account, may: Iterable[str], must_not: Iterable[str]
) -> Mapping[str, Item[bool]]:
    """Whether each act is allowed, by its words; Unreachable if the account cannot log in.

    An act of ``may`` is allowed if all of it is: each column of a table, and each way to write. An
    act of ``must_not`` is, if any part of it is. NotProven if MariaDB takes it for another account.
    """
    asked: Mapping[str, How] = dict.fromkeys(may, all) | dict.fromkeys(must_not, any)
    with account.admin.connect() as admin, account.server.connect() as connection:
        rows(connection, f"set session max_statement_time = {_STATEMENT_S}")
        if (taken_for := value(connection, "select current_user()")) != account.name:
            raise NotProven(f"{account.name}: MariaDB takes it for {taken_for}")
        acts = _Acts(account, connection, admin)
        return {act: attempt(partial(acts.is_allowed, act, how)) for act, how in asked.items()}


@dataclass(frozen=True, slots=True)
class _Acts:
    account: Account
    connection: Connection
    admin: Connection

    def is_allowed(self, act: str, how: How) -> bool:
        verb, _, what = act.rpartition(" ")
        if act == "create roles":
            return self._passes(
                f"create user {self._text(*self.account.name.rsplit('@', 1))}", ER.CANNOT_USER
            )
        if act == "create databases":
            return self._passes("create database mysql", ER.DB_CREATE_EXISTS)
        if verb == "connect to":
            return self._passes(f"use {quoted(what)}")
        if verb == "become":
            return self._may_become(what)
        if verb == "create in":
            return self._may_create_in(what)
        verbs = _WRITES if verb == "write" else (verb,)
        # A list, because `all` would leave out the acts after a refusal.
        return how([self._may_use(it, what, how) for it in verbs])

    def _may_become(self, role: str) -> bool:
        if role not in self.account.roles:
            raise NotProven(f"there is no role {role}")
        try:
            return self._passes(f"set role {quoted(role)}", refused=(_INVALID_ROLE,))
        finally:
            rows(self.connection, "set role none")

    def _may_create_in(self, database: str) -> bool:
        found = rows(self.admin, _ANY_TABLE.format(self._text(database)))
        if not found:
            raise NotProven(f"{database} has no table, so this cannot be tried without making one")
        table = f"{quoted(database)}.{quoted(str(found[0][0]))}"
        return self._passes(f"create table {table} (of_cutover int)", ER.TABLE_EXISTS_ERROR)

    def _may_use(self, verb: str, table: str, how: How) -> bool:
        """Read or write a table: with ``all``, every column in one statement, else any column."""
        database, _, name = table.rpartition(".")
        database = database or self.account.database
        found = rows(self.admin, _COLUMNS.format(self._text(database), self._text(name)))
        if not found:
            raise NotProven(f"there is no table {database}.{name}")
        columns = [quoted(str(it)) for it, is_target in found if is_target == "1" or verb == "read"]
        groups = [columns] if how is all or verb == "delete from" else [[it] for it in columns]
        full = f"{quoted(database)}.{quoted(name)}"
        return how([self._passes(_STATEMENTS[verb](full, it)) for it in groups])

    def _passes(
        self,
        statement: str,
        there_already: int | None = None,
        refused: Collection[int] = _REFUSED,
    ) -> bool:
        """True if MariaDB runs it, or would but for what is there; False if it refuses.

        NotProven for another answer.
        """
        try:
            with self.connection.cursor() as cursor:
                cursor.execute(statement)
        except pymysql.MySQLError as error:
            if error.args and error.args[0] in (*refused, there_already):
                return bool(error.args[0] == there_already)
            with asking(self.account.name):
                raise
        if there_already is not None:
            raise NotProven(f"expected that it is there already, but MariaDB did: {statement}")
        return True

    def _text(self, *words: str) -> str:
        return "@".join(str(self.connection.escape(it)) for it in words)


def _read(table: str, columns: Sequence[str]) -> str:
    return f"select {', '.join(columns)} from {table} limit 0"


def _insert(table: str, columns: Sequence[str]) -> str:
    nothing = ", ".join(["null"] * len(columns))
    return f"insert into {table} ({', '.join(columns)}) select {nothing} from dual where false"


def _update(table: str, columns: Sequence[str]) -> str:
    return f"update {table} set {', '.join(f'{it} = null' for it in columns)} where false"


def _delete(table: str, _: Sequence[str]) -> str:
    return f"delete from {table} where false"


_STATEMENTS: Mapping[str, Callable[[str, Sequence[str]], str]] = {
    "read": _read,
    "insert into": _insert,
    "update": _update,
    "delete from": _delete,
}
