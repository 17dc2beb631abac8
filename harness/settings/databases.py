"""A profile's declaration of databases: the platform's PostgreSQL, and the pairs to compare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from harness.settings.files import Frozen
from harness.settings.places import IPv4, Name, PortNumber, ProfilePath


class Postgres(Frozen):
    """The platform's PostgreSQL on Kubernetes: its pods, and the operator that runs them."""

    # Where its pods are.
    namespace: Name
    # A label selector of its pods, as `kubectl get pods --selector` takes it.
    selector: str = Field(min_length=1)
    # Starts psql as a superuser in a pod's first container.
    psql: tuple[str, ...] = ("psql", "--username=postgres")
    # Who changes its settings while it runs; None for a plain StatefulSet.
    operator: Literal["cloudnative-pg", "patroni"] | None = None
    # The operator's name for it: a Cluster of CloudNativePG, or Patroni's scope.
    cluster: Name | None = None

    @model_validator(mode="after")
    def _has_a_name(self) -> Self:
        if self.operator is not None and self.cluster is None:
            raise ValueError(f"say in `cluster:` what {self.operator} calls it")
        return self


class DatabaseServer(Frozen):
    """Where a database answers: a Service of Kubernetes, or an address that a machine reaches.

    Of a MariaDB, the default port is 3306 and the default user root.
    """

    # NAMESPACE/NAME of a Service, connected to through a server of the cluster.
    service: Annotated[str, Field(pattern=r"^[a-z0-9.-]+/[a-z0-9.-]+$")] | None = None
    # Otherwise the machine that reaches it.
    machine: Name | None = None
    # Its address there: `127.0.0.1` for a port in host mode.
    address: IPv4 | None = None
    # The port at that Service or address.
    port: PortNumber = 5432
    # A superuser, or MariaDB's root: accounts and every row are read.
    user: str = "postgres"
    # A file with its password alone, which other users may not read.
    password_file: ProfilePath

    @model_validator(mode="after")
    def _is_somewhere(self) -> Self:
        given = [it is not None for it in (self.service, self.machine, self.address)]
        if given not in ([True, False, False], [False, True, True]):
            raise ValueError("say either `service:`, or `machine:` and `address:`")
        return self


_OF_MARIADB: Mapping[str, object] = {"port": 3306, "user": "root"}


class Equality(Frozen):
    """Two servers whose databases must hold the same."""

    # What both are.
    kind: Literal["postgresql", "mariadb"] = "postgresql"
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


def pairs_differ(pairs: Sequence[Equality]) -> Sequence[Equality]:
    """The pairs as they are; ValueError when two have the same name."""
    named = [it.name for it in pairs]
    if twice := {it for it in named if named.count(it) > 1}:
        raise ValueError(f"two pairs have the same `name:`: {', '.join(map(repr, sorted(twice)))}")
    return pairs
