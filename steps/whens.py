"""The Whens: what is done to the cluster. They break something on purpose, and take it back."""

from __future__ import annotations

from pytest_bdd import parsers, when

from harness.pytest_gate.engine import Run


@when(parsers.parse("the drill {name} is carried out"))
def carry_out(run: Run, name: str) -> None:
    run.drill(name)


@when("the platform is soaked")
def soak(run: Run) -> None:
    run.soak()
