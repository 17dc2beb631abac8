"""A drill's surroundings on the lab, without a ledger, and what happens beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from harness.drill.loads import Load, Marked, without_load
from harness.drill.runner import Loading, Stage
from harness.drill.steady import all_numbers, meanwhile, until_steady
from harness.faults import disruption_lock
from harness.faults.fault import Fault
from harness.faults.preflight import affordable, survivable
from harness.load.aim import aimed
from harness.load.running import offering
from harness.settings import load_gates
from harness.settings.drills import Limits, Looks, load_steady
from harness.settings.load import find_load
from harness.transport import Reach


@dataclass
class NoBooks:
    """Nothing is written: other tests are about the ledger."""

    space: str = ""
    silent_s: Mapping[str, float] = field(default_factory=dict)

    def mark(self, name: str) -> None:
        """Nobody reads it."""

    def tally(self) -> Mapping[str, Any]:
        return {}

    def latency_ms(self) -> Sequence[Mapping[str, float]]:
        return []


@contextmanager
def keeping(names: Sequence[str], *, machine: str, writes_per_s: float) -> Iterator[NoBooks]:
    assert names
    assert machine
    assert writes_per_s
    yield NoBooks()


def visited(reach: Reach, folder: Path) -> Loading:
    """The load that the project's drills have, on the lab's ingress."""
    order = aimed(find_load("ingress"), reach.profile, lasts_s=600)
    assert order is not None

    @contextmanager
    def loading(machine: str) -> Iterator[Load]:
        with offering(order, folder / machine) as running:
            yield Marked(running)

    return loading


def stage(
    reach: Reach,
    *,
    when: Mapping[str, Callable[[], object]],
    silent_s: float = 90,
    looks: Looks | None = None,
    loading: Loading = without_load,
) -> Stage:
    """``when`` says what happens beside the drill, when its progress begins with a word.

    ``looks`` are taken of the machines that are not hit, while one is.
    """
    numbers = all_numbers(load_gates())

    def tell(text: str) -> None:
        for begins, act in when.items():
            if text.startswith(begins):
                act()

    def afford(fault: Fault) -> None:
        with disruption_lock.held(reach.kube, "tests of the lab") as lock:
            affordable(reach, lock, fault)

    return Stage(
        reach=reach,
        survivable=partial(survivable, reach),
        calm=partial(until_steady, reach, [load_steady()], numbers),
        afford=afford,
        warning=lambda _alarm: nullcontext(),
        limits=Limits(electing_s=30, inactive_s=60, silent_s=silent_s),
        write=lambda _kind, _subject, _data: None,
        keeping=keeping,
        loading=loading,
        tell=tell,
        seed=1,
        meanwhile=partial(meanwhile, reach, looks, numbers) if looks else None,
    )
