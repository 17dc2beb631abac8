"""What a profile declares of the platform that is migrated: its Swarm, and what it serves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from harness.model import SwarmAnswer, SwarmDeclared, SwarmService
from harness.settings.files import Frozen

ServiceName = Annotated[str, Field(pattern=r"^[a-zA-Z0-9]([a-zA-Z0-9_.-]*[a-zA-Z0-9])?$")]


class SwarmAnswers(Frozen):
    """What a service answers by HTTP on a port that it publishes.

    Asked for on every machine, or, when the port answers on some of them only, on ``machines``.
    ``says`` are words that the answer must hold: another program on the port has others.
    """

    port: int = Field(ge=1, le=65535)
    path: str = Field(default="/", pattern=r"^/[!-~]*$")
    status: int = Field(default=200, ge=100, le=599)
    says: str = ""
    machines: tuple[str, ...] = ()


class SwarmServiceSettings(Frozen):
    """One service by what it must have: running tasks, and answers on ports that it publishes."""

    replicas: int = Field(ge=1)
    answers: tuple[SwarmAnswers, ...] = ()


class Swarm(Frozen):
    """The Swarm of all machines of the inventory, of which some are managers."""

    managers: tuple[str, ...] = Field(min_length=1)
    services: Mapping[ServiceName, SwarmServiceSettings] = Field(min_length=1)

    def strangers(self, machines: set[str]) -> list[str]:
        """Names that are no machine's."""
        asked = [it for one in self.services.values() for it in one.answers]
        named = {*self.managers, *(name for it in asked for name in it.machines)}
        return sorted(named - machines)

    def declared(self, machines: tuple[str, ...]) -> SwarmDeclared:
        """What checks may know of it, as it is on these machines."""
        return SwarmDeclared(
            managers=self.managers,
            services={
                name: SwarmService(
                    replicas=one.replicas,
                    answers=tuple(
                        SwarmAnswer(
                            port=it.port,
                            path=it.path,
                            status=it.status,
                            says=it.says,
                            machines=tuple(
                                name for name in machines if name in (it.machines or machines)
                            ),
                        )
                        for it in one.answers
                    ),
                )
                for name, one in self.services.items()
            },
        )
