"""Everything of a MariaDB's database but its rows, as named lines that are compared as text.

Each query gives (object, definition); the parts of a definition are between semicolons. Accounts
are the server's, so that every database has them. MariaDB 10.4 and later.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

from harness.backup.equality.mariadb.session import Connection, quoted, rows, value
from harness.facts.databases import Sequence

_QUERIES: Mapping[str, str] = {
    "database": """
        select 'database', concat('character set ', default_character_set_name,
          '; collation ', default_collation_name)
        from information_schema.schemata where schema_name = database()""",
    # With another value, the same statement means something else.
    "setting": """
        select concat('setting ', lower(variable_name)), variable_value
        from information_schema.global_variables where variable_name in (
          'auto_increment_increment', 'auto_increment_offset', 'character_set_server',
          'collation_server', 'default_storage_engine', 'event_scheduler',
          'explicit_defaults_for_timestamp', 'lower_case_table_names', 'sql_mode',
          'system_time_zone', 'time_zone', 'tx_isolation')""",
    "table": """
        select concat('table ', table_name), concat_ws('; ', concat('engine ', engine),
          concat('collation ', table_collation), nullif(create_options, ''),
          concat('comment ', nullif(table_comment, '')))
        from information_schema.tables
        where table_schema = database() and table_type not in ('VIEW', 'SEQUENCE')""",
    "partition": """
        select concat_ws(' ', 'partition', partition_name, subpartition_name, 'of', table_name),
          concat_ws('; ', concat('by ', partition_method, ' ', partition_expression),
            concat('values ', partition_description),
            concat('then by ', subpartition_method, ' ', subpartition_expression))
        from information_schema.partitions
        where table_schema = database() and partition_name is not null""",
    "column": """
        select concat('column ', table_name, '.', column_name), concat_ws('; ', column_type,
          concat('place ', ordinal_position), if(is_nullable = 'NO', 'not null', null),
          concat('default ', column_default), nullif(extra, ''),
          concat('generated as ', generation_expression),
          concat('character set ', character_set_name), concat('collation ', collation_name),
          concat('comment ', nullif(column_comment, '')))
        from information_schema.columns c join information_schema.tables t
          using (table_schema, table_name)
        where table_schema = database() and table_type <> 'SEQUENCE'""",
    "index": """
        select concat('index ', index_name, ' on ', table_name), concat_ws('; ',
          if(min(non_unique), null, 'unique'), min(index_type),
          concat('on ', group_concat(concat(column_name,
            ifnull(concat('(', sub_part, ')'), ''), if(collation = 'D', ' desc', ''))
            order by seq_in_index separator ', ')))
        from information_schema.statistics where table_schema = database()
        group by table_name, index_name""",
    "foreign key": """
        select concat('constraint ', r.constraint_name, ' on ', r.table_name), concat_ws('; ',
          concat('foreign key (', group_concat(k.column_name order by k.ordinal_position
            separator ', '), ')'),
          concat('references ', min(k.referenced_table_schema), '.', r.referenced_table_name, ' (',
            group_concat(k.referenced_column_name order by k.ordinal_position separator ', '), ')'),
          concat('on update ', r.update_rule), concat('on delete ', r.delete_rule))
        from information_schema.referential_constraints r
        join information_schema.key_column_usage k on k.constraint_schema = r.constraint_schema
          and k.constraint_name = r.constraint_name and k.table_name = r.table_name
        where r.constraint_schema = database()
        group by r.constraint_name, r.table_name, r.referenced_table_name, r.update_rule,
          r.delete_rule""",
    "check": """
        select concat('constraint ', constraint_name, ' on ', table_name),
          concat('check ', check_clause)
        from information_schema.check_constraints where constraint_schema = database()""",
    "trigger": """
        select concat('trigger ', trigger_name), concat_ws('; ',
          concat_ws(' ', action_timing, event_manipulation, 'on', event_object_table),
          concat('order ', action_order), concat('definer ', definer),
          concat('sql_mode ', sql_mode), concat('collation ', collation_connection),
          action_statement)
        from information_schema.triggers where trigger_schema = database()""",
    "routine": """
        select concat(lower(routine_type), ' ', routine_name), concat_ws('; ',
          concat('parameters ', (select group_concat(
              concat_ws(' ', parameter_mode, parameter_name, p.dtd_identifier)
              order by ordinal_position separator ', ')
            from information_schema.parameters p where p.specific_schema = r.routine_schema
              and p.specific_name = r.specific_name and p.routine_type = r.routine_type
              and p.ordinal_position > 0)),
          concat('returns ', nullif(r.dtd_identifier, '')),
          if(is_deterministic = 'YES', 'deterministic', null), sql_data_access,
          concat('as the ', security_type), concat('definer ', definer),
          concat('sql_mode ', sql_mode), concat('collation ', collation_connection),
          routine_definition)
        from information_schema.routines r where routine_schema = database()""",
    "event": """
        select concat('event ', event_name), concat_ws('; ', concat('definer ', definer),
          concat('time zone ', time_zone), concat('at ', execute_at),
          concat('every ', interval_value, ' ', interval_field), concat('from ', starts),
          concat('until ', ends), status, concat('on completion ', on_completion),
          concat('sql_mode ', sql_mode), event_definition)
        from information_schema.events where event_schema = database()""",
}
# A version writes the text of a view anew, in its own way.
_VIEWS = """
select concat('view ', table_name), concat_ws('; ', concat('definer ', definer),
  concat('as the ', security_type), concat('check option ', check_option), view_definition)
