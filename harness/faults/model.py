"""A fault as data: the acts that break something, and their undo."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, TypeAlias

from pydantic import Field

from harness.settings import Frozen

Argv: TypeAlias = tuple[str, ...]
FaultId = Annotated[str, Field(pattern=r"^[a-z0-9]{4,16}$")]

LOCAL = "here"  # this computer, for what reaches a machine from outside (its power)
API = "api"  # the Kubernetes API; the command is a verb and a path
# Faults name what they create on a machine (nft tables, units, files, control groups) with this.
MARK = "cutover-"


class Act(Frozen):
    """One act of a fault: a command on a machine or here, or a request to the API.

    ``stdin`` is the command's input on a machine, or the object that the request sends;
    ``within_s`` is how long it may take.
    """

    place: str
    argv: Argv
    stdin: str = ""
    within_s: float = Field(default=30.0, gt=0)


class Undo(Frozen):
    """Commands that undo a fault, and may run twice, on a machine or here.

    ``place`` runs them by itself when the lease was not renewed for ``lease_s`` seconds. Each may
    take ``within_s``; the default is for old journals without this field.
    """

    id: FaultId
    fault: str
    target: str
    place: str
    commands: tuple[Argv, ...]
    lease_s: float = Field(ge=1, le=600)
    within_s: float = Field(default=180.0, gt=0)


class BlastRadius(StrEnum):
    """What a fault takes from its machine while it is active; the budget counts what is left."""

    NODE = "node"
    ETCD = "etcd member"
    MONITOR = "monitor"
    OSD = "OSD"
    SWARM = "Swarm node"


EVERYTHING = frozenset(BlastRadius)
NOTHING: frozenset[BlastRadius] = frozenset()
