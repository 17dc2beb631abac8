"""A profile's declaration of databases: the platform's PostgreSQL, and the pairs to compare."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import AfterValidator, Field, model_validator

from harness.core.declared import PostgresDeclared, RoleDeclared
from harness.settings.field_types import IPv4, Name, OneOrMore, PortNumber, ProfilePath
from harness.settings.files import Frozen


class AskedDatabase(Frozen):
    """One database of the platform, and a read of it as a service would do it."""

    # The role of the service.
    user: Annotated[str, Field(min_length=1)]
    # A file with its password alone, which other users may not read.
    password_file: ProfilePath
    # TABLE or SCHEMA.TABLE, which that role may read.
    table: Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*)?$")]


class PostgresAnswers(Frozen):
    """The name under which services reach PostgreSQL, and the databases that must answer there."""

    # The host that services connect to: the pooler's Service where there is one.
    name: Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$")]
    # The port that they connect to.
    port: PortNumber = 5432
    # Where the pods are that ask.
    namespace: Name
    # A label selector of them; the first ready one asks, and needs sh and psql.
    selector: str = Field(min_length=1)
    # The databases, by their names.
    databases: Mapping[Annotated[str, Field(min_length=1)], AskedDatabase] = Field(min_length=1)


class Place(Frozen):
    """Where a server answers: a Service of Kubernetes, or an address that a machine reaches."""

    # NAMESPACE/NAME of a Service, connected to through a server of the cluster.
    service: Annotated[str, Field(pattern=r"^[a-z0-9.-]+/[a-z0-9.-]+$")] | None = None
    # Otherwise the machine that reaches it.
    machine: Name | None = None
    # Its address there: `127.0.0.1` for a port in host mode.
    address: IPv4 | None = None

    @model_validator(mode="after")
    def _is_somewhere(self) -> Self:
        given = [it is not None for it in (self.service, self.machine, self.address)]
        if given not in ([True, False, False], [False, True, True]):
            raise ValueError("say either `service:`, or `machine:` and `address:`")
        return self


class DatabaseServer(Place):
    """Where a database answers; of a MariaDB, the default port is 3306 and the user root."""

    # The port at that Service or address.
    port: PortNumber = 5432
    # A superuser, or MariaDB's root: accounts and every row are read.
    user: str = "postgres"
    # A file with its password alone, which other users may not read.
    password_file: ProfilePath


# CloudNativePG's label of what a pod is: those of PgBouncer have the label of their cluster, too.
_POD_ROLE = "cnpg.io/podRole"


class Postgres(Frozen):
    """The platform's PostgreSQL on Kubernetes: its pods, and the operator that runs them."""

    # Where its pods are.
    namespace: Name
    # A label selector of its pods, as `kubectl get pods --selector` takes it. Pods of
    # CloudNativePG's poolers never count.
    selector: str = Field(min_length=1)
    # Starts psql as a superuser in a pod's first container.
    psql: tuple[str, ...] = ("psql", "--username=postgres")
    # Who changes its settings while it runs; None for a plain StatefulSet.
    operator: Literal["cloudnative-pg", "patroni"] | None = None
    # The operator's name for it: a Cluster of CloudNativePG, or Patroni's scope.
    cluster: Name | None = None
    # Where its primary answers, also after a failover. Drills that break it write to a database of
    # their own there.
    primary: DatabaseServer | None = None
    # Settings with their values, as `show NAME` writes them: `shared_buffers: 256MB`.
    settings: Mapping[Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_.]*$")], str] = {}
    # The limits of each pod's first container, as kubectl shows them: `memory: 2Gi`.
    limits: Mapping[Literal["cpu", "memory"], str] = {}
    # What services ask of it.
    answers: PostgresAnswers | None = None

    @model_validator(mode="before")
    @classmethod
    def _leaves_poolers_out(cls, given: object) -> object:
        if not isinstance(given, Mapping) or given.get("operator") != "cloudnative-pg":
            return given
        selector = given.get("selector")
        if not isinstance(selector, str) or not selector or _POD_ROLE in selector:
            return given
        return {**given, "selector": f"{selector},{_POD_ROLE}=instance"}

    @model_validator(mode="after")
    def _has_a_name(self) -> Self:
        if self.operator is not None and self.cluster is None:
            raise ValueError(f"say in `cluster:` what {self.operator} calls it")
        return self

    def declared(self) -> PostgresDeclared:
        """The declaration in the form for checks."""
        return PostgresDeclared(
            operator=self.operator or "",
            settings=self.settings,
            limits={str(key): it for key, it in self.limits.items()},
            name=self.answers.name if self.answers else "",
            databases=tuple(self.answers.databases) if self.answers else (),
        )


class RabbitServer(Place):
    """Where the management API of a RabbitMQ answers."""

    # The port at that Service or address.
    port: PortNumber = 15672
    # Who may list all queues: the tag `monitoring`.
    user: str = "guest"
    # A file with its password alone, which other users may not read.
    password_file: ProfilePath


class RedisServer(Place):
    """Where a Redis answers."""

    # The port at that Service or address.
    port: PortNumber = 6379
    # A user of its access list (ACL) that may run info, select and scan; empty: the default one.
    user: str = ""
    # A file with its password alone; None where it has none.
    password_file: ProfilePath | None = None


class Queues(Frozen):
    """The RabbitMQ of both sides, whose queues must hold the same number of messages."""

    source: RabbitServer
    target: RabbitServer
    # Queues (VHOST/NAME, or a pattern) that are lost on purpose, each with why: `/celeryev.*`.
    lost: Mapping[str, Annotated[str, Field(min_length=1)]] = {}