from information_schema.views where table_schema = database()
"""
_SEQUENCES = """
select table_name from information_schema.tables
where table_schema = database() and table_type = 'SEQUENCE' order by table_name
"""
_SEQUENCE = """
select concat_ws('; ', concat('from ', minimum_value, ' to ', maximum_value),
  concat('by ', increment), concat('starting at ', start_value), if(cycle_option, 'cycles', null))
from {}
"""
_COUNTERS = """
select t.table_name, c.column_name, t.auto_increment
from information_schema.tables t join information_schema.columns c
  on c.table_schema = t.table_schema and c.table_name = t.table_name
where t.table_schema = database() and c.extra like '%auto_increment%'
order by t.table_name
"""
# MariaDB's own account is in every version as this version makes it.
_ACCOUNTS = """
select user, host, json_value(priv, '$.is_role'), json_value(priv, '$.default_role'),
  json_value(priv, '$.account_locked')
from mysql.global_priv where user <> 'mariadb.sys' order by user, host
"""
_SECRET = re.compile(r"(PASSWORD|USING|AS) '((?:[^'\\]|\\.|'')*)'")
_TABLE_NAMES = """
select table_name from information_schema.tables
where table_schema = database() and table_type in ('BASE TABLE', 'SYSTEM VERSIONED')
order by table_name
"""


def catalogue(connection: Connection, salt: bytes) -> dict[str, str]:
    """Each object's definition, by its kind and name; passwords as salted digests."""
    found = {
        str(name): definition or ""
        for query in _QUERIES.values()
        for name, definition in rows(connection, query)
    }
    for (name,) in rows(connection, _SEQUENCES):
        found[f"sequence {name}"] = value(connection, _SEQUENCE.format(quoted(str(name))))
    return found | _accounts(connection, salt)


def accounts(connection: Connection) -> list[str]:
    """Each account as ``user@host``, and each role by its name."""
    return [
        str(user) if is_role else f"{user}@{host}"
        for user, host, is_role, *_ in rows(connection, _ACCOUNTS)
    ]


def _accounts(connection: Connection, salt: bytes) -> dict[str, str]:
    """The grants of each account and role, in order."""
    found = {}
    for user, host, is_role, default_role, locked in rows(connection, _ACCOUNTS):
        whose = _text(connection, user) + ("" if is_role else f"@{_text(connection, host)}")
        parts = [_hidden(str(it), salt) for (it,) in rows(connection, f"show grants for {whose}")]
        parts += [f"default role {default_role}"] if default_role else []
        parts += ["locked"] if locked in ("1", "true") else []
        name = f"role {user}" if is_role else f"user {user}@{host}"
        # A restored dump of accounts may hold a grant twice, and in another order.
        found[name] = "; ".join(sorted({*parts}))
    return found


def _hidden(grant: str, salt: bytes) -> str:
    """A grant with its passwords' digests: MariaDB's own has no salt, so it can be guessed from."""

    def digested(found: re.Match[str]) -> str:
        return f"{found[1]} {hashlib.sha256(salt + found[2].encode()).hexdigest()[:12]}"

    return _SECRET.sub(digested, grant)


def _text(connection: Connection, text: str | None) -> str:
    return str(connection.escape(text or ""))


def views(connection: Connection) -> dict[str, str]:
    """The definition of each view, as this version of MariaDB writes it."""
    return {str(name): str(definition) for name, definition in rows(connection, _VIEWS)}


def counters(source: Connection, target: Connection) -> dict[str, Sequence]:
    """The last number that each AUTO_INCREMENT and each sequence has given, on both sides."""
    before, now = _counters(source), _counters(target)
    return {
        ".".join(filter(None, name)): Sequence(before[name], last, _greatest(target, *name))
        for name, last in now.items()
        if name in before
    }


def _counters(connection: Connection) -> dict[tuple[str, str], int]:
    found = {
        (str(table), str(column)): int(following or 1) - 1
        for table, column, following in rows(connection, _COUNTERS)
    }
    for (name,) in rows(connection, _SEQUENCES):
        following = value(connection, f"select next_not_cached_value from {quoted(str(name))}")
        found[str(name), ""] = int(following) - 1
    return found


def _greatest(connection: Connection, table: str, column: str) -> int | None:
    if not column:
        return None
    ((greatest,),) = rows(connection, f"select max({quoted(column)}) from {quoted(table)}")
    return None if greatest is None else int(greatest)


def unsound(connection: Connection) -> dict[str, str]:
    """The tables that CHECK TABLE finds broken, with its words.

    It ends a transaction, so the connection must hold no moment.
    """
    bad: dict[str, str] = {}
    for (name,) in rows(connection, _TABLE_NAMES):
        said = rows(connection, f"check table {quoted(str(name))} extended")
        if said[-1][2:] != ("status", "OK"):
            bad[str(name)] = "; ".join(f"{kind}: {text}" for _, _, kind, text in said)
    return bad
