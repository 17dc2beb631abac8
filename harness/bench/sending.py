"""The guard as one text, to be sent to a machine's python3, and its answers."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from harness.errors import TransportError, Unreachable
from harness.transport import Reach, own_folder
from harness.transport.sent import one_text

_PARTS = ("decision", "facts_script")
_PYTHON = ("python3", "-I", "-S", "-")


def script() -> str:
    """The guard with the modules it imports: the machine needs python3 and nothing of ours."""
    parts = {f"harness.bench.{name}": _source(name) for name in _PARTS}
    parts[own_folder.__name__] = inspect.getsource(own_folder)
    return one_text(_source("guard_script"), parts)


def _source(name: str) -> str:
    return Path(__file__).with_name(f"{name}.py").read_text(encoding="utf-8")


def ask(
    reach: Reach,
    machine: str,
    mode: str,
    about: Mapping[str, Any],
    *,
    within_s: float,
    hear: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """What the guard on a machine answers; TransportError when it gives no answer.

    ``hear`` is told each line that comes before the answer, while it comes.
    """
    argv = (*_PYTHON, mode, json.dumps(about))
    done = reach.shell.run(machine, argv, stdin=script(), within_s=within_s, hear=hear)
    if done.status != 0:
        raise Unreachable(
            f"{machine}: the guard ended with {done.status}: {done.stderr[-300:]}",
            remedy=f"is python3 (3.8 or newer) installed on {machine}?",
        )
    try:
        answer: dict[str, Any] = json.loads(done.stdout.strip().rpartition("\n")[2])
    except ValueError as error:
        raise TransportError(f"{machine}: garbled: {done.stdout[-200:]!r}") from error
    if "error" in answer:
        raise TransportError(f"{machine}: the guard broke: {answer['error']}")
    return answer
