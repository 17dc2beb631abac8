"""One case of the corpus."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.checks import Check
from harness.tests.project import GOOD


@dataclass(frozen=True)
class Case:
    """A project that must not be green, and the words that say why.

    ``answers`` changes what the probe sees, ``checks`` adds to the table, ``files`` to the project.
    """

    name: str
    why: str
    feature: str = GOOD
    steps: str = ""
    options: tuple[str, ...] = ()
    answers: Mapping[str, Any] | None = None
    checks: Mapping[str, Check] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
