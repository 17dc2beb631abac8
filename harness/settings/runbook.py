"""The runbook of the cutover night: its steps, as ``scenarios/runbook/cutover.yaml`` lists them.

Commands and sentences may hold placeholders such as ``{cluster}``; ``placeholders`` has their
values on a cluster.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from harness.settings.files import SCENARIOS, Frozen, parse
from harness.settings.profile import Profile

RUNBOOK = SCENARIOS / "runbook/cutover.yaml"
_PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")


_VALUES: Mapping[str, Callable[[Profile, str], str]] = {
    "cluster": lambda _, cluster: cluster,
    "manager": lambda profile, _: profile.swarm_manager or "",
    "machines": lambda profile, _: " ".join(it.name for it in profile.machines),
    "ingress": lambda profile, _: (
        " ".join(map(str, profile.ingress.addresses)) if profile.ingress else ""
    ),
    "legacy": lambda profile, _: profile.legacy.path if profile.legacy else "",
    "registries": lambda profile, _: " ".join(profile.swarm.registries) if profile.swarm else "",
    "shares": lambda profile, _: _shares(profile, past_no_return=False),
    "last_shares": lambda profile, _: _shares(profile, past_no_return=True),
}


def _shares(profile: Profile, *, past_no_return: bool) -> str:
    """The steps of the shift before the point of no return, or past it.

    With one switch for all there is no step before it: 0 measures that all are still served by the
    old platform.
    """
    if profile.shift is None:
        return ""
    first = profile.shift.no_return.from_share
    shares = [it for it in profile.shift.steps if (it >= first) is past_no_return]
    return ",".join(map(str, shares)) or "0"


def _known(text: str) -> str:
    unknown = [name for name in _PLACEHOLDER.findall(text) if name not in _VALUES]
    if unknown:
        raise ValueError(f"there is no placeholder {unknown[0]}; there are {', '.join(_VALUES)}")
    return text


Words = Annotated[str, Field(min_length=2), AfterValidator(_known)]


class Rehearsal(Frozen):
    """The runs that tell how long a step takes: exactly one of the three.

    A run counts if it proved what it was for.
    """

    # Whole gates of this week.
    gate: int | None = Field(default=None, ge=1)
    # Runs for these requirements alone, such as those of `./cutover soak`.
    only: tuple[str, ...] = ()
    # A number of seconds that a requirement measured: REQUIREMENT/KEY.
    number: Annotated[str, Field(pattern=r"^W[0-9]+-[A-Z0-9-]+/[a-z0-9_]+_s$")] | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(map(bool, (self.gate, self.only, self.number))) != 1:
            raise ValueError("give exactly one of gate, only and number")
        return self


class WayBack(Frozen):
    """What is done when a step goes wrong."""

    # The way back in a sentence; if there is none, why.
    words: Words
    # The commands, in this order.
    commands: tuple[Words, ...] = ()


class Step(Frozen):
    """A step of the night.

    Its owner is one of the gate files' owners: its own, or that of its first requirement.
    """

    # What is done, as an order.
    title: Words
    # What it changes, and why now.
    why: Words
    # Who does it, if it proves no requirement.
    owner: str | None = None
    # The commands, in this order; a step without any is done by hand.
    commands: tuple[Words, ...] = ()
    # The condition to go on. It makes the step a go/no-go point.
    go: Words | None = None
    # The requirements whose limits count at this point.
    requirements: tuple[str, ...] = ()
    back: WayBack
    # Where its seconds come from; without it, the step is not timed.
    rehearsed: Rehearsal | None = None
    # Parts without which the step does not apply to a cluster.
    needs: tuple[str, ...] = ()
    # True for the step after which going back would lose data.
    no_return: bool = False

    @model_validator(mode="after")
    def _is_somebodys(self) -> Self:
        if self.owner is None and not self.requirements:
            raise ValueError(f"“{self.title}” has no owner: give `owner:` or `requirements:`")
        if self.requirements and self.go is None:
            raise ValueError(f"“{self.title}” has limits: say in `go:` what they decide")
        return self


class Phase(Frozen):
    """A part of the night."""

    # Its name.
    title: str
    # When it begins, in words.
    when: str
    steps: tuple[Step, ...] = Field(min_length=1)


class Runbook(Frozen):
    """The steps of a cutover, in order."""

    schema_version: Literal[1] = Field(alias="schema")
    # The headline of the printed runbook.
    title: str
    # How many of the newest rehearsals of a step count.
    remembers: int = Field(ge=1)
    phases: tuple[Phase, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _one_point(self) -> Self:
        if sum(step.no_return for step in self.steps) != 1:
            raise ValueError("exactly one step is the point of no return (`no_return: true`)")
        return self

    @property
    def steps(self) -> tuple[Step, ...]:
        """Every step of every phase."""
        return tuple(step for phase in self.phases for step in phase.steps)

    def commands(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """Every command with its place in the file, also those of the ways back."""
        for number, phase in enumerate(self.phases):
            for place, step in enumerate(phase.steps):
                where = ("phases", number, "steps", place)
                for command in step.commands:
                    yield (*where, "commands"), command
                for command in step.back.commands:
                    yield (*where, "back", "commands"), command


def load_runbook(path: Path = RUNBOOK) -> Runbook:
    """The runbook; ConfigError when it is not valid."""
    return parse(Runbook, path)


def placeholders(profile: Profile, cluster: str) -> Mapping[str, str]:
    """The value of each placeholder on a cluster; empty where its profile does not say it.

    ``cluster`` is the value of ``--cluster``.
    """
    return {name: value(profile, cluster) for name, value in _VALUES.items()}


def filled(text: str, values: Mapping[str, str]) -> str:
    """A text with its placeholders filled in; one without a value is named in angle brackets."""
    return _PLACEHOLDER.sub(
        lambda it: values[it[1]] or f"‹{it[1]}: the profile does not say it›", text
    )
