"""What a role of PostgreSQL may do, found out by doing it as that role; nothing stays done.

Each act runs in a transaction that is rolled back, on no row. Triggers for each statement fire and
are rolled back with it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import psycopg
from psycopg import sql

from harness.backup.equality.session import Connection
from harness.core.errors import NotProven, Unreachable
from harness.facts.schema import Item, attempt

_CONNECTS_WITHIN_S = 10
# A role's default_transaction_read_only takes no right from it: it may turn that off itself.
_OPTIONS = "-c statement_timeout=30s -c lock_timeout=10s -c default_transaction_read_only=off"
_PROBE = sql.Identifier("cutover_access_probe")
# The words of PostgreSQL, and of its pg_hba.conf, for a role that may not connect. libpq does not
# tell the SQLSTATE of a refused connection; a server with another language is NOT PROVEN.
_REFUSED = ("permission denied for database", "no pg_hba.conf entry", "pg_hba.conf rejects")
# Columns that a statement may name as its target.
_COLUMNS = """
select attname, attgenerated = '' and attidentity <> 'a' from pg_catalog.pg_attribute
where attrelid = pg_catalog.to_regclass(%s) and attnum > 0 and not attisdropped order by attnum
"""
# nextval() would not be rolled back, so PostgreSQL is asked whether it would allow it.
_SEQUENCES = """
select coalesce(bool_and(pg_catalog.has_sequence_privilege(s.oid, 'USAGE, UPDATE')), true)
from pg_catalog.pg_attrdef a
join pg_catalog.pg_depend d on d.classid = 'pg_catalog.pg_attrdef'::regclass and d.objid = a.oid
join pg_catalog.pg_class s on s.oid = d.refobjid and s.relkind = 'S'
  and d.refclassid = 'pg_catalog.pg_class'::regclass
where a.adrelid = pg_catalog.to_regclass(%s)
"""
_WRITES = ("insert into", "update", "delete from")


@dataclass(frozen=True, slots=True)
class Role:
    """Who acts, and where; ``databases`` are those that the server has."""

    host: str
    port: int
    name: str
    password: str
    database: str
    databases: Collection[str]

    def connect(self, database: str) -> Connection:
        """A connection as this role; psycopg's error without one."""
        return psycopg.connect(
            host=self.host,
            port=self.port,
            user=self.name,
            password=self.password,
            dbname=database,
            options=_OPTIONS,
            # A database with encoding SQL_ASCII would give bytes.
            client_encoding="utf-8",
            connect_timeout=_CONNECTS_WITHIN_S,
            application_name="cutover",
        )

    def may_connect(self, database: str) -> bool:
        """NotProven if the database is not there, or the connection failed for another reason."""
        if database not in self.databases:
            raise NotProven(f"there is no database {database}")
        try:
            self.connect(database).close()
        except psycopg.Error as error:
            if any(words in str(error) for words in _REFUSED):
                return False
            raise NotProven(f"{database} as {self.name}: {error}") from error
        return True


How: TypeAlias = Callable[[Iterable[bool]], bool]


def allowed(role: Role, may: Iterable[str], must_not: Iterable[str]) -> Mapping[str, Item[bool]]:
    """Whether each act is allowed, by its words; Unreachable if the role cannot log in.

    An act of ``may`` is allowed if all of it is: each column of a table, and each way to write. An
    act of ``must_not`` is, if any part of it is.
    """
    asked: Mapping[str, How] = dict.fromkeys(may, all) | dict.fromkeys(must_not, any)
    try:
        connection = role.connect(role.database)
    except psycopg.Error as error:
        raise Unreachable(f"{role.name} cannot log in to {role.database}: {error}") from error
    with connection:
        return {
            act: attempt(partial(_is_allowed, role, connection, act, how))
            for act, how in asked.items()
        }