class Sessions(Frozen):
    """The Redis of both sides: the target must hold as many keys of each prefix as the source."""

    source: RedisServer
    target: RedisServer
    # The beginnings of keys that are counted: `session:`; all other keys are counted together.
    prefixes: tuple[Annotated[str, Field(min_length=1)], ...] = Field(min_length=1)
    # Prefixes that are lost on purpose, each with why; `other keys` are those without a prefix.
    lost: Mapping[str, Annotated[str, Field(min_length=1)]] = {}


_ACT = re.compile(
    r"(read|write|insert into|update|delete from) [a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*)?"
    r"|(create in|connect to|become) [a-z_][a-z0-9_]*|create (roles|databases)"
)
Kind: TypeAlias = Literal["postgresql", "mariadb"]
# What leads to more rights; a role that must have one has it in `may`.
_FORBIDDEN: Mapping[Kind, tuple[str, ...]] = {
    "postgresql": ("create roles", "create databases", "become postgres"),
    "mariadb": ("create roles", "create databases", "read mysql.global_priv"),
}


def _is_act(given: str) -> str:
    if _ACT.fullmatch(given) is None:
        raise ValueError(
            f"{given!r} is no act: write `read`, `write`, `insert into`, `update` or `delete from` "
            "and a TABLE or SCHEMA.TABLE, `create in SCHEMA`, `connect to DATABASE`, "
            "`become ROLE`, `create roles` or `create databases`"
        )
    return given


Act = Annotated[str, AfterValidator(_is_act)]


class DatabaseRole(Frozen):
    """What a service's role must and must not be able to do.

    Acts are words: `read users`, `write billing.payments`, `connect to auth`, `become odoo`. To
    write is to insert, to update and to delete. `create roles`, `create databases` and
    `become postgres` (of a MariaDB `read mysql.global_priv`, where the passwords are) must not be
    possible unless they are in `may`.
    """

    # A file with its password alone, which other users may not read.
    password_file: ProfilePath
    # The database that it logs in to, and whose tables the acts name.
    database: Annotated[str, Field(min_length=1)]
    # What it must be able to do, wholly.
    may: tuple[Act, ...] = Field(min_length=1)
    # What it must not be able to do, not even in part.
    must_not: tuple[Act, ...] = ()

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if both := sorted({*self.may} & {*self.must_not}):
            raise ValueError(f"{both[0]!r} is in `may` and in `must_not`")
        return self

    def forbidden(self, kind: Kind) -> tuple[str, ...]:
        """What it must not be able to do, with what no role may without a word."""
        acts = dict.fromkeys((*self.must_not, *_FORBIDDEN[kind]))
        return tuple(it for it in acts if it not in self.may)

    def declared(self, kind: Kind) -> RoleDeclared:
        """The role in the form for checks."""
        return RoleDeclared(may=self.may, must_not=self.forbidden(kind))


_OF_MARIADB: Mapping[str, object] = {"port": 3306, "user": "root"}


class Equality(Frozen):
    """Two servers whose databases must hold the same."""

    # What both are.
    kind: Kind = "postgresql"
    # Stands before the names of its databases, as in `killbill/accounts`. One pair may have none.
    name: Annotated[str, Field(pattern=r"^([a-z0-9][a-z0-9-]*)?$")] = ""
    # Where customers' data is now.
    source: DatabaseServer
    # Where it goes.
    target: DatabaseServer
    # The databases to compare; without names, all that either side has.
    databases: tuple[str, ...] = ()
    # Objects of the catalogue that differ on purpose, each with why: `role notification_service`,
    # or a pattern such as `index billing.*`.
    different: Mapping[str, Annotated[str, Field(min_length=1)]] = {}
    # The roles of services at the target; of a MariaDB its accounts: `killbill@%`.
    roles: Mapping[Annotated[str, Field(min_length=1)], DatabaseRole] = {}

    @model_validator(mode="after")
    def _names_accounts_of_mariadb(self) -> Self:
        wrong = [it for it in self.roles if "@" not in it]
        if self.kind == "mariadb" and wrong:
            raise ValueError(f"MariaDB's accounts have a host: write {wrong[0]}@% for {wrong[0]!r}")
        return self

    @model_validator(mode="before")
    @classmethod
    def _has_defaults_of_its_kind(cls, given: object) -> object:
        if not isinstance(given, Mapping) or given.get("kind") != "mariadb":
            return given
        sides = {side: given.get(side) for side in ("source", "target")}
        return {
            **given,
            **{
                side: {**_OF_MARIADB, **it} for side, it in sides.items() if isinstance(it, Mapping)
            },
        }

    def full_name(self, database: str) -> str:
        """The name of one of its databases in reports and on the command line."""
        return f"{self.name}/{database}" if self.name else database


def declared_roles(pairs: Sequence[Equality]) -> dict[str, dict[str, RoleDeclared]]:
    """The roles of each pair that declares some, in the form for checks."""
    return {
        pair.name: {name: it.declared(pair.kind) for name, it in pair.roles.items()}
        for pair in pairs
        if pair.roles
    }


def pairs_differ(pairs: Sequence[Equality]) -> Sequence[Equality]:
    """The pairs as they are; ValueError when two have the same name."""
    named = [it.name for it in pairs]
    if twice := {it for it in named if named.count(it) > 1}:
        raise ValueError(f"two pairs have the same `name:`: {', '.join(map(repr, sorted(twice)))}")
    return pairs


Pairs: TypeAlias = Annotated[OneOrMore[Equality], AfterValidator(pairs_differ)]
