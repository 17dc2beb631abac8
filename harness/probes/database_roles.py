"""The roles of the new databases: what each may do, tried as that role; nothing stays done."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import closing
from functools import partial
from typing import ClassVar

from harness.backup.equality.mariadb.catalogue import accounts
from harness.backup.equality.mariadb.session import Server as MariaDb
from harness.backup.equality.session import Server, names, rows
from harness.core.errors import NotProven
from harness.core.model import JSON
from harness.core.parallel import in_each
from harness.facts.database_roles import DATABASE_ROLES, Roles
from harness.facts.schema import Item, Known, OrUnknown, Unknown, attempt, dump
from harness.probes.database_acts import Role, allowed
from harness.probes.databases import mariadb_of, password_of, server_of
from harness.probes.mariadb_acts import Account
from harness.probes.mariadb_acts import allowed as allowed_of_mariadb
from harness.probes.probe import Timing
from harness.settings.databases import DatabaseRole, Equality
from harness.transport import Reach
from harness.transport.ssh import Tunnels

_ADMIN = "postgres"
_ROLES = "select rolname from pg_roles where rolname !~ '^pg_' order by 1"


class DatabaseRoles:
    """Logs in as each declared role and tries what it must and must not be able to do."""

    name: ClassVar[str] = DATABASE_ROLES.name
    sentence: ClassVar[str] = "what every role of the new databases may do"
    timing: ClassVar[Timing] = Timing.WHEN_ASKED
    within_s: ClassVar[float] = 300.0

    def targets(self, reach: Reach) -> Sequence[str]:
        return [reach.profile.name]

    def observe(self, reach: Reach, target: str) -> JSON:
        pairs = {it.name: it for it in reach.profile.equality if it.roles}
        if not pairs:
            raise NotProven("the profile declares no roles", remedy="declare `equality.roles:`")
        machines = reach.profile.cluster().machines
        with closing(Tunnels(reach.profile.access.ssh, machines)) as tunnels:
            return dump(in_each(pairs, lambda name: _roles(reach, tunnels, pairs[name])))


def _roles(reach: Reach, tunnels: Tunnels, pair: Equality) -> Roles:
    """NotProven or a TransportError if the target cannot be asked for what it has."""
    if pair.kind == "mariadb":
        return _of_mariadb(reach, tunnels, pair)
    target = server_of(reach, tunnels, pair.target)
    databases = names(target)

    def tried(name: str) -> Mapping[str, Item[bool]]:
        return _tried(target, name, pair.roles[name], databases)

    return Roles(
        source=attempt(lambda: _names(server_of(reach, tunnels, pair.source))),
        target=attempt(partial(_names, target)),
        allowed=_each(pair, tried),
    )


def _of_mariadb(reach: Reach, tunnels: Tunnels, pair: Equality) -> Roles:
    target = mariadb_of(reach, tunnels, pair.target)
    there = accounts_of(target)

    def tried(name: str) -> Mapping[str, Item[bool]]:
        declared = pair.roles[name]
        password = password_of(name, declared.password_file)
        server = MariaDb(target.socket, name.rpartition("@")[0], password)
        account = Account(name, server, declared.database, target, there)
        return allowed_of_mariadb(account, declared.may, declared.forbidden(pair.kind))

    return Roles(
        source=attempt(lambda: accounts_of(mariadb_of(reach, tunnels, pair.source))),
        target=Known(there),
        allowed=_each(pair, tried),
    )


def _each(
    pair: Equality, tried: Callable[[str], Mapping[str, Item[bool]]]
) -> Mapping[str, OrUnknown[Mapping[str, Item[bool]]]]:
    """What was tried as each role, or why it could not be."""
    found = in_each(pair.roles, tried)
    return {name: it if isinstance(it, Mapping) else Unknown(str(it)) for name, it in found.items()}


def accounts_of(server: MariaDb) -> tuple[str, ...]:
    """The accounts and roles of a MariaDB; NotProven or Unreachable if it cannot be asked."""
    with server.connect() as connection:
        return tuple(accounts(connection))


def _names(server: Server) -> tuple[str, ...]:
    with server.connect(_ADMIN) as connection:
        return tuple(name for (name,) in rows(connection, _ROLES))


def _tried(
    target: Server, name: str, declared: DatabaseRole, databases: Collection[str]
) -> Mapping[str, Item[bool]]:
    password = password_of(name, declared.password_file)
    role = Role(target.host, target.port, name, password, declared.database, databases)
    return allowed(role, declared.may, declared.forbidden("postgresql"))
