"""Drills and soaks, and what a cluster's profile says for them.

A drill says what is broken, for how long, under which load, and what must hold; each is one YAML
file in ``scenarios/drills/``. ``steady.yaml`` beside them declares the steady state, from which
every drill starts and to which it must return. A soak is hours of work with faults drawn at random
(``scenarios/soak/soak.yaml``).

A profile gives power, programs, known pods, and the ledger's image.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from harness.core.errors import ConfigError
from harness.settings.files import SCENARIOS, Frozen, Named, find, names, parse
from harness.settings.gates import Target, TargetKey

DRILLS = SCENARIOS / "drills"
_STEADY = "steady"

Writer = Literal["postgres", "bank", "primary", "cephfs", "http", "objects"]
# Targets that each drill must have: without these it would prove nothing.
REQUIRED = ("lost_count", "outage_s", "steady_again_s", "whole_again_s")
# Targets that a drill with a load must have, and that a drill without a load cannot have.
OF_LOAD = ("failed_percent", "again_p99_ms")
# The target that a drill must have if it observes the bystanders: the machines it does not hit.
OF_BYSTANDERS = "bystanders_recovered_s"


def _complete(targets: Mapping[str, Target]) -> Mapping[str, Target]:
    missing = [key for key in REQUIRED if key not in targets]
    if missing:
        raise ValueError(f"a drill without {', '.join(missing)} proves nothing")
    return targets


class Planned(Frozen):
    """One fault of a drill: after how long, for how long, and the fault's own parameters.

    The namespace ``ledger`` in them stands for the namespace that the ledger writes to.
    """

    # The fault's name.
    fault: str
    # Seconds since the previous fault, or since the steady state.
    after_s: float = Field(default=3.0, ge=0)
    # Seconds for which it stays active.
    hold_s: float = Field(ge=0, le=3600)
    # The fault's parameters; the reference lists them.
    parameters: Mapping[str, object] = Field(default={}, alias="with")

    @property
    def hits_ledger(self) -> bool:
        """True if it hits the pods that the ledger writes to."""
        return self.parameters.get("namespace") == "ledger"


class Looks(Frozen):
    """Checks, and the probes whose observations they judge."""

    # Probes, by name.
    probes: tuple[str, ...] = Field(min_length=1)
    # Checks, by name.
    checks: tuple[str, ...] = Field(min_length=1)


class OwnLooks(Looks):
    """A drill's own probes and checks, in addition to the steady state's.

    ``checks`` hold before and afterwards. ``during`` hold on the bystanders, all machines that are
    not hit, while the fault is active. Or they hold again within ``bystanders_recovered_s`` of the
    drill, and until the end; without ``during``, bystanders are not observed. On a cluster without
    the part that a drill ``needs``, they are left out.
    """

    during: tuple[str, ...] = ()
    needs: str | None = None

    @property
    def of_bystanders(self) -> Looks:
        """The probes and checks for the bystanders while the fault is active."""
        return Looks(probes=self.probes, checks=self.during)


class DrillChange(Frozen):
    """A drill's changes on one cluster, and why: parameters of its faults."""

    # Parameters of the drill's faults.
    parameters: Mapping[str, object] = Field(alias="with")
    # Why this cluster needs it; the drill's title shows it.
    because: str = Field(min_length=10)


