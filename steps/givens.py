"""A Given for every probe: its sentence looks at the cluster."""

from __future__ import annotations

from collections.abc import Callable

from pytest_bdd import given

from harness.probes import PROBES
from harness.pytest_gate.engine import Run


def observing(probe: str) -> Callable[[Run], None]:
    """The step that observes with the probe of that name."""

    def observe(run: Run) -> None:
        run.observe(probe)

    return observe


for _probe in PROBES.values():
    given(_probe.sentence)(observing(_probe.name))
