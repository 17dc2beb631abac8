"""The services of the platform on Kubernetes, and what they registered elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from harness.facts.schema import Fact, Item


@dataclass(frozen=True, slots=True)
class Service:
    """A Service: its type, and by TCP port the number of ready addresses behind it.

    Callers of a headless Service connect to its pods, so its ports are those of the pods.
    """

    type: str
    ready: Mapping[int, int]


# By the name that callers use; None when there is no such Service.
Services: TypeAlias = dict[str, Item[Service | None]]
# The entries that a declared command listed, by the declared name.
Registrations: TypeAlias = dict[str, Item[tuple[str, ...]]]

SERVICES = Fact("services", Services)
REGISTRATIONS = Fact("registrations", Registrations)
