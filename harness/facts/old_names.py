"""Where names of the old platform lead, and Services that lead out of the cluster."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from harness.facts.schema import Fact, Item


@dataclass(frozen=True, slots=True)
class Name:
    """A name's addresses; none where it has no address.

    ``machine``: by the machine's own resolver; ``hosts``: those in its /etc/hosts; ``cluster``: by
    the cluster's DNS. ``answers`` are the ADDRESS:PORT of all these that took a connection from the
    machine, of the ports that the old platform publishes.
    """

    machine: Item[tuple[str, ...]]
    hosts: tuple[str, ...]
    cluster: Item[tuple[str, ...]]
    answers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OldNames:
    """The names, as one machine sees them; ``old`` are the old platform's addresses."""

    old: tuple[str, ...]
    names: Mapping[str, Name]


@dataclass(frozen=True, slots=True)
class Alias:
    """A Service of type ExternalName: the name that it stands for, as a machine sees it."""

    name: str
    seen: Name


@dataclass(frozen=True, slots=True)
class Routes:
    """The Services that lead out of the cluster, by NAMESPACE/NAME.

    ``endpoints`` are ADDRESS:PORT of endpoints without a pod. ``old`` and ``ports`` are the
    addresses and the published ports of the old platform.
    """

    old: tuple[str, ...]
    ports: tuple[int, ...]
    aliases: Mapping[str, Alias]
    endpoints: Mapping[str, tuple[str, ...]]


OLD_NAMES = Fact("old-names", OldNames)
OLD_ROUTES = Fact("old-routes", Routes)
