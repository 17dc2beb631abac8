"""A mistake, and how places are written."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.pytest_gate.catalogue import Scenario


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """Something that is wrong, and where (``file:line``); a ``note`` is only worth knowing."""

    where: str
    says: str
    note: bool = False


def at(scenario: Scenario) -> str:
    """Where a scenario is written."""
    return f"features/{scenario.file}:{scenario.line}"


def place(thing: Callable[..., Any] | type, root: Path) -> str:
    """Where a function or a class is written, seen from the project's root."""
    path = Path(inspect.getsourcefile(thing) or "?")
    line = inspect.getsourcelines(thing)[1]
    return f"{path.relative_to(root) if path.is_relative_to(root) else path}:{line}"