class Drill(Named):
    """A failover drill.

    ``where`` picks the machines that it runs on, one after the other with the steady state in
    between: each machine, each server, one of them that the seed draws, the Swarm manager's, or the
    one with the primary of the platform's PostgreSQL.
    ``effect`` says what customers would feel. ``load`` names the load that the ingress gets
    meanwhile (``scenarios/load``). With ``claims``, every machine also writes blocks to a claim of
    the declared class, and every other machine reads them afterwards.
    """

    schema_version: Literal[1] = Field(alias="schema")
    # The drill in words, for a report.
    title: str
    effect: str
    where: Literal[
        "each-machine",
        "each-server",
        "a-machine",
        "a-server",
        "swarm-manager",
        "postgres-primary",
    ]
    # The faults, in this order.
    faults: tuple[Planned, ...] = Field(min_length=1)
    # The ledger's targets, written to during the drill.
    ledger: tuple[Writer, ...] = Field(min_length=1)
    claims: bool = False
    # Writes a second of each kind.
    writes_per_s: float = Field(default=5.0, gt=0, le=200)
    load: str | None = None
    # Further checks that must hold; during the fault, on the machines that are not hit.
    looks: OwnLooks | None = None
    # Bounds to meet; lost_count, outage_s, steady_again_s and whole_again_s are required.
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
        observed = self.looks is not None and bool(self.looks.during)
        if observed and OF_BYSTANDERS not in self.targets:
            raise ValueError(f"looks without {OF_BYSTANDERS} prove nothing")
        if not observed and OF_BYSTANDERS in self.targets:
            raise ValueError(f"{OF_BYSTANDERS} needs looks during the fault")
        return self

    def looks_on(self, parts: Collection[str]) -> OwnLooks | None:
        """Its own probes and checks on a cluster of these parts."""
        if self.looks is None or self.looks.needs is None:
            return self.looks
        return self.looks if self.looks.needs in parts else None

    def changed(self, change: DrillChange | None) -> Drill:
        """The drill with one cluster's changes, and their reason in its title."""
        if change is None:
            return self
        faults = [
            it.model_copy(update={"parameters": {**it.parameters, **change.parameters}})
            for it in self.faults
        ]
        title = f"{self.title} (here otherwise, because {change.because})"
        return self.model_copy(update={"faults": tuple(faults), "title": title})


class AbortConditions(Frozen):
    """Limits that end an active fault at once.

    Seconds for which monitors may elect (none is in quorum meanwhile), for which placement groups
    may be inactive, and for which the API or Ceph may not answer. These end the fault in any case:
    a second machine that is not ready, an OSD that goes down without being part of the fault, and a
    ledger that is silent for longer than the drill's outage.
    """

    # The longest election of the monitors.
    electing_s: float = Field(gt=0)
    # How long placement groups may be inactive.
    inactive_s: float = Field(gt=0)
    # How long the API or Ceph may not answer.
    silent_s: float = Field(gt=0)


class Steady(Looks):
    """The steady state: the probes, the checks that hold, and the limits that abort a fault."""

    schema_version: Literal[1] = Field(alias="schema")
    limits: AbortConditions


def load_drill(name: str, folder: Path = DRILLS) -> Drill:
    """The drill of that name; ConfigError when there is none."""
    return find(Drill, folder, name, among=drill_names(folder))


def drill_names(folder: Path = DRILLS) -> tuple[str, ...]:
    """The names of all drills, sorted."""
    return tuple(it for it in names(folder) if it != _STEADY)


def load_steady(folder: Path = DRILLS) -> Steady:
    """The declared steady state."""
    return parse(Steady, folder / f"{_STEADY}.yaml")


SOAK = SCENARIOS / "soak/soak.yaml"
SOAK_REQUIREMENT = "W9-SOAK"  # what a soak proves
DRILLS_REQUIREMENT = "W9-DRILLS"  # what all drills prove together
_SECONDS: Mapping[str, float] = {"s": 1.0, "m": 60.0, "h": 3600.0}


def _in_order(span: tuple[float, float]) -> tuple[float, float]:
    if not 0 <= span[0] <= span[1]:
        raise ValueError(f"{span[0]:g} to {span[1]:g} is no span")
    return span


Span = Annotated[tuple[float, float], AfterValidator(_in_order)]


class Chance(Frozen):
    """A fault that may be drawn: its weight and its duration (seconds)."""

    # The fault's name.
    fault: str
    # Its weight, relative to the other faults.
    weight: float = Field(gt=0)
    # Seconds for which it stays active: the least and the most.
    hold_s: Span
    # The fault's parameters; the reference lists them.
    parameters: Mapping[str, object] = Field(default={}, alias="with")


