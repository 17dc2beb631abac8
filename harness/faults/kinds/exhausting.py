"""Faults that use up a resource of a machine to a level, in percent.

The kubelet measures the usage, and the API reports it. The fault is active when the usage is past
the middle between the usage before and the level.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from random import Random
from typing import ClassVar, Self

from pydantic import Field

from harness.faults import answers, tools
from harness.faults.fault import Fault
from harness.faults.model import Act, Argv
from harness.faults.observers import node
from harness.transport import Reach
from harness.transport.objects import amount, must, part

_STRESS = "/usr/bin/stress-ng"
# A unit ends by itself after this long, even if the undo fails; no fault lasts longer.
_AT_MOST_S = 1800
# Closer to the level than this, usage by other processes hides the fault's effect.
_LEAST_PERCENT = 10.0


class Exhaust(Fault, ABC):
    """Use a resource up to ``percent`` of its capacity; ``before`` is its usage beforehand."""

    # The kubelet looks every 10 to 20 s.
    seen_within_s: ClassVar[float] = 60.0
    gone_within_s: ClassVar[float] = 90.0
    what: ClassVar[str]

    percent: int = Field(ge=20, le=100)
    before: float = 0.0

    @property
    def target(self) -> str:
        return f"{self.percent} % of the {self.what} of {self.machine}"

    def resolved(self, reach: Reach, draw: Random) -> Self:
        return self.model_copy(update={"before": round(self.used(reach), 1)})

    def refuse(self, reach: Reach) -> str | None:
        if self.percent - self.before < _LEAST_PERCENT:
            return (
                f"{self.before:g} % of the {self.what} of {self.machine} are already in use, "
                f"expected at most {self.percent - _LEAST_PERCENT:g} %: "
                "the fault could not be observed"
            )
        return None

    @abstractmethod
    def used(self, reach: Reach) -> float:
        """How much is in use, in percent, as the kubelet measured it."""

    def active(self, reach: Reach) -> bool:
        return self.used(reach) >= self._middle

    def healed(self, reach: Reach) -> bool:
        return self.used(reach) < self._middle

    @property
    def _middle(self) -> float:
        return (self.before + self.percent) / 2


class Stress(Exhaust, ABC):
    """Use a resource up with stress-ng, in a unit of its own that the undo stops.

    The kernel kills it first when memory runs out.
    """

    def refuse(self, reach: Reach) -> str | None:
        if answers.unless(reach, self.machine, "test", "-x", _STRESS, no=(1,)) is None:
            return f"{self.machine} has no {_STRESS}: apt-get install stress-ng there"
        return super().refuse(reach)

    @abstractmethod
    def stress(self, reach: Reach) -> Argv:
        """The arguments of stress-ng."""

    def limits(self) -> Iterable[str]:
        """More properties of the unit, beside those of every stress unit."""
        return ()

    def acts(self, reach: Reach) -> Iterable[Act]:
        ends = (f"RuntimeMaxSec={_AT_MOST_S}", "TimeoutStopSec=5", "OOMScoreAdjust=1000")
        properties = (*ends, *self.limits())
        argv = tools.in_unit(self.id, _STRESS, *self.stress(reach), properties=properties)
        yield Act(place=self.machine, argv=argv)

    def undo(self, reach: Reach) -> tuple[str, Iterable[Argv]]:
        return self.machine, [tools.stop_unit(self.id)]

    def active(self, reach: Reach) -> bool:
        if super().active(reach):
            return True
        tools.must_go_on(reach, self.machine, self.id)
        return False


def measured(reach: Reach, machine: str, *, everything: bool = True) -> object:
    """The kubelet's statistics of the machine; without file systems they are fresher."""
    query = "" if everything else "?only_cpu_and_memory=true"
    path = f"/api/v1/nodes/{machine}/proxy/stats/summary{query}"
    return part(reach.kube.get(path), "node")


def processors(reach: Reach, machine: str) -> float:
    """How many processors the node has, as the API has it."""
    return amount(must(node(reach, machine), "status", "capacity", "cpu"))
