"""A profile's declaration of the platform that is migrated: its Swarm and its services."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from harness.core.model import SwarmAnswer, SwarmDeclared, SwarmService
from harness.settings.files import Frozen

ServiceName = Annotated[str, Field(pattern=r"^[a-zA-Z0-9]([a-zA-Z0-9_.-]*[a-zA-Z0-9])?$")]


Status = Annotated[int, Field(ge=100, le=599)]


def _several(value: object) -> object:
    return value if isinstance(value, list | tuple) else (value,)


class SwarmAnswers(Frozen):
    """A service's HTTP answer on a port that it, or the proxy before it, publishes.

    The harness requests it on every machine, or, if the port answers on some of them only, on
    ``machines``. ``host`` is the Host header. ``says`` are words that the answer must contain, so
    that another program on the port is noticed. ``status`` is one accepted status, or a list of
    them. A redirect is not followed: its Location must be ``location``, if that is given.
    """

    # A published port.
    port: int = Field(ge=1, le=65535)
    # The requested path.
    path: str = Field(default="/", pattern=r"^/[!-~]*$")
    host: str = Field(default="", pattern=r"^([A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?)?$")
    status: Annotated[tuple[Status, ...], BeforeValidator(_several)] = Field(
        default=(200,), min_length=1
    )
    says: str = ""
    location: str = ""
    machines: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _redirects(self) -> Self:
        if self.location and not all(300 <= it < 400 for it in self.status):
            raise ValueError("`location` is where a redirect leads to: `status` must be 3xx")
        return self

    def declared(self, machines: tuple[str, ...]) -> SwarmAnswer:
        """The answer in the form for checks, on these machines."""
        return SwarmAnswer(
            port=self.port,
            path=self.path,
            status=self.status[0],
            or_status=self.status[1:],
            says=self.says,
            machines=tuple(name for name in machines if name in (self.machines or machines)),
            host=self.host,
            location=self.location,
        )


class SwarmInstances(SwarmAnswers):
    """Customers' instances: every service whose name matches ``names`` (``odoo-*``).

    Each running instance is requested through every manager, with the hosts of its own Traefik
    labels. An instance with 0 replicas is stopped, and is not requested.
    """

    names: str = Field(min_length=1)
    host: Literal[""] = ""


class SwarmServiceSettings(Frozen):
    """One service's expected state: running tasks, and answers on published ports.

    With 0 ``replicas`` the service must be stopped. A ``global`` service has a task on every
    machine that Swarm chooses, at least one; ``replicas`` says how many, if that is known. A port
    that is requested with a ``host`` may be published by another service, the proxy.
    """

    replicas: int | None = Field(default=None, ge=0)
    # How Swarm spreads its tasks.
    mode: Literal["replicated", "global"] = "replicated"
    answers: tuple[SwarmAnswers, ...] = ()

    @model_validator(mode="after")
    def _is_told(self) -> Self:
        if self.replicas is None and self.mode == "replicated":
            raise ValueError("say how many `replicas` it has, or `mode: global`")
        if self.replicas == 0 and self.answers:
            raise ValueError("with 0 replicas it is stopped: it cannot have `answers`")
        return self


class Swarm(Frozen):
    """The Swarm of all machines of the inventory, of which some are managers."""

    # The machines that must be managers, and reachable.
    managers: tuple[str, ...] = Field(min_length=1)
    # The expected state of each service; the gate ignores services that are not named.
    services: Mapping[ServiceName, SwarmServiceSettings] = Field(min_length=1)
    # Customers' services, which come and go: one pattern for all of them.
    instances: SwarmInstances | None = None
    # Registries that run in it, as images are named by them: "registry.example", "10.0.0.1:5000".
    registries: tuple[Annotated[str, Field(pattern=r"^[A-Za-z0-9.-]+(:[0-9]+)?$")], ...] = ()

    def strangers(self, machines: set[str]) -> list[str]:
        """Names that match no machine."""
        asked = [it for one in self.services.values() for it in one.answers]
        asked += [self.instances] if self.instances is not None else []
        named = {*self.managers, *(name for it in asked for name in it.machines)}
        return sorted(named - machines)

    def declared(self, machines: tuple[str, ...]) -> SwarmDeclared:
        """The declaration for checks, as it is on these machines."""
        return SwarmDeclared(
            managers=self.managers,
            services={
                name: SwarmService(
                    replicas=one.replicas,
                    mode=one.mode,
                    answers=tuple(it.declared(machines) for it in one.answers),
                )
                for name, one in self.services.items()
            },
            instances=self.instances.names if self.instances is not None else "",
            instance_answer=None if self.instances is None else self.instances.declared(machines),
        )
