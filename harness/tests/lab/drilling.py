"""A drill's context on the lab, without a ledger, and events beside the drill."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.drill.context import DrillContext, Options
from harness.drill.injection import Moment
from harness.drill.steady import all_numbers, observe_bystanders, wait_steady
from harness.drill.traffic import Load
from harness.facts.drills import Bystanders
from harness.faults import disruption_lock
from harness.faults.disruption_lock import DisruptionLock
from harness.faults.fault import Fault
from harness.faults.preflight import affordable
from harness.record.records import Data, Kind
from harness.settings import load_gates
from harness.settings.drills import AbortConditions, Looks, load_steady
from harness.transport import Reach


@dataclass
class NoBooks:
    """A ledger that writes nothing: other tests cover the ledger."""

    space: str = ""
    silent_s: Mapping[str, float] = field(default_factory=dict)

    def mark(self, name: str) -> None:
        """Ignored."""

    def tally(self) -> Mapping[str, Any]:
        return {}

    def latency_ms(self) -> list[dict[str, float]]:
        return []


class NoRun:
    """A run without a journal."""

    name = "tests of the lab"

    def write(self, _kind: Kind, _subject: str, _data: Data) -> None:
        """Ignored."""


@dataclass(frozen=True, kw_only=True)
class LabContext(DrillContext):
    """A drill's context without a ledger, and with a lock for each fault.

    ``of_bystanders`` are looked at on the machines that are not hit, while one is hit.
    """

    silent_s: float
    of_bystanders: Looks | None

    @property
    def abort_conditions(self) -> AbortConditions:
        return AbortConditions(electing_s=30, inactive_s=60, silent_s=self.silent_s)

    def preflight(self, fault: Fault) -> None:
        with disruption_lock.held(self.reach.kube, self.run.name) as lock:
            affordable(self.reach, lock, fault)

    def wait_steady(self, within_s: float) -> tuple[float, Sequence[str]]:
        return wait_steady(
            self.reach, [load_steady()], all_numbers(load_gates(), self.reach.profile), within_s
        )

    def observe_bystanders(self, machine: str, within_s: float) -> Bystanders | None:
        if self.of_bystanders is None:
            return None
        numbers = all_numbers(load_gates(), self.reach.profile)
        return observe_bystanders(self.reach, self.of_bystanders, numbers, machine, within_s)

    def on_lock_lost(self, _tell: Callable[[str], object]) -> AbstractContextManager[None]:
        return nullcontext()

    @contextmanager
    def ledger(
        self, names: Sequence[str], *, machine: str, writes_per_s: float
    ) -> Iterator[NoBooks]:
        assert names
        assert machine
        assert writes_per_s
        yield NoBooks()

    @contextmanager
    def offered_load(self, machine: str) -> Iterator[Load]:
        with super().offered_load(machine) as load:
            assert load.is_offered == (self.load is not None)
            yield load


def context(
    reach: Reach,
    *,
    when: Mapping[Moment, Callable[[], object]],
    silent_s: float = 90,
    looks: Looks | None = None,
    visited: Path | None = None,
) -> LabContext:
    """``when`` maps a moment of the injection to an event that happens then.

    ``looks`` are taken of the machines that are not hit, while one is hit. With ``visited``, the
    folder of its results, the ingress has the load of the project's drills.
    """

    def progress(text: str) -> None:
        for moment, act in when.items():
            if text.startswith(moment):
                act()

    return LabContext(
        name="part 1",
        reach=reach,
        lock=DisruptionLock(reach.kube, NoRun.name),
        run=NoRun(),
        folder=visited or Path("/nowhere"),
        options=Options(allowed=True, seed=1),
        progress=progress,
        hide=len,
        load="ingress" if visited is not None else None,
        silent_s=silent_s,
        of_bystanders=looks,
    )
