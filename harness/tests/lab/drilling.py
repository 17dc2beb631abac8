"""A drill's surroundings on the lab, without a ledger, and what happens beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from harness.drill.conduct import Stage
from harness.drill.steady import all_numbers, meanwhile, until_steady
from harness.faults import lease
from harness.faults.fault import Fault
from harness.faults.permit import affordable
from harness.settings import load_gates
from harness.settings.drills import Limits, Looks, load_steady
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


def stage(
    reach: Reach,
    *,
    when: Mapping[str, Callable[[], object]],
    silent_s: float = 90,
    looks: Looks | None = None,
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
        with lease.held(reach.kube, "tests of the lab") as hold:
            affordable(reach, hold, fault)

    return Stage(
        reach=reach,
        calm=partial(until_steady, reach, [load_steady()], numbers),
        afford=afford,
        warning=lambda _alarm: nullcontext(),
        limits=Limits(electing_s=30, inactive_s=60, silent_s=silent_s),
        write=lambda _kind, _subject, _data: None,
        keeping=keeping,
        tell=tell,
        seed=1,
        meanwhile=partial(meanwhile, reach, looks, numbers) if looks else None,
    )
