"""The generator's input, made from a load and a cluster profile.

No settings are loaded at run time: the generator's process loads little beside locust.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import blake2b
from itertools import accumulate
from math import ceil, inf, sqrt
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from harness.core.declared import PORT_OF
from harness.core.errors import ConfigError, NotProven

if TYPE_CHECKING:
    from pydantic import JsonValue

    from harness.settings import Profile
    from harness.settings.loads import Load, LoadBaseline

# A request that begins later than this after it was due was not offered as planned. No visitor
# waits for another one's answer, so only the generator itself can be the reason.
ON_TIME_S = 1.0
# Beyond its stages and its last answers: the start of the generator.
_MORE_S = 60.0
# The exit statuses of a worker that no master called for five minutes, and of one whose master
# ended before it gave out a load: it was the master of the load before.
UNCALLED, DESERTED = 3, 4


class Page(NamedTuple):
    """A page, and its expected answer: a status (None: any below 400), and text in the body.

    ``think_s`` is the least and the most seconds that a visitor waits before it. ``body`` is sent
    as JSON. ``keep`` are the names of what later requests use of its answer, by JSON pointer.
    """

    host: str
    path: str
    status: int | None = None
    says: str = ""
    method: str = "GET"
    headers: Mapping[str, str] = {}
    body: JsonValue = None
    think_s: tuple[float, float] = (0.0, 0.0)
    keep: Mapping[str, str] = {}


class Journey(NamedTuple):
    """The pages that a visitor requests one after the other, and how many visitors do, relatively.

    Each journey has the pages of one site.
    """

    weight: float
    pages: Sequence[Page]


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


class Workers(NamedTuple):
    """So many processes of other computers, which come to this address to take their shares."""

    processes: int
    listen: str
    port: int


class Plan(NamedTuple):
    """When requests are due: in stages one after the other, then at a steady rate for ever.

    ``per_s`` is the rate after the stages; 0 ends the load with the last one. With a ``seed`` each
    request is due at a drawn moment between its even place and the next one's, so that the load
    does not beat in time with what the platform does periodically. The same seed draws the same.
    """

    per_s: float
    stages: tuple[Stage, ...] = ()
    seed: int | None = None

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
        left += 0.0 if self.seed is None else drawn(self.seed, "due", number)
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
        told = [f"{it.name}: {it.to_per_s:g} requests/s for {it.for_s:g} s" for it in self.stages]
        told += [f"{self.per_s:g} requests/s"] if self.per_s else []
        return ", then ".join(told) + ("" if self.seed is None else f", seed {self.seed}")


def drawn(seed: int, what: str, number: int) -> float:
    """A number of [0, 1) for one choice about one request; independent of all other choices."""
    digest = blake2b(f"{seed} {what} {number}".encode(), digest_size=7).digest()
    return int.from_bytes(digest) / 2**56


def plan_of(load: Load) -> Plan:
    """The plan of a load file: its stages, or its steady rate without any."""
    if not load.stages:
        return Plan(load.requests_per_s, seed=load.seed)
    rates = [load.requests_per_s, *(it.requests_per_s for it in load.stages)]
    return Plan(
        0.0,
        tuple(
            Stage(name, before if it.ramp else it.requests_per_s, it.requests_per_s, it.for_s)
            for name, it, before in zip(load.stage_names, load.stages, rates, strict=False)
        ),
        load.seed,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadSpec:
    """The targets, pages, rate and duration of a load.

    ``scheme`` is http or https. ``authority`` is a PEM file; None: this system's trusted CAs.
    ``processes`` share the requests: of this computer, or else the ``workers``.
    """

    addresses: Sequence[str]
    pages: Sequence[Page]
    authority: str | None
    plan: Plan
    timeout_s: float
    lasts_s: float
    scheme: str = "https"
    port: int = 443
    journeys: Sequence[Journey] = ()
    processes: int = 1
    workers: Workers | None = None

    @classmethod
    def from_line(cls, line: str) -> Self:
        told = json.loads(line)
        journeys = [Journey(weight, _pages(those)) for weight, those in told["journeys"]]
        per_s, stages, seed = told["plan"]
        plan = Plan(per_s, tuple(Stage(*it) for it in stages), seed)
        workers = None if told["workers"] is None else Workers(*told["workers"])
        parts = {"journeys": journeys, "plan": plan, "workers": workers}
        return cls(**{**told, "pages": _pages(told["pages"]), **parts})

    def line(self) -> str:
        return json.dumps(asdict(self)) + "\n"

    @property
    def thinks_s(self) -> float:
        """The longest time from a visitor's first request to its last one."""
        return max((sum(it.think_s[1] for it in way.pages) for way in self.journeys), default=0.0)

    @property
    def answers_within_s(self) -> float:
        """The longest that one visitor waits for answers: the deadlines of all its requests."""
        return self.timeout_s * max((len(it.pages) for it in self.journeys), default=1)

    @property
    def connections(self) -> int:
        """The most that one process has open at once, however slow the platform is.

        Little's law: visitors a second × the seconds for which each may wait for answers.
        """
        return ceil(self.plan.most_per_s * self.answers_within_s / self.processes)

    def way_of(self, visitor: int) -> Sequence[Page]:
        """The pages that a visitor requests: one page, each in turn, or a drawn journey."""
        if not self.journeys:
            return (self.pages[visitor // len(self.addresses) % len(self.pages)],)
        weights = list(accumulate(it.weight for it in self.journeys))
        place = drawn(self.plan.seed or 0, "journey", visitor) * weights[-1]
        return self.journeys[bisect_right(weights, place)].pages

    def dues(self, visitor: int) -> Sequence[float]:
        """When a visitor's requests are due, in seconds from the begin of the load."""
        seed = self.plan.seed or 0
        pauses = [
            least + (most - least) * drawn(seed, f"think {number}", visitor)
            for number, (least, most) in enumerate(it.think_s for it in self.way_of(visitor))
        ]
        return list(accumulate([self.plan.due(visitor) + pauses[0], *pauses[1:]]))

    def host_of(self, page: Page) -> str:
        """The Host header of a request: with the port unless it is the scheme's default."""
        usual = self.port == PORT_OF[self.scheme]
        return page.host if usual else f"{page.host}:{self.port}"

    @property
    def all_pages(self) -> Sequence[Page]:
        """Every page that a visitor may request."""
        return self.pages or [page for it in self.journeys for page in it.pages]

    @property
    def what(self) -> str:
        """The load without its addresses and hosts: the same on both platforms."""
        asked = dict.fromkeys(f"{it.method} {it.path}" for it in self.all_pages)
        return f"{self.plan}: {', '.join(asked)}"

    def __str__(self) -> str:
        where = ", ".join(f"{self.scheme}://{self.host_of(it)}{it.path}" for it in self.all_pages)
        return (
            f"{self.plan} to {where} at {', '.join(self.addresses)}; "
            f"each is given up after {self.timeout_s:g} s"
        )


def _pages(told: Iterable[Sequence[Any]]) -> list[Page]:
    pages = (Page(*it) for it in told)
    return [it._replace(think_s=(it.think_s[0], it.think_s[1])) for it in pages]


def _journeys_of(load: Load, hosts: Sequence[str]) -> list[Journey]:
    """The journeys of a load, one for each site where a step names no host."""
    return [
        Journey(
            way.weight,
            [
                Page(
                    host=it.host or host,
                    path=it.path,
                    status=it.status,
                    says=it.says,
                    method=it.method,
                    headers=dict(it.headers),
                    body=it.body,
                    think_s=it.think_s,
                    keep=dict(it.keep),
                )
                for it in way.steps
            ],
        )
        for way in load.journeys
        for host in (hosts if any(it.host is None for it in way.steps) else hosts[:1])
    ]


def why_none(profile: Profile) -> str | None:
    """Why no load can be offered to a cluster, in its profile's words; None if one can."""
    return profile.cluster().absent.get("ingress")


def _workers_for(load: Load, profile: Profile) -> Workers | None:
    """Who offers the loads; ConfigError if this one is too much for them."""
    told = profile.load_workers
    if told is None:
        return None
    if load.most_per_s > told.most_per_s:
        raise ConfigError(
            f"the load {load.name} has up to {load.most_per_s:g} requests a second, and "
            f"{told.count} workers send {told.most_per_s:g}",
            remedy="start more workers, and say so in --workers or `load_workers:`",
        )
    return Workers(told.count, str(told.listen), told.port)


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
    known, workers = ingress.declared(load.paths), _workers_for(load, profile)
    plan, journeys = plan_of(load), _journeys_of(load, ingress.hosts)
    pages = [Page(it.host, it.path, it.status, it.says) for it in known.pages]
    return LoadSpec(
        addresses=known.addresses,
        pages=[] if journeys else pages,
        journeys=journeys,
        scheme=known.scheme,
        port=known.port,
        authority=None if ingress.authority is None else str(ingress.authority),
        plan=plan,
        timeout_s=load.timeout_s,
        lasts_s=lasts_s,
        processes=load.processes if workers is None else workers.processes,
        workers=workers,
    )


def staged_spec(load: Load, profile: Profile) -> LoadSpec:
    """The load of one cluster with its end; NotProven when it has none, or no ingress."""
    if not load.stages:
        raise NotProven(f"the load {load.name} has no end", remedy="give it `stages:`")
    spec = load_spec(load, profile, lasts_s=plan_of(load).lasts_s + _MORE_S)
    if spec is None:
        raise NotProven(f"no load can be offered: {why_none(profile)}")
    return replace(spec, lasts_s=spec.lasts_s + spec.thinks_s + spec.answers_within_s)


def old_spec(new: LoadSpec, baseline: LoadBaseline) -> LoadSpec:
    """The same load for the old platform: the same plan and pages, by its own way and hosts.

    NotProven when that is gone.
    """
    if not baseline.addresses:
        raise NotProven(
            "the profile says that the old platform is gone, and no runs of this load are recorded",
            remedy="give `addresses:` in `load_baseline:`, or `recorded:` with the load's file",
        )

    def there(pages: Sequence[Page]) -> list[Page]:
        return [it._replace(host=baseline.hosts.get(it.host, it.host)) for it in pages]

    return replace(
        new,
        addresses=[str(it) for it in baseline.addresses],
        scheme=baseline.scheme,
        port=baseline.port or PORT_OF[baseline.scheme],
        authority=None if baseline.authority is None else str(baseline.authority),
        pages=there(new.pages),
        journeys=[it._replace(pages=there(it.pages)) for it in new.journeys],
    )
