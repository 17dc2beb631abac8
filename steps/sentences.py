"""The sentences of the features: a Given for every probe, the Whens, and a Then for every check.

A probe has its sentence; a check's name is its sentence. Only the Whens are written by hand: they
break something on purpose, and take it back.
"""

from __future__ import annotations

from collections.abc import Callable

from pytest_bdd import given, parsers, then, when

from harness.checks import CHECKS
from harness.facts.switch import MOVES
from harness.probes import PROBES
from harness.pytest_gate.engine import Run


def observing(probe: str) -> Callable[[Run], None]:
    """The step that observes with the probe of that name."""

    def observe(run: Run) -> None:
        run.observe(probe)

    return observe


def requiring(check: str) -> Callable[[Run], None]:
    """The step that requires the check of that name."""

    def require(run: Run) -> None:
        run.require(check)

    return require


for _probe in PROBES.values():
    given(_probe.sentence)(observing(_probe.name))


@when(parsers.parse("the drill {name} is carried out"))
def carry_out(run: Run, name: str) -> None:
    run.drill(name)


@when("the platform is soaked")
def soak(run: Run) -> None:
    run.soak()


@when("the backup of a customer is restored elsewhere")
def restore(run: Run) -> None:
    run.restore()


@when("the traffic is moved to the new platform step by step")
def shift(run: Run) -> None:
    run.shift()


@when(parsers.parse("a new customer walks the journey {name}"))
def walk(run: Run, name: str) -> None:
    run.walk(name)


@when("the requests that write are sent to both platforms")
def compare_writes(run: Run) -> None:
    run.compare_writes()


@when("each load is offered to the ingress")
def offer_loads(run: Run) -> None:
    run.offer_loads()


@when("each load is offered to both platforms in turn")
def compare_loads(run: Run) -> None:
    run.compare_loads()


@when(parsers.re(f"the move (?P<move>{'|'.join(MOVES)}) is rehearsed"))
def rehearse(run: Run, move: str) -> None:
    run.rehearse(move)


for _check in CHECKS:
    then(_check)(requiring(_check))
