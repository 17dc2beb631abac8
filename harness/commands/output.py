"""Shared by all commands: data to stdout, progress to stderr, the same options everywhere.

Progress of a gate is a live view on a terminal, and plain lines elsewhere. With ``--json`` it is
events instead: one JSON object a line on stderr, each with ``event`` and ``at`` (UTC), so that
stdout has only the verdict. Events: opened, scenario-began, scenario-ended, collecting, judged, and
progress for other work that takes long.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import IO, Annotated, Protocol, Self

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from harness.gate import Judgement, Manifest
from harness.pytest_gate.catalogue import Scenario
from harness.record.journal import utc_text
from harness.report.words import duration, printable
from harness.settings.drills import Drill
from harness.settings.loads import Load

Cluster = Annotated[str, typer.Option("--cluster", help="Cluster profile, by name or path.")]
AllowDisruption = Annotated[
    bool, typer.Option("--allow-disruption", help="Permit what breaks or changes the platform.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document, and no words.")]


def say(text: str = "") -> None:
    """Print a line of the command's answer."""
    _write(f"{printable(text)}\n")


def say_progress(text: str) -> None:
    """Print what the command is doing, to stderr."""
    sys.stderr.write(f"{text}\n")


def say_json(document: object) -> None:
    """Print the command's answer as JSON."""
    _write(f"{json.dumps(document, ensure_ascii=False, indent=2)}\n")


def say_list(what: str, named: Sequence[Drill | Load], *, as_json: bool) -> None:
    """Print the names and titles of all drills or loads; as JSON, all that is declared of them."""
    if as_json:
        rows = [it.model_dump(mode="json", by_alias=True) for it in named]
        say_json({"schema": 1, what: rows})
        return
    width = max((len(it.name) for it in named), default=0)
    for it in named:
        say(f"{it.name:<{width}}  {it.title}")


def _write(text: str) -> None:
    """Write to stdout; a reader that went away (``| head``) must not change the exit status."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class Teller(Protocol):
    """Shows a run's progress; also a pytest plugin, open while pytest runs."""

    def tell(self, text: str) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class _OnStderr:
    """A separate copy of stderr, because pytest captures the usual one."""

    def __init__(self, stream: IO[str] | None = None) -> None:
        self._stream = stream or os.fdopen(os.dup(2), "w", encoding="utf-8")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stream.close()


class Events(_OnStderr):
    """Progress as one JSON object a line, for machines."""

    def tell(self, text: str) -> None:
        self._event("progress", text=text)

    def pytest_gate_opened(self, manifest: Manifest) -> None:
        self._event(
            "opened",
            run=manifest.run,
            week=manifest.week,
            cluster=manifest.cluster.name,
            requirements=[requirement.id for requirement in manifest.requirements],
            scenarios=[scenario.id for scenario in manifest.scenarios],
        )

    def pytest_gate_scenario_began(self, scenario: Scenario) -> None:
        self._event("scenario-began", scenario=scenario.id, requirements=scenario.requirements)

    def pytest_gate_scenario_ended(self, scenario: Scenario, state: str, said: str) -> None:
        self._event("scenario-ended", scenario=scenario.id, state=state, says=said)

    def pytest_gate_told(self, text: str) -> None:
        self.tell(text)

    def pytest_gate_collecting(self, why: Scenario) -> None:
        self._event("collecting", scenario=why.id)

    def pytest_gate_judged(self, judgement: Judgement) -> None:
        self._event("judged", decision=judgement.decision.value, exit=int(judgement.exit))

    def _event(self, event: str, **data: object) -> None:
        line = {"event": event, "at": utc_text(datetime.now(UTC)), **data}
        self._stream.write(f"{json.dumps(line, ensure_ascii=False)}\n")
        self._stream.flush()


class Progress(_OnStderr):
    """Progress for people: a line per finished scenario; on a terminal, also a live view."""

    def __init__(self, stream: IO[str] | None = None, *, terminal: bool | None = None) -> None:
        super().__init__(stream)
        self._console = Console(
            file=self._stream, highlight=False, soft_wrap=True, force_terminal=terminal
        )
        self._began_s = time.monotonic()
        self._expected_s: float | None = None
        self._left: dict[str, set[str]] = {}
        self._bad: set[str] = set()
        self._all = self._over = 0
        self._now = "collecting scenarios"
        self._live = Live(
            console=self._console,
            get_renderable=self._view,
            refresh_per_second=4,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def tell(self, text: str) -> None:
        """Print a line, after the seconds since the start."""
        elapsed_s = time.monotonic() - self._began_s
        self._console.print(f"[{elapsed_s:4.0f} s] {text}", markup=False)

    def pytest_gate_opened(self, manifest: Manifest) -> None:
        selected, due = len(manifest.requirements), manifest.due
        part = f"{selected} of {due}" if manifest.only else str(due)
        self._all = len(manifest.scenarios)
        self._left = {
            it.id: {scenario.id for scenario in manifest.proving(it.id)}
            for it in manifest.requirements
        }
        self._bad = {requirement for requirement, scenarios in self._left.items() if not scenarios}
        self._expected_s = _expected_s(manifest)
        expected = f", about {duration(self._expected_s)}" if self._expected_s else ""
        self.tell(
            f"week {manifest.week} on {manifest.cluster.name}: {part} requirements, "
            f"{self._all} scenarios{expected}, run {manifest.run}"
        )
        if self._console.is_terminal:
            self._live.start()

    def pytest_gate_scenario_began(self, scenario: Scenario) -> None:
        self._now = _line(scenario)

    def pytest_gate_scenario_ended(self, scenario: Scenario, state: str, said: str) -> None:
        self._over += 1
        for requirement in self._left.keys() & set(scenario.requirements):
            self._left[requirement].discard(scenario.id)
            if state not in ("passed", "not applicable"):
                self._bad.add(requirement)
        self.tell(f"{_line(scenario)}: {f'{state}: {said}' if said else state}")

    def pytest_gate_told(self, text: str) -> None:
        self.tell(f"  {text}")

    def pytest_gate_collecting(self, why: Scenario) -> None:
        self._now = "collecting evidence"
        self.tell(f"{_line(why)}: red; collecting evidence, a minute and a half at most")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.stop()
        super().__exit__(kind, error, trace)

    def _view(self) -> Group:
        """Two lines: the current scenario, the progress and the time."""
        elapsed_s = time.monotonic() - self._began_s
        proven = sum(not left and it not in self._bad for it, left in self._left.items())
        done = f"{self._over} of {self._all} scenarios · {proven} of {len(self._left)} proven"
        took = duration(elapsed_s)
        if self._expected_s:
            took += f" of about {duration(self._expected_s)}"
        row = Table.grid(padding=(0, 2))
        row.add_row(
            ProgressBar(total=max(self._all, 1), completed=self._over, width=20),
            f"{done} · {took}",
        )
        return Group(Text(f"▸ {self._now}"), row)


def _expected_s(manifest: Manifest) -> float | None:
    """How long the last whole gate of this week took, in seconds; None when there was none."""
    if manifest.only:
        return None
    took = [it.took_s for it in manifest.past if it.week == manifest.week and it.took_s]
    return took[-1] if took else None


def _line(scenario: Scenario) -> str:
    return f"{' '.join(scenario.requirements):<12} {scenario.name}"