def _is_allowed(role: Role, connection: Connection, act: str, how: How) -> bool:
    verb, _, what = act.rpartition(" ")
    if verb == "connect to":
        return role.may_connect(what)
    if act == "create databases":
        return _may_create_databases(connection)
    if verb == "become":
        return _passes(connection, sql.SQL("SET ROLE {}").format(sql.Identifier(what)))
    if act == "create roles":
        return _passes(connection, sql.SQL("CREATE ROLE {}").format(_PROBE))
    if verb == "create in":
        table = sql.SQL("CREATE TABLE {}.{} ()").format(sql.Identifier(what), _PROBE)
        return _passes(connection, table)
    verbs = _WRITES if verb == "write" else (verb,)
    # A list, because `all` would leave out the acts after a refusal.
    return how([_may_use(connection, it, what, how) for it in verbs])


def _may_use(connection: Connection, verb: str, table: str, how: How) -> bool:
    """Read or write a table: with ``all``, every column in one statement, else any column."""
    try:
        with _rolled_back(connection):
            found = connection.execute(_COLUMNS.encode(), [table]).fetchall()
            (has_sequences,) = connection.execute(_SEQUENCES.encode(), [table]).fetchall()[0]
    except psycopg.errors.InsufficientPrivilege:
        return False  # not even the schema
    if not found:
        raise NotProven(f"there is no table {table}, or it has no columns")
    columns = [name for name, is_target in found if is_target or verb == "read"]
    groups = [columns] if how is all or verb == "delete from" else [[it] for it in columns]
    may = how([_passes(connection, _STATEMENTS[verb](_named(table), it)) for it in groups])
    return may and (has_sequences or how is any or verb != "insert into")


def _named(table: str) -> sql.Identifier:
    return sql.Identifier(*table.split("."))


def _read(table: sql.Identifier, columns: Sequence[str]) -> sql.Composed:
    return sql.SQL("SELECT {} FROM {} LIMIT 0").format(_list(columns), table)


def _insert(table: sql.Identifier, columns: Sequence[str]) -> sql.Composed:
    nothing = sql.SQL(", ").join([sql.SQL("NULL")] * len(columns))
    return sql.SQL("INSERT INTO {} ({}) SELECT {} WHERE false").format(
        table, _list(columns), nothing
    )


def _update(table: sql.Identifier, columns: Sequence[str]) -> sql.Composed:
    changes = [sql.SQL("{} = DEFAULT").format(sql.Identifier(it)) for it in columns]
    return sql.SQL("UPDATE {} SET {} WHERE false").format(table, sql.SQL(", ").join(changes))


def _delete(table: sql.Identifier, _: Sequence[str]) -> sql.Composed:
    return sql.SQL("DELETE FROM {} WHERE false").format(table)


def _list(columns: Sequence[str]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, columns))


_STATEMENTS: Mapping[str, Callable[[sql.Identifier, Sequence[str]], sql.Composed]] = {
    "read": _read,
    "insert into": _insert,
    "update": _update,
    "delete from": _delete,
}


def _passes(connection: Connection, statement: sql.Composed) -> bool:
    """True if PostgreSQL runs it, False if the role may not; NotProven for another answer."""
    try:
        with _rolled_back(connection):
            connection.execute(statement)
    except psycopg.errors.InsufficientPrivilege:
        return False
    return True


@contextmanager
def _rolled_back(connection: Connection) -> Iterator[None]:
    """A transaction that leaves nothing; psycopg's errors but a missing right become ours."""
    try:
        yield
    except psycopg.errors.InsufficientPrivilege:
        raise
    except psycopg.OperationalError as error:
        raise Unreachable(str(error)) from error
    except psycopg.Error as error:
        raise NotProven(str(error)) from error
    finally:
        if not connection.closed:
            connection.rollback()


def _may_create_databases(connection: Connection) -> bool:
    """CREATE DATABASE knows no transaction: it has a template here that does not exist.

    PostgreSQL looks for the right before the template.
    """
    connection.autocommit = True
    try:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE cutover_no_such_template").format(_PROBE)
        )
    except psycopg.errors.InsufficientPrivilege:
        return False
    except psycopg.errors.InvalidCatalogName:
        return True
    except psycopg.Error as error:
        raise NotProven(str(error)) from error
    finally:
        connection.autocommit = False
    raise NotProven("there is a database cutover_no_such_template: it was copied")
