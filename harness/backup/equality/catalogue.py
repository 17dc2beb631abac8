"""Everything of a database but its rows, as named lines that are compared as text.

Each query gives (object, definition) without numbers that only one server knows (OIDs). What
belongs to an extension comes with the extension, whose version is compared. Privileges are listed
one by one, in order, with the owner's own: a default equals the same privileges written out.
"""

from __future__ import annotations

from collections.abc import Mapping

from harness.backup.equality.expressions import as_restored
from harness.backup.equality.session import Connection, rows
from harness.facts.databases import Definition, Sequence

_OURS = "n.nspname not in ('pg_catalog', 'information_schema') and n.nspname !~ '^pg_(toast|temp)'"
_NOT_OF_EXTENSION = (
    "not exists (select from pg_depend x where x.classid = '{table}'::regclass "
    "and x.objid = {oid} and x.deptype = 'e')"
)


def _own(table: str, oid: str) -> str:
    return f"{_OURS} and {_NOT_OF_EXTENSION.format(table=table, oid=oid)}"


def _granted(acl: str, kind: str, owner: str) -> str:
    """Privileges as sorted words; a missing list stands for the default of its kind."""
    return (
        "(select coalesce(string_agg(concat("
        "coalesce(g.rolname, 'public'), ' may ', x.privilege_type, "
        "case when x.is_grantable then ' and grant it' end), '; ' order by g.rolname, "
        "x.privilege_type), 'nothing') "
        f"from aclexplode(coalesce({acl}, acldefault('{kind}', {owner}))) x "
        "left join pg_roles g on g.oid = x.grantee "
        # PostgreSQL 17 gives it to every owner; earlier versions do not have it.
        f"where not (x.privilege_type = 'MAINTAIN' and x.grantee = {owner}))"
    )


_MAINTAIN_SINCE = 17
# So many sequences are read by one query.
_AT_ONCE = 200
# PostgreSQL's own objects have lower numbers.
_FIRST_OWN = 16384
_EVERY_OTHER = " union all ".join(
    f"select '{it}'::regclass::oid as class, oid from {it}"
    for it in (
        *("pg_am", "pg_cast", "pg_collation", "pg_conversion", "pg_foreign_data_wrapper"),
        *("pg_foreign_server", "pg_language", "pg_opclass", "pg_operator", "pg_opfamily"),
        *("pg_publication", "pg_statistic_ext", "pg_transform", "pg_ts_config", "pg_ts_dict"),
        *("pg_ts_parser", "pg_ts_template", "pg_user_mapping"),
    )
)

