"""Drills: what is broken, for how long, what runs meanwhile, and what must hold.

One YAML file a drill in ``scenarios/drills/``; ``steady.yaml`` beside them says what the steady
state is, from which every drill starts and to which it must come back.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from harness.settings.files import SCENARIOS, Frozen, Named, find, names, parse
from harness.settings.gates import Target, TargetKey

DRILLS = SCENARIOS / "drills"
_STEADY = "steady"

Writer = Literal["postgres", "bank", "cephfs", "http", "objects"]
# What a drill must always say: without these it would prove nothing.
REQUIRED = ("lost_count", "outage_s", "steady_again_s", "whole_again_s")
# What a drill with a load must say of it, and one without a load cannot.
OF_LOAD = ("failed_percent", "again_p99_ms")
# What a drill must say that observes the bystanders: the machines that it does not hit.
OF_BYSTANDERS = "bystanders_recovered_s"


def _complete(targets: Mapping[str, Target]) -> Mapping[str, Target]:
    missing = [key for key in REQUIRED if key not in targets]
    if missing:
        raise ValueError(f"a drill without {', '.join(missing)} proves nothing")
    return targets


class Planned(Frozen):
    """One fault of a drill: after how long, for how long, and the fault's own parameters.

    The namespace ``ledger`` among them stands for that of what the ledger writes to.
    """

    # The fault's name.
    fault: str
    # Seconds since the one before, or since the steady state.
    after_s: float = Field(default=3.0, ge=0)
    # Seconds for which it stays.
    hold_s: float = Field(ge=0, le=3600)
    # What this fault takes; the reference lists it.
    parameters: Mapping[str, object] = Field(default={}, alias="with")

    @property
    def hits_ledger(self) -> bool:
        """Does it hit the pods that the ledger writes to?"""
        return self.parameters.get("namespace") == "ledger"


class Looks(Frozen):
    """Checks, and the probes whose observations they judge."""

    # Probes, by name.
    probes: tuple[str, ...] = Field(min_length=1)
    # Checks, by name.
    checks: tuple[str, ...] = Field(min_length=1)


class OwnLooks(Looks):
    """What a drill looks at beside the steady state.

    ``checks`` hold before and afterwards. ``during`` hold on the bystanders, all machines that are
    not hit, while the fault is there; or do so again within ``bystanders_recovered_s`` of the
    drill, and until the end. A cluster without the part that a drill ``needs`` is not looked at.
    """

    during: tuple[str, ...] = Field(min_length=1)
    needs: str | None = None

    @property
    def of_bystanders(self) -> Looks:
        """What is looked at on the bystanders while the fault holds."""
        return Looks(probes=self.probes, checks=self.during)


class DrillChange(Frozen):
    """What a drill does otherwise on one cluster, and why: parameters of its faults."""

    # Parameters of the drill's faults.
    parameters: Mapping[str, object] = Field(alias="with")
    # Why this cluster needs it; the drill's title shows it.
    because: str = Field(min_length=10)


class Drill(Named):
    """A failover drill.

    ``where`` picks the machines that it is run on, one after the other with the steady state in
    between: each machine, each server, one of them that the seed draws, or the Swarm manager's.
    ``effect`` says what customers would feel. ``load`` names what is asked of the ingress meanwhile
    (``scenarios/load``). With ``claims``, every machine also writes blocks to a claim of the
    declared class, which every other one reads afterwards.
    """

    schema_version: Literal[1] = Field(alias="schema")
    # What happens, in words for a report.
    title: str
    effect: str
    where: Literal["each-machine", "each-server", "a-machine", "a-server", "swarm-manager"]
    # What is broken, in this order.
    faults: tuple[Planned, ...] = Field(min_length=1)
    # What is written to meanwhile.
    ledger: tuple[Writer, ...] = Field(min_length=1)
    claims: bool = False
    # Writes a second of each kind.
    writes_per_s: float = Field(default=5.0, gt=0, le=200)
    load: str | None = None
    # What must hold beside the steady state, meanwhile on the machines that are not hit.
    looks: OwnLooks | None = None
    # What must hold; lost_count, outage_s, steady_again_s and whole_again_s are required.
    targets: Annotated[Mapping[TargetKey, Target], AfterValidator(_complete)]

    @model_validator(mode="after")
    def _load_is_judged(self) -> Drill:
        given = [key for key in OF_LOAD if key in self.targets]
        if self.load is not None and len(given) < len(OF_LOAD):
            raise ValueError(f"a load without {' and '.join(OF_LOAD)} proves nothing")
        if self.load is None and given:
            raise ValueError(f"{given[0]} needs a load")
        return self

    @model_validator(mode="after")
    def _looks_are_judged(self) -> Drill:
        if self.looks is not None and OF_BYSTANDERS not in self.targets:
            raise ValueError(f"looks without {OF_BYSTANDERS} prove nothing")
        if self.looks is None and OF_BYSTANDERS in self.targets:
            raise ValueError(f"{OF_BYSTANDERS} needs looks")
        return self

    def looks_on(self, parts: Collection[str]) -> OwnLooks | None:
        """What it looks at beside the steady state, on a cluster of these parts."""
        if self.looks is None or self.looks.needs is None:
            return self.looks
        return self.looks if self.looks.needs in parts else None

    def changed(self, change: DrillChange | None) -> Drill:
        """The drill as one cluster wants it, with the reason in its title."""
        if change is None:
            return self
        faults = [
            it.model_copy(update={"parameters": {**it.parameters, **change.parameters}})
            for it in self.faults
        ]
        title = f"{self.title} (here otherwise, because {change.because})"
        return self.model_copy(update={"faults": tuple(faults), "title": title})


class AbortConditions(Frozen):
    """What ends a fault at once while it is active.

    Seconds for which monitors may elect (while they do, none is in quorum), for which placement
    groups may be inactive, and for which the API or Ceph may not answer. A second machine that is
    not ready ends it in any case, and so do an OSD that the fault does not take and a ledger that
    is silent for longer than the drill's outage.
    """

    # How long monitors may elect.
    electing_s: float = Field(gt=0)
    # How long placement groups may serve nobody.
    inactive_s: float = Field(gt=0)
    # How long the API or Ceph may not answer.
    silent_s: float = Field(gt=0)


class Steady(Looks):
    """The steady state: checks that hold, of what these probes see; and what is too much."""

    schema_version: Literal[1] = Field(alias="schema")
    limits: AbortConditions


def load_drill(name: str, folder: Path = DRILLS) -> Drill:
    """The drill of that name; ConfigError when there is none."""
    return find(Drill, folder, name, among=drill_names(folder))


def drill_names(folder: Path = DRILLS) -> tuple[str, ...]:
    """The names of all drills, sorted."""
    return tuple(it for it in names(folder) if it != _STEADY)


def load_steady(folder: Path = DRILLS) -> Steady:
    """What the steady state is."""
    return parse(Steady, folder / f"{_STEADY}.yaml")
