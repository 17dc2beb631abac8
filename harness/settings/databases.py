"""A profile's declaration of PostgreSQL: the platform's own, and the two that are compared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from harness.core.errors import ConfigError
from harness.settings.files import Frozen
from harness.settings.places import IPv4, Name, PortNumber, ProfilePath


class DatabaseServer(Frozen):
    """Where a PostgreSQL answers: a Service of Kubernetes, or an address that a machine reaches."""

    # NAMESPACE/NAME of a Service, connected to through a server of the cluster.
    service: Annotated[str, Field(pattern=r"^[a-z0-9.-]+/[a-z0-9.-]+$")] | None = None
    # Otherwise the machine that reaches it.
    machine: Name | None = None
    # Its address there: `127.0.0.1` for a port in host mode.
    address: IPv4 | None = None
    # The port at that Service or address.
    port: PortNumber = 5432
    # A superuser: large objects, roles and every row are read.
    user: str = "postgres"
    # A file with its password alone, which other users may not read.
    password_file: ProfilePath

    @model_validator(mode="after")
    def _is_somewhere(self) -> Self:
        given = [it is not None for it in (self.service, self.machine, self.address)]
        if given not in ([True, False, False], [False, True, True]):
            raise ValueError("say either `service:`, or `machine:` and `address:`")
        return self

    def password(self) -> str:
        """What the file holds; ConfigError when it cannot be read."""
        try:
            return self.password_file.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise ConfigError(
                f"cannot read the password of {self.user}: {error}",
                remedy="give `password_file:` a file with the password alone",
            ) from error


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
    # Where its primary answers, also after a failover. Drills that break it write to a database of
    # their own there.
    primary: DatabaseServer | None = None

    @model_validator(mode="after")
    def _has_a_name(self) -> Self:
        if self.operator is not None and self.cluster is None:
            raise ValueError(f"say in `cluster:` what {self.operator} calls it")
        return self


class Equality(Frozen):
    """The two PostgreSQL that must hold the same."""

    # Where customers' data is now.
    source: DatabaseServer
    # Where it goes.
    target: DatabaseServer
    # The databases to compare; without names, all that either side has.
    databases: tuple[str, ...] = ()
    # Objects of the catalogue that differ on purpose, each with why: `role notification_service`,
    # or a pattern such as `index billing.*`.
    different: Mapping[str, Annotated[str, Field(min_length=1)]] = {}