class Soak(Frozen):
    """The faults that a soak draws from, and the resources that may not grow.

    ``pause_s`` is the pause between two faults, ``calm_within_s`` the longest return to the steady
    state after one. ``look_every_s`` is the interval at which the resource usage of every machine
    is counted. ``grows_percent`` is how much a resource may have grown at the end.
    ``refused_percent`` is the share of turns that may be refused as too much, or break off.
    ``load`` names the load that the ingress gets all the time.
    """

    schema_version: int = Field(alias="schema", ge=1, le=1)
    faults: tuple[Chance, ...] = Field(min_length=1)
    pause_s: Span
    calm_within_s: float = Field(gt=0)
    look_every_s: float = Field(gt=0)
    grows_percent: float = Field(gt=0)
    refused_percent: float = Field(ge=0, lt=100)
    # How much slower the writes of the last quarter may be than those of the first.
    slower_ratio: float = Field(ge=1)
    # The ledger's targets, written to all the time.
    ledger: tuple[Writer, ...] = Field(min_length=1)
    # Writes a second of each kind.
    writes_per_s: float = Field(gt=0, le=50)
    load: str | None = None


def load_soak(path: Path = SOAK) -> Soak:
    """The soak; ConfigError when it is not valid."""
    return parse(Soak, path)


def seconds(text: str) -> float:
    """Seconds of a duration such as ``8h``, ``90m`` or ``1h30m``; ConfigError for anything else.

    A duration of zero is an error too: it cannot prove anything.
    """
    parts = re.findall(r"(\d+(?:\.\d+)?)([smh])", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ConfigError(f"“{text}” is no duration", remedy="for example 8h, 90m or 1h30m")
    total = sum(float(number) * _SECONDS[unit] for number, unit in parts)
    if total <= 0:
        raise ConfigError(f"“{text}” lasts no time", remedy="for example 8h, 90m or 1h30m")
    return total


Argv = Annotated[tuple[str, ...], Field(min_length=1)]


class Commands(Frozen):
    """The commands for programs on a machine, with the options they always need.

    ``kubectl`` is on every server, with full permissions; ``ctr`` speaks to the containerd that
    runs the pods. The defaults are RKE2's.
    """

    kubectl: Argv = (
        "/var/lib/rancher/rke2/bin/kubectl",
        "--kubeconfig=/etc/rancher/rke2/rke2.yaml",
    )
    ctr: Argv = (
        "/var/lib/rancher/rke2/bin/ctr",
        "--address=/run/k3s/containerd/containerd.sock",
        "--namespace=k8s.io",
    )


class Selected(Frozen):
    """Pods by their labels, in the syntax of ``kubectl --selector``."""

    # Where the pods are.
    namespace: Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$")]
    # Labels, such as app=web,component=speaker.
    selector: str = Field(min_length=1)


class KnownPods(Frozen):
    """Pods with a known role: those of the ingress, and MetalLB's speakers.

    ``speaker`` has the labels of MetalLB's own manifests; its Helm chart has other labels.
    """

    # The pods of the ingress, which kill-ingress ends.
    ingress: Selected | None = None
    speaker: Selected = Selected(
        namespace="metallb-system", selector="app=metallb,component=speaker"
    )


class Power(Frozen):
    """Commands, run on this computer, that cut a machine's power and restore it.

    ``{machine}`` in a word stands for the machine's name. The cut must be sudden, like a power
    loss. The restore must not harm a machine that has power.
    """

    # Cuts the power at once.
    cut: tuple[str, ...] = Field(min_length=1)
    # Restores the power.
    restore: tuple[str, ...] = Field(min_length=1)


class Ledger(Frozen):
    """Settings of the ledger of acknowledged writes."""

    # An image that holds PostgreSQL 15 or newer, flock and sh.
    database_image: str
