"""The generator's input, made from a load and a cluster profile.

No settings are loaded at run time: the generator's process loads little beside locust.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate
from math import ceil, inf, sqrt
from typing import TYPE_CHECKING, NamedTuple, Self

from harness.core.errors import ConfigError

if TYPE_CHECKING:
    from harness.settings import Profile
    from harness.settings.drills import Load

# A request that begins later than this after it was due was not offered as planned. No user waits
# for an earlier answer (`users`), so only the generator itself can be the reason.
ON_TIME_S = 1.0


class Page(NamedTuple):
    """A page, and its expected answer: a status (None: any below 400), and text in the body."""

    host: str
    path: str
    status: int | None = None
    says: str = ""


class Stage(NamedTuple):
    """A part of a load: the rate goes evenly from ``from_per_s`` to ``to_per_s``."""

    name: str
    from_per_s: float
    to_per_s: float
    for_s: float

    @property
    def requests(self) -> float:
        return (self.from_per_s + self.to_per_s) / 2 * self.for_s

    def due(self, requests: float) -> float:
        """The second of the stage after which so many requests are due.

        The rate r(t) = a + bt has sent at + bt²/2 by then, whose root is written without a
        difference of near numbers: 2n / (a + √(a² + 2bn)).
        """
        slope = (self.to_per_s - self.from_per_s) / self.for_s
        root = sqrt(max(0.0, self.from_per_s**2 + 2 * slope * requests))
        return 0.0 if requests == 0 else 2 * requests / (self.from_per_s + root)


class Plan(NamedTuple):
    """When requests are due: in stages one after the other, then at a steady rate for ever.

    ``per_s`` is the rate after the stages; 0 ends the load with the last one.
    """

    per_s: float
    stages: tuple[Stage, ...] = ()

    @property
    def most_per_s(self) -> float:
        return max(self.per_s, *(max(it.from_per_s, it.to_per_s) for it in self.stages), 0.0)

    @property
    def lasts_s(self) -> float:
        """The seconds of all stages."""
        return sum(it.for_s for it in self.stages)

    def due(self, number: int) -> float:
        """The seconds from the begin of the load until a request is due; infinite for none.

        By the plan alone, independent of other requests. The first request has the number 0.
        """
        before, left = 0.0, float(number)
        for stage in self.stages:
            if left < stage.requests:
                return before + stage.due(left)
            before, left = before + stage.for_s, left - stage.requests
        return before + left / self.per_s if self.per_s else inf

    def begins(self) -> dict[str, float]:
        """When each stage begins, in seconds from the begin of the load."""
        times = accumulate((it.for_s for it in self.stages), initial=0.0)
        return {it.name: begin for it, begin in zip(self.stages, times, strict=False)}

    def __str__(self) -> str:
        if not self.stages:
            return f"{self.per_s:g} requests/s"
        told = (f"{it.name}: {it.to_per_s:g} requests/s for {it.for_s:g} s" for it in self.stages)
        return ", then ".join(told)


def plan_of(load: Load) -> Plan:
    """The plan of a load file: its stages, or its steady rate without any."""
    if not load.stages:
        return Plan(load.requests_per_s)
    rates = [load.requests_per_s, *(it.requests_per_s for it in load.stages)]
    return Plan(
        0.0,
        tuple(
            Stage(name, before if it.ramp else it.requests_per_s, it.requests_per_s, it.for_s)
            for name, it, before in zip(load.stage_names, load.stages, rates, strict=False)
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadSpec:
    """The targets, pages, rate and duration of a load.

    ``scheme`` is http or https. ``authority`` is a PEM file; None: this system's trusted CAs.
    ``users`` is large enough that each user is free again when its next request is due, even after
    a request that timed out.
    """

    addresses: Sequence[str]
    pages: Sequence[Page]
    authority: str | None
    plan: Plan
    timeout_s: float
    lasts_s: float
    users: int
    scheme: str = "https"
    port: int = 443

    @classmethod
    def from_line(cls, line: str) -> Self:
        told = json.loads(line)
        plan = Plan(told["plan"][0], tuple(Stage(*it) for it in told["plan"][1]))
        return cls(**{**told, "pages": [Page(*page) for page in told["pages"]], "plan": plan})

    def line(self) -> str:
        return json.dumps(asdict(self)) + "\n"

    def host_of(self, page: Page) -> str:
        """The Host header of a request: with the port unless it is the scheme's default."""
        usual = self.port == (443 if self.scheme == "https" else 80)
        return page.host if usual else f"{page.host}:{self.port}"

    def __str__(self) -> str:
        where = ", ".join(f"{self.scheme}://{self.host_of(it)}{it.path}" for it in self.pages)
        return (
            f"{self.plan} to {where} at {', '.join(self.addresses)}; "
            f"each is given up after {self.timeout_s:g} s"
        )


def users_for(per_s: float, timeout_s: float) -> int:
    """The number of users that a rate needs, so that no user is busy at its next request."""
    return ceil(per_s * (timeout_s + ON_TIME_S))


def why_none(profile: Profile) -> str | None:
    """Why no load can be offered to a cluster, in its profile's words; None if one can."""
    return profile.cluster().absent.get("ingress")


def load_spec(load: Load, profile: Profile, lasts_s: float) -> LoadSpec | None:
    """The load for one cluster; None when the cluster declares no ingress.

    ConfigError when it declares an ingress without sites: the load would have no target.
    """
    if why_none(profile) is not None:
        return None
    ingress = profile.ingress
    assert ingress is not None, "a stack with an ingress says where it answers"
    if not ingress.sites:
        raise ConfigError(
            f"the load {load.name} has no target: {profile.name} declares no site",
            remedy="list the customers' sites in `ingress.sites:` of the profile",
        )
    known = ingress.declared(load.paths)
    plan = plan_of(load)
    return LoadSpec(
        addresses=known.addresses,
        pages=[Page(it.host, it.path, it.status, it.says) for it in known.pages],
        scheme=known.scheme,
        port=known.port,
        authority=None if ingress.authority is None else str(ingress.authority),
        plan=plan,
        timeout_s=load.timeout_s,
        lasts_s=lasts_s,
        users=users_for(plan.most_per_s, load.timeout_s),
    )
