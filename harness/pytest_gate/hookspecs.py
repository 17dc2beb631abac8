"""The gate's hooks for other pytest plugins, such as the progress display of ``./cutover gate``."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from harness.core.errors import HarnessError
from harness.gate import Judgement, Manifest
from harness.pytest_gate.catalogue import Scenario


class GateHooks:
    """Hook specifications."""

    def pytest_gate_opened(self, manifest: Manifest, folder: Path) -> None:
        """The run has a folder and a journal; nothing has been looked at."""

    def pytest_gate_not_opened(self, error: HarnessError) -> None:
        """No run was opened: its options or files are wrong, or a guard refused it."""

    def pytest_gate_scenario_began(self, scenario: Scenario) -> None:
        """A scenario is about to run."""

    def pytest_gate_scenario_ended(self, scenario: Scenario, state: str, said: str) -> None:
        """A scenario is over: passed, failed, skipped …; ``said`` is one line on why."""

    def pytest_gate_told(self, text: str) -> None:
        """Progress within a scenario that takes a while."""

    def pytest_gate_collecting(self, why: Scenario) -> None:
        """Evidence collection starts because of that scenario, and takes a while."""

    def pytest_gate_kept(self, target: str, what: str, file: Path) -> None:
        """That file of the run has a piece of evidence, without its secrets."""

    def pytest_gate_judged(self, judgement: Judgement, folder: Path) -> None:
        """The run is judged and its reports are drawn."""


class GateCaller(Protocol):
    """The hooks in the form of ``config.hook``."""

    def pytest_gate_opened(self, *, manifest: Manifest, folder: Path) -> None: ...

    def pytest_gate_not_opened(self, *, error: HarnessError) -> None: ...

    def pytest_gate_scenario_began(self, *, scenario: Scenario) -> None: ...

    def pytest_gate_scenario_ended(self, *, scenario: Scenario, state: str, said: str) -> None: ...

    def pytest_gate_told(self, *, text: str) -> None: ...

    def pytest_gate_collecting(self, *, why: Scenario) -> None: ...

    def pytest_gate_kept(self, *, target: str, what: str, file: Path) -> None: ...

    def pytest_gate_judged(self, *, judgement: Judgement, folder: Path) -> None: ...
