"""Faults that could not be undone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.lint.mistake import Mistake, place

_LIFE = ("refuse", "arm", "inject", "active", "heal", "healed")


def lint(faults: Mapping[str, Any], root: Path) -> Iterator[Mistake]:
    """A fault must be able to live its whole life: above all ``arm`` its undo, and ``heal``."""
    for name, fault in faults.items():
        missing = [step for step in _LIFE if not callable(getattr(fault, step, None))]
        if missing:
            kind = fault if isinstance(fault, type) else type(fault)
            says = f"the fault “{name}” cannot {', '.join(missing)}"
            yield Mistake(where=place(kind, root), says=says)