_QUERIES: Mapping[str, str] = {
    # An object each: what may differ on purpose hides no other property.
    "database": f"""
        select it.name, it.definition from pg_database d cross join lateral (values
          ('database encoding', 'encoding ' || pg_encoding_to_char(encoding)),
          ('database owner', 'owner ' || pg_get_userbyid(datdba)),
          ('database collation', concat_ws('; ', 'collate ' || datcollate, 'ctype ' || datctype,
            'provider ' || coalesce(to_jsonb(d) ->> 'datlocprovider', 'c'),
            'locale ' || coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale'))),
          ('database collation version',
            'collation version ' || coalesce(to_jsonb(d) ->> 'datcollversion', 'unknown')),
          ('database privileges', {_granted("datacl", "d", "datdba")})
        ) it (name, definition) where datname = current_database()""",
    "setting": """
        select concat_ws(' ', 'setting of', coalesce('role ' || r.rolname, 'every role'),
            case s.setdatabase when 0 then 'in every database' end, split_part(c, '=', 1)),
          substr(c, strpos(c, '=') + 1)
        from pg_db_role_setting s left join pg_roles r on r.oid = s.setrole
        cross join unnest(s.setconfig) c
        where s.setdatabase in (0, (select oid from pg_database where datname = current_database()))
    """,
    # PostgreSQL's own digest may be MD5, of which a password can be guessed.
    "role": r"""
        select 'role ' || rolname, concat_ws('; ',
          case when rolsuper then 'superuser' end, case when rolcreaterole then 'createrole' end,
          case when rolcreatedb then 'createdb' end, case when rolcanlogin then 'login' end,
          case when rolreplication then 'replication' end,
          case when rolbypassrls then 'bypassrls' end,
          case when not rolinherit then 'noinherit' end,
          'at most ' || nullif(rolconnlimit, -1) || ' connections',
          'until ' || rolvaliduntil,
          'member of ' || (
            select string_agg(m.role, ' and ' order by m.role collate "C") from (
              select concat(pg_get_userbyid(roleid),
                case when bool_or(admin_option) then ' and may grant it' end) as role
              from pg_auth_members where member = r.oid group by roleid) m),
          'password ' || left(encode(
            sha256(decode('{salt}', 'hex') || rolpassword::bytea), 'hex'), 12))
        from pg_authid r where rolname !~ '^pg_'""",
    # The comparison itself needs amcheck on the target.
    "extension": """
        select 'extension ' || extname, concat('version ', extversion, ' in ', n.nspname)
        from pg_extension e join pg_namespace n on n.oid = e.extnamespace
        where extname <> 'amcheck'""",
    "schema": f"""
        select 'schema ' || nspname, concat('owner ', pg_get_userbyid(nspowner), '; ',
          {_granted("nspacl", "n", "nspowner")})
        from pg_namespace n where {_own("pg_namespace", "n.oid")}""",
    "relation": f"""
        select concat_ws(' ', case relkind when 'r' then 'table' when 'p' then 'partitioned table'
            when 'v' then 'view' when 'm' then 'materialized view' when 'f' then 'foreign table'
            else 'composite type' end, format('%I.%I', n.nspname, relname)),
          concat_ws('; ', 'owner ' || pg_get_userbyid(relowner),
            case relpersistence when 'u' then 'unlogged' end,
            case when relrowsecurity then 'row security' end,
            case when relforcerowsecurity then 'row security forced' end,
            case when not relispopulated then 'not populated' end,
            'replica identity ' || nullif(relreplident::text, 'd'),
            'partition by ' || case when relkind = 'p' then pg_get_partkeydef(c.oid) end,
            'partition ' || pg_get_expr(relpartbound, c.oid),
            'inherits ' || (select string_agg(inhparent::regclass::text, ', ' order by inhseqno)
              from pg_inherits where inhrelid = c.oid),
            'options ' || array_to_string(reloptions, ', '),
            (select concat('of ', srvname, ' ', array_to_string(ftoptions, ', '))
              from pg_foreign_table join pg_foreign_server s on s.oid = ftserver
              where ftrelid = c.oid),
            {_granted("relacl", "r", "relowner")})
        from pg_class c join pg_namespace n on n.oid = relnamespace
        where relkind in ('r', 'p', 'v', 'm', 'f', 'c') and relpersistence <> 't'
          and {_own("pg_class", "c.oid")}""",
    "column": f"""
        select format('column %I.%I.%I', n.nspname, relname, attname),
          concat_ws('; ', format_type(atttypid, atttypmod),
            case when attnotnull then 'not null' end,
            'default ' || pg_get_expr(adbin, adrelid),
            case when not relispartition then 'identity ' || nullif(attidentity::text, '') end,
            'generated ' || nullif(attgenerated::text, ''),
            'collation ' || case when a.attcollation <> t.typcollation then l.collname end,
            case when attacl is not null then {_granted("attacl", "c", "relowner")} end)
        from pg_attribute a join pg_class c on c.oid = attrelid
        join pg_namespace n on n.oid = relnamespace join pg_type t on t.oid = atttypid
        left join pg_attrdef on adrelid = attrelid and adnum = attnum
        left join pg_collation l on l.oid = a.attcollation
        where relkind in ('r', 'p', 'v', 'm', 'f', 'c') and relpersistence <> 't'
          and attnum > 0 and not attisdropped and {_own("pg_class", "c.oid")}""",
    # PostgreSQL 18 lists NOT NULL as constraints too; the columns have it in every version. A
    # foreign key has one more for each partition that it is of or refers to, whose name PostgreSQL
    # makes up.
    "constraint": f"""
        select format('constraint %I on %s', conname, coalesce(
            nullif(conrelid, 0)::regclass::text, nullif(contypid, 0)::regtype::text)),
          concat_ws('; ', pg_get_constraintdef(o.oid),
            case when not convalidated then 'not validated' end)
        from pg_constraint o join pg_namespace n on n.oid = connamespace
        where contype <> 'n' and not (contype = 'f' and conparentid <> 0)
          and {_own("pg_constraint", "o.oid")}
          and (conrelid = 0 or {_NOT_OF_EXTENSION.format(table="pg_class", oid="conrelid")})""",
    "index": f"""
        select format('index %I.%I', n.nspname, c.relname), concat_ws('; ',
          pg_get_indexdef(c.oid), case when not indisvalid then 'invalid' end,
          case when not indisready then 'not ready' end,
          case when indisclustered then 'clustered' end,
          case when indisreplident then 'replica identity' end)
        from pg_index i join pg_class c on c.oid = indexrelid
        join pg_namespace n on n.oid = relnamespace
        where relpersistence <> 't' and {_own("pg_class", "indrelid")}""",
    # A partition's copies of a trigger are internal until PostgreSQL 15.
    "trigger": f"""
        select format('trigger %I on %I.%I', tgname, n.nspname, relname),
          concat(pg_get_triggerdef(g.oid), '; enabled ', tgenabled)
        from pg_trigger g join pg_class c on c.oid = tgrelid
        join pg_namespace n on n.oid = relnamespace
        where not tgisinternal and coalesce(to_jsonb(g) ->> 'tgparentid', '0') = '0'
          and {_own("pg_class", "c.oid")}""",
    "rule": f"""
        select format('rule %I on %I.%I', rulename, n.nspname, relname), pg_get_ruledef(w.oid)
        from pg_rewrite w join pg_class c on c.oid = ev_class
        join pg_namespace n on n.oid = relnamespace
        where rulename <> '_RETURN' and {_own("pg_class", "c.oid")}""",
    "policy": f"""
        select format('policy %I on %I.%I', polname, n.nspname, relname), concat_ws('; ',
          case when polpermissive then 'permissive' else 'restrictive' end, 'for ' || polcmd::text,
          'to ' || (select string_agg(
              coalesce(g.rolname, 'public'), ', ' order by g.rolname)
            from unnest(polroles) x left join pg_roles g on g.oid = x),
          'using ' || pg_get_expr(polqual, polrelid),
          'with check ' || pg_get_expr(polwithcheck, polrelid))
        from pg_policy p join pg_class c on c.oid = polrelid
        join pg_namespace n on n.oid = relnamespace where {_own("pg_class", "c.oid")}""",
    # PostgreSQL 14 writes IN before a procedure's arguments. A range makes functions of its own.
    "function": f"""
        select format('function %I.%I(%s)', n.nspname, proname, oidvectortypes(proargtypes)),
          concat_ws('; ', 'owner ' || pg_get_userbyid(proowner),
            case prokind when 'a' then 'aggregate of ' || pg_get_function_result(f.oid)
              when 'p' then replace(pg_get_functiondef(f.oid), a.written,
                regexp_replace(a.written, '(^|, )IN ', '\\1', 'g'))
              else pg_get_functiondef(f.oid) end,
            (select concat_ws(' ', 'by', aggtransfn, aggfinalfn, 'from', agginitval)
              from pg_aggregate where aggfnoid = f.oid),
            {_granted("proacl", "f", "proowner")})
        from pg_proc f join pg_namespace n on n.oid = pronamespace
        cross join pg_get_function_arguments(f.oid) a (written)
        where {_own("pg_proc", "f.oid")} and not exists (
          select from pg_depend x where x.classid = 'pg_proc'::regclass and x.objid = f.oid
          and x.deptype = 'i')""",
    "type": f"""
        select format('type %I.%I', n.nspname, typname), concat_ws('; ',
          'owner ' || pg_get_userbyid(typowner),
          'labels ' || (select string_agg(quote_literal(enumlabel), ', ' order by enumsortorder)
            from pg_enum where enumtypid = t.oid),
          case when typtype = 'd' then concat_ws(' ', 'domain of',
            format_type(typbasetype, typtypmod), case when typnotnull then 'not null' end,
            'default ' || typdefault) end,
          'range of ' || (select rngsubtype::regtype::text from pg_range where rngtypid = t.oid),
          {_granted("typacl", "T", "typowner")})
        from pg_type t join pg_namespace n on n.oid = typnamespace
        where typtype in ('e', 'd', 'r') and {_own("pg_type", "t.oid")}""",
    "sequence": f"""
        select format('sequence %I.%I', n.nspname, relname), concat_ws('; ',
          'owner ' || pg_get_userbyid(relowner), format_type(seqtypid, null),
          concat('from ', seqmin, ' to ', seqmax, ' by ', seqincrement, ' starting at ', seqstart),
          case when seqcycle then 'cycles' end,
          {_granted("relacl", "s", "relowner")})
        from pg_sequence s join pg_class c on c.oid = seqrelid
        join pg_namespace n on n.oid = relnamespace where {_own("pg_class", "c.oid")}""",
    "default privileges": """
        select concat_ws(' ', 'default privileges of', pg_get_userbyid(defaclrole), 'in',
            coalesce(n.nspname, 'every schema'), 'for', defaclobjtype),
          (select string_agg(concat(coalesce(g.rolname, 'public'), ' may ', x.privilege_type,
              case when x.is_grantable then ' and grant it' end), '; '
            order by g.rolname, x.privilege_type)
            from aclexplode(defaclacl) x left join pg_roles g on g.oid = x.grantee)
        from pg_default_acl left join pg_namespace n on n.oid = defaclnamespace""",
    "event trigger": """
        select 'event trigger ' || evtname, concat_ws('; ', evtevent, evtfoid::regproc::text,
          'enabled ' || evtenabled::text, array_to_string(evttags, ', '))
        from pg_event_trigger e where not exists (
          select from pg_depend x where x.classid = 'pg_event_trigger'::regclass
          and x.objid = e.oid and x.deptype = 'e')""",
    # Objects that are rarely made: whether each is there.
    "other": f"""
        select concat(i.type, ' ', i.identity),
          'options ' || (select array_to_string(srvoptions, ', ') from pg_foreign_server s
            where o.class = 'pg_foreign_server'::regclass and s.oid = o.oid)
        from ({_EVERY_OTHER}) o cross join pg_identify_object(o.class, o.oid, 0) i
        where o.oid >= {_FIRST_OWN} and not exists (
          select from pg_depend x where x.classid = o.class and x.objid = o.oid
          and x.deptype in ('e', 'i'))""",
    # Of another owner or without the right one, a large object cannot be opened.
    "large object": f"""
        select 'large object ' || oid, concat_ws('; ', 'owner ' || pg_get_userbyid(lomowner),
          {_granted("lomacl", "L", "lomowner")})
        from pg_largeobject_metadata""",
}
# A version writes the text of a view anew, in its own way.
_VIEWS = f"""
select format('definition of view %I.%I', n.nspname, relname), pg_get_viewdef(c.oid)
from pg_class c join pg_namespace n on n.oid = relnamespace
where relkind in ('v', 'm') and {_own("pg_class", "c.oid")}
"""
# The column that a sequence is for, if it is one of whole numbers.
_SEQUENCES = f"""
select format('%I.%I', n.nspname, c.relname), seqstart, seqincrement, seqmin, seqmax,
  o.table_name, o.attname
from pg_sequence s join pg_class c on c.oid = seqrelid join pg_namespace n on n.oid = c.relnamespace
left join lateral (
  select format('%I.%I', tn.nspname, t.relname) as table_name, a.attname
  from pg_depend d join pg_class t on t.oid = d.refobjid
  join pg_namespace tn on tn.oid = t.relnamespace
  join pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
  where d.classid = 'pg_class'::regclass and d.objid = c.oid
    and d.refclassid = 'pg_class'::regclass and d.deptype in ('a', 'i')
    and a.atttypid in ('int2'::regtype, 'int4'::regtype, 'int8'::regtype, 'numeric'::regtype)
) o on true
where c.relpersistence <> 't' and {_own("pg_class", "c.oid")}
order by 1
"""


