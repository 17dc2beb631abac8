"""Waivers: risks accepted in writing, for one cluster and for a limited time.

``scenarios/waivers/*.yaml`` holds one waiver a file. An expired waiver turns its requirement red
again and says since when; a waiver that is not needed is reported.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, AwareDatetime, Field, model_validator

from harness.core.errors import ConfigError
from harness.settings.files import SCENARIOS, Frozen, parse

LONGEST = timedelta(days=90)

Person = Annotated[str, Field(min_length=2)]
UtcTime = Annotated[AwareDatetime, AfterValidator(lambda moment: moment.astimezone(UTC))]


class Waiver(Frozen):
    """One accepted risk: what, on which cluster, who answers for it, until when (UTC).

    With a ``clause``, the name of a check, it covers only that check.
    """

    schema_version: Literal[1] = Field(alias="schema")
    # The requirement's id.
    requirement: str
    clause: str | None = Field(default=None, min_length=2)
    # The profile's name.
    cluster: str
    # The owner, who removes the reason.
    owner: Person
    # The approver, who accepts the risk until then; not the owner.
    approver: Person
    # What is wrong, and why going on is better than waiting.
    reason: str = Field(min_length=10)
    # In force from this date on (UTC), for 90 days at most.
    created: UtcTime
    # The requirement is red again from this date on (UTC).
    expires: UtcTime

    @model_validator(mode="after")
    def _bounded(self) -> Waiver:
        if self.owner == self.approver:
            raise ValueError("the approver and the owner must be two people")
        if self.expires <= self.created:
            raise ValueError("it expires before it was created")
        if self.expires - self.created > LONGEST:
            raise ValueError(f"it lasts longer than {LONGEST.days} days")
        return self

    @property
    def what(self) -> str:
        """The waived requirement, in words."""
        return self.requirement + (f", “{self.clause}”" if self.clause else "")

    def covers(self, moment: datetime) -> bool:
        """True if the waiver is in force at that moment."""
        return self.created <= moment < self.expires


def load_waivers(
    cluster: str, known: Collection[str], folder: Path = SCENARIOS / "waivers"
) -> tuple[Waiver, ...]:
    """The waivers of one cluster; ConfigError for an unknown requirement or two for the same."""
    waivers = [parse(Waiver, path) for path in sorted(folder.glob("*.yaml"))]
    for waiver in waivers:
        if waiver.requirement not in known:
            raise ConfigError(
                f"a waiver in {folder} names an unknown requirement: {waiver.requirement}"
            )
    ours = tuple(waiver for waiver in waivers if waiver.cluster == cluster)
    ids = [waiver.what for waiver in ours]
    twice = sorted({name for name in ids if ids.count(name) > 1})
    if twice:
        raise ConfigError(f"two waivers for {', '.join(twice)} on the cluster {cluster}")
    return ours
