"""Finds parts of features, steps, gate files and waivers that pass without proving anything.

An error is a way to a green gate that proves less than it says; it makes ``./cutover lint`` fail. A
note is a gap that the gate itself reports, or a leftover.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness.pytest_gate.catalogue import Scenario


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """A mistake and its place (``file:line``); a ``note`` is not an error."""

    where: str
    says: str
    note: bool = False


def at(scenario: Scenario) -> str:
    """The place of a scenario."""
    return f"features/{scenario.file}:{scenario.line}"


def place(thing: Callable[..., object] | type, root: Path) -> str:
    """The place of a function or a class, relative to the project's root."""
    path = Path(inspect.getsourcefile(thing) or "?")
    line = inspect.getsourcelines(thing)[1]
    return f"{path.relative_to(root) if path.is_relative_to(root) else path}:{line}"
