"""Whether the B-tree indexes of a database fit their tables, as PostgreSQL's amcheck sees it.

A physical copy onto another C library leaves text indexes in the old order: queries then miss rows.
"""

from __future__ import annotations

import psycopg
from psycopg import sql

from harness.backup.equality.session import Connection, rows
from harness.core.errors import NotProven, Unreachable

_AMCHECK = """
select n.nspname from pg_extension e join pg_namespace n on n.oid = e.extnamespace
where extname = 'amcheck'
"""
_INDEXES = """
select c.oid, format('%I.%I', n.nspname, c.relname)
from pg_index i join pg_class c on c.oid = i.indexrelid join pg_class t on t.oid = i.indrelid
join pg_namespace n on n.oid = c.relnamespace join pg_am m on m.oid = c.relam
where m.amname = 'btree' and i.indisvalid and i.indisready and c.relkind = 'i'
  and c.relpersistence <> 't'
order by 2
"""


def unsound(connection: Connection) -> dict[str, str]:
    """The indexes that do not fit, with what PostgreSQL says; every row is looked up in each.

    NotProven without the extension amcheck, which is a part of PostgreSQL.
    """
    found = rows(connection, _AMCHECK)
    if not found:
        raise NotProven(
            "the target has no extension amcheck",
            remedy="run `create extension amcheck` in each database of the target",
        )
    check = sql.SQL("select {}(%s::oid::regclass, true)").format(
        sql.Identifier(found[0][0], "bt_index_check")
    )
    bad: dict[str, str] = {}
    for oid, name in rows(connection, _INDEXES):
        try:
            with connection.transaction():
                connection.execute(check, [oid])
        except psycopg.OperationalError as error:
            raise Unreachable(f"{name}: {error}") from error
        except psycopg.Error as error:
            bad[name] = str(error).partition("\n")[0]
    return bad
