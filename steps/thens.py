"""A Then for every check: its name is the sentence of a feature.

Only a Then with arguments is written here by hand.
"""

from __future__ import annotations

from collections.abc import Callable

from pytest_bdd import then

from harness.checks import CHECKS
from harness.pytest_gate.engine import Run


def requiring(check: str) -> Callable[[Run], None]:
    """The step that requires the check of that name."""

    def require(run: Run) -> None:
        run.require(check)

    return require


for _check in CHECKS:
    then(_check)(requiring(_check))
