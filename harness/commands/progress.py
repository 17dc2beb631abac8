"""Progress while a gate runs: a live line on a terminal, plain lines elsewhere, all on stderr."""

from __future__ import annotations

import os
import time
from types import TracebackType
from typing import Self

from rich.console import Console

from harness.catalogue import Scenario
from harness.gate import Manifest


class Progress:
    """Tells how far a run is; also a pytest plugin.

    It writes to a copy of stderr of its own, because pytest captures the usual one.
    """

    def __init__(self) -> None:
        self._stream = os.fdopen(os.dup(2), "w", encoding="utf-8")
        self._console = Console(file=self._stream, highlight=False, soft_wrap=True)
        self._status = self._console.status("")
        self._began_s = time.monotonic()

    def tell(self, text: str) -> None:
        """A line, after the seconds since the start."""
        self._console.print(f"{self._clock()} {text}", markup=False)

    def pytest_gate_opened(self, manifest: Manifest) -> None:
        selected, due = len(manifest.requirements), manifest.due
        part = f"{selected} of {due}" if manifest.only else str(due)
        self.tell(
            f"week {manifest.week} on {manifest.cluster.name}: {part} requirements, "
            f"{len(manifest.scenarios)} scenarios, run {manifest.run}"
        )
        if self._console.is_terminal:
            self._status.start()

    def pytest_gate_scenario_began(self, scenario: Scenario) -> None:
        if self._console.is_terminal:
            self._status.update(_line(scenario))
        else:
            self.tell(_line(scenario))

    def pytest_gate_scenario_ended(self, scenario: Scenario, said: str) -> None:
        self.tell(f"{_line(scenario)}: {said}")

    def pytest_gate_collecting(self, why: Scenario) -> None:
        self.tell(f"{_line(why)}: red; collecting evidence, a minute and a half at most")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._status.stop()
        self._stream.close()

    def _clock(self) -> str:
        return f"[{time.monotonic() - self._began_s:4.0f} s]"


def _line(scenario: Scenario) -> str:
    return f"{' '.join(scenario.requirements):<12} {scenario.name}"