def catalogue(connection: Connection, *, common: int, salt: bytes) -> dict[str, str]:
    """Each object's definition, by its kind and name; passwords as salted digests.

    ``common`` is the older major version of both sides: what it cannot have is left out.
    """
    found = {
        name: as_restored(definition or "")
        for query in _QUERIES.values()
        for name, definition in rows(connection, query.replace("{salt}", salt.hex()))
    }
    return found if common >= _MAINTAIN_SINCE else _without_maintain(found)


def _without_maintain(definitions: Mapping[str, str]) -> dict[str, str]:
    """Without a privilege that ALL has gained: who had ALL has it too, once it is restored."""
    ends = (" may MAINTAIN", " may MAINTAIN and grant it")
    return {
        name: "; ".join(it for it in definition.split("; ") if not it.endswith(ends))
        for name, definition in definitions.items()
    }


def views(connection: Connection) -> dict[str, str]:
    """The definition of each view, as this version of PostgreSQL writes it."""
    return {name: as_restored(definition) for name, definition in rows(connection, _VIEWS)}


def compare(source: Mapping[str, str], target: Mapping[str, str]) -> tuple[Definition, ...]:
    """The objects that differ, in the order of their names."""
    return tuple(
        Definition(object=name, source=source.get(name), target=target.get(name))
        for name in sorted(source.keys() | target.keys())
        if source.get(name) != target.get(name)
    )


