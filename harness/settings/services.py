"""A profile's declaration of what customers use on Kubernetes: services, webhooks, PostgreSQL."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from harness.core.model import ServiceDeclared
from harness.settings.files import Frozen
from harness.settings.places import Name

NameAndPort = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?:[1-9][0-9]{0,4}$")]
PortNumber = Annotated[int, Field(ge=1, le=65535)]


class CalledService(Frozen):
    """A service that others call by its short name.

    A name or a port that changes on purpose is declared, with the reason.
    """

    # The port under the Swarm.
    port: PortNumber
    # What the callers use on Kubernetes instead: NAME:PORT.
    now: NameAndPort | None = None
    # Why it changes.
    because: str = ""

    @model_validator(mode="after")
    def _has_a_reason(self) -> Self:
        if (self.now is None) == bool(self.because):
            raise ValueError("a changed name has both: `now: NAME:PORT`, and the reason `because:`")
        return self

    def declared(self, name: str) -> ServiceDeclared:
        """The service in the form for checks."""
        new, _, port = (self.now or f"{name}:{self.port}").partition(":")
        return ServiceDeclared(was=f"{name}:{self.port}", name=new, port=int(port))


class Services(Frozen):
    """The services that call each other, by their names under the Swarm."""

    # Where the Services are.
    namespace: Name
    # Each service, by its short name under the Swarm.
    names: Mapping[Name, CalledService] = Field(min_length=1)

    def declared(self) -> tuple[ServiceDeclared, ...]:
        """The services in the form for checks."""
        return tuple(it.declared(name) for name, it in self.names.items())


class PodCommand(Frozen):
    """A command for the first container of a ready pod: the first that the selector finds."""

    # Where the pods are.
    namespace: Name
    # A label selector, as `kubectl get pods --selector` takes it.
    selector: str = Field(min_length=1)
    # The program and its arguments.
    command: tuple[str, ...] = Field(min_length=1)


class Registration(PodCommand):
    """A side effect that a service registers elsewhere, such as a webhook.

    The command lists what is registered, one entry a line. A password comes from the pod's own
    environment: `[sh, -c, 'mysql -p"$MARIADB_PASSWORD" …']`.
    """

    # Words of the one entry that must be there.
    entry: str = Field(min_length=1)


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
