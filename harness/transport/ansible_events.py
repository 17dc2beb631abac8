"""ansible-runner's events while Ansible runs, and the result of each host."""

from __future__ import annotations

import difflib
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from harness.core.errors import TimedOut, TransportError, Unreachable
from harness.facts.schema import read
from harness.transport.protocols import AnsibleTask, Completed


@dataclass(frozen=True, slots=True)
class EventData:
    """An event's data: the result of a task on a host, or at the end the result of each host."""

    host: str = ""
    task: str = ""
    res: Mapping[str, object] = field(default_factory=dict)
    processed: Mapping[str, object] = field(default_factory=dict)
    dark: Mapping[str, object] = field(default_factory=dict)  # the hosts that were not reached


@dataclass(frozen=True, slots=True)
class Event:
    """An event of ansible-runner, as far as it is used."""

    event: str
    stdout: str = ""
    event_data: EventData = EventData()


Hear: TypeAlias = Callable[[Event], None]


def hear_event(hear: Hear, said: object) -> bool:
    """Handle an event of ansible-runner; False, so that it keeps no file of it."""
    hear(read(Event, said))
    return False


class Unanswered:
    """The hosts that gave no answer, and why."""

    def __init__(self) -> None:
        self._silent: dict[str, str] = {}
        self._complaint = ""

    def event(self, event: Event) -> None:
        match event.event:
            case "runner_on_unreachable":
                said = event.event_data.res.get("msg", "")
                self._silent[event.event_data.host] = " ".join(str(said).split())
            case "verbose" if "ERROR" in event.stdout:
                self._complaint = event.stdout.strip()

    def why_not(self, host: str, deadline: float) -> TransportError:
        """Why a host gave no answer."""
        if host in self._silent:
            return Unreachable(f"{host}: {self._silent[host]}")
        if time.monotonic() < deadline:
            return TransportError(f"{host}: Ansible gave up: {self._complaint or 'no message'}")
        return TimedOut(f"{host}: no answer in time")


class CommandAnswers(Unanswered):
    """The answers of commands so far."""

    def __init__(self) -> None:
        super().__init__()
        self.answers: dict[str, Completed | TransportError] = {}

    def event(self, event: Event) -> None:
        if event.event in ("runner_on_ok", "runner_on_failed"):
            host = event.event_data.host
            self.answers[host] = _answer(host, event.event_data.res)
        super().event(event)


class TaskResults(Unanswered):
    """The results of tasks so far; ``ended`` are the hosts that reached the play's end."""

    def __init__(self) -> None:
        super().__init__()
        self.results: dict[str, list[AnsibleTask]] = {}
        self.ended: set[str] = set()

    def event(self, event: Event) -> None:
        data = event.event_data
        match event.event:
            case "runner_on_ok" | "runner_on_failed":
                failed = event.event == "runner_on_failed"
                result = _result(data.task, data.res, failed=failed)
                self.results.setdefault(data.host, []).append(result)
            case "playbook_on_stats":
                self.ended |= set(data.processed) - set(data.dark)
        super().event(event)


def _result(task: str, said: Mapping[str, object], *, failed: bool) -> AnsibleTask:
    diffs = said.get("diff")
    parts = diffs if isinstance(diffs, list) else [diffs]
    command = _command(said.get("cmd")) if said.get("changed") else ""
    words = [command, *(str(said.get(key) or "").strip() for key in ("msg", "stderr"))]
    return AnsibleTask(
        task=task,
        changed=bool(said.get("changed")),
        failed=failed,
        diff=tuple(line for it in parts if isinstance(it, Mapping) for line in _difference(it)),
        says="; ".join(word for word in words if word),
    )


def _command(ran: object) -> str:
    return shlex.join(map(str, ran)) if isinstance(ran, list) else str(ran or "")


def _difference(part: Mapping[str, object]) -> Sequence[str]:
    """The lines that differ between a before and an after, each a text or a mapping."""
    before, after = (_lines(part.get(key)) for key in ("before", "after"))
    lines = list(difflib.unified_diff(before, after, lineterm="", n=0))[2:]
    return [line for line in lines if not line.startswith("@@")]


def _lines(side: object) -> list[str]:
    if isinstance(side, Mapping):
        return [f"{key}: {value}" for key, value in sorted(side.items())]
    return str(side or "").splitlines()


def _answer(host: str, said: Mapping[str, object]) -> Completed | TransportError:
    status = said.get("rc")
    if not isinstance(status, int):
        return TransportError(f"{host}: {said.get('msg', 'no answer')}")
    return Completed(
        status=status,
        stdout=str(said.get("stdout", "")),
        stderr=str(said.get("stderr", "")),
    )
