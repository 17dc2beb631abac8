"""Faults that could not be undone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from harness.lint.mistake import Mistake, place

_LIFE = ("refuse", "arm", "inject", "active", "heal", "healed")


def table() -> Mapping[str, Any]:
    """``harness.faults.FAULTS``; empty while no fault is built."""
    if find_spec("harness.faults") is None:
        return {}
    found: Mapping[str, Any] = import_module("harness.faults").FAULTS
    return found


def lint(faults: Mapping[str, Any], root: Path) -> Iterator[Mistake]:
    """A fault must be able to live its whole life: above all ``arm`` its undo, and ``heal``."""
    for name, fault in faults.items():
        missing = [step for step in _LIFE if not callable(getattr(fault, step, None))]
        if missing:
            kind = fault if isinstance(fault, type) else type(fault)
            says = f"the fault “{name}” cannot {', '.join(missing)}"
            yield Mistake(where=place(kind, root), says=says)