def sequences(before: Mapping[str, int | None], target: Connection) -> dict[str, Sequence]:
    """Each sequence's last value on both sides, with the utmost value of its column.

    ``before`` are the ``last_values`` of the source.
    """
    now = last_values(target)
    return {
        name: Sequence(
            before[name],
            now[name],
            _extreme(target, "min" if increment < 0 else "max", table, column),
            descending=increment < 0,
        )
        for name, _, increment, _, _, table, column in rows(target, _SEQUENCES)
        if name in before
    }


def last_values(connection: Connection) -> dict[str, int | None]:
    """The last value that each sequence gave, or would have given before its next one.

    None for one that gives its first value next, or the first that it may.
    """
    values: dict[str, int | None] = {}
    found = rows(connection, _SEQUENCES)
    for begin in range(0, len(found), _AT_ONCE):
        some = found[begin : begin + _AT_ONCE]
        each = (f"select {at}, last_value, is_called from {it[0]}" for at, it in enumerate(some))
        for at, value, is_called in rows(connection, " union all ".join(each)):
            name, start, increment, least, greatest, *_ = some[at]
            before = value - increment
            is_first = value == start or not least <= before <= greatest
            values[name] = value if is_called else None if is_first else before
    return values


def _extreme(
    connection: Connection, which: str, table: str | None, column: str | None
) -> int | None:
    if table is None or column is None:
        return None
    quoted = '"' + column.replace('"', '""') + '"'
    ((found,),) = rows(connection, f"select {which}({quoted})::bigint from {table}")
    return None if found is None else int(found)
