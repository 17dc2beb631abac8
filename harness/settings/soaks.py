"""A soak: hours of work with faults drawn at random, ``scenarios/soak/soak.yaml``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from harness.core.errors import ConfigError
from harness.settings.drills import Writer
from harness.settings.files import SCENARIOS, Frozen, parse

SOAK = SCENARIOS / "soak/soak.yaml"
REQUIREMENT = "W9-SOAK"  # what a soak proves
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
    state after one. ``look_every_s`` is the interval at which every machine's footprint is taken.
    ``grows_percent`` is how much a resource may have grown at the end. ``refused_percent`` is the
    share of turns that may be refused as too much, or break off. ``load`` names the load that the
    ingress gets all the time.
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
