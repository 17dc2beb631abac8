"""Loads: how often visitors send requests, for what, and how long they wait for an answer.

Each load is one YAML file in ``scenarios/load/``. Where its requests go is in a profile: to the
``ingress:``, and for the comparison to the old platform as ``load_baseline:`` declares it.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, JsonValue, model_validator

from harness.core.names import names_in
from harness.settings.drills import Span
from harness.settings.field_types import (
    READING,
    Host,
    IPv4,
    Method,
    Pointer,
    PortNumber,
    ProfilePath,
    Status,
    UrlPath,
    Variable,
)
from harness.settings.files import SCENARIOS, Frozen, Named, find, names

LOADS = SCENARIOS / "load"
_MOST_PER_S = 200.0
_LONGEST_S = 3600.0
# Every visitor of a load has these.
VISITORS_OWN = frozenset({"number", "run"})


class LoadStage(Frozen):
    """A part of a load; with ``ramp`` the rate moves evenly from the one before."""

    # How many requests come each second, at its end.
    requests_per_s: float = Field(gt=0)
    # How many seconds it lasts.
    for_s: float = Field(ge=5)
    # Whether its rate moves there from that of the stage before, or begins with it.
    ramp: bool = False


class LoadStep(Frozen):
    """One request of a visitor's way, after a pause.

    In path, header fields and body ``{number}`` is the visitor's own number, and ``{run}`` eight
    digits that each run of the load draws anew: together they name what no other visitor has made.
    ``{NAME}`` is what an earlier request of the journey keeps under that name.

    The pause is drawn evenly between two numbers of seconds. It counts from when the request before
    it was due: a slow answer does not make the visitor's later requests fewer. A visitor whose
    request failed does not go on, and the rest of its requests count as failed.
    """

    # Seconds of the pause before it: the least and the most.
    think_s: Span = (0.0, 0.0)
    # The method.
    method: Method = "GET"
    # The Host header; None: each site of the profile in turn.
    host: Host | None = None
    # The path, with its query.
    path: UrlPath
    # More header fields.
    headers: Mapping[str, str] = {}
    # Sent as JSON.
    body: JsonValue = None
    # The expected status; None: any below 400.
    status: Status | None = None
    # Words that the answer must contain.
    says: str = ""
    # What later requests of the visitor use, by JSON pointer: `token: /access_token`.
    keep: Mapping[Variable, Pointer] = {}
    # Whether it changes something; None: as its method says.
    writes: bool | None = None

    @property
    def changes_something(self) -> bool:
        """True if the request needs --allow-disruption."""
        return self.method not in READING if self.writes is None else self.writes


class LoadJourney(Frozen):
    """A way that some of the visitors take."""

    # How many take it, relative to the other journeys.
    weight: float = Field(default=1.0, gt=0)
    # Its requests, in order.
    steps: tuple[LoadStep, ...] = Field(min_length=1, max_length=20)

    @model_validator(mode="after")
    def _uses_what_it_keeps(self) -> Self:
        known = set(VISITORS_OWN)
        for step in self.steps:
            if missing := set(names_in([step.path, step.headers, step.body])) - known:
                raise ValueError(f"{step.path} uses {sorted(missing)}, which no step before keeps")
            known |= step.keep.keys()
        return self


class Load(Named):
    """Visitors who come at a steady rate, whether earlier ones were served or not.

    ``requests_per_s`` is how many come each second; each gives up a request ``timeout_s`` seconds
    after it began. They request every one of ``paths`` from every site of the profile, unless the
    profile lists the paths of its sites. With ``journeys`` so many visitors come each second, and
    each takes one of these.
    """

    schema_version: Literal[1] = Field(alias="schema")
    # The load in words, for a report.
    title: str
    requests_per_s: float = Field(gt=0)
    timeout_s: float = Field(gt=0, le=30)
    # How many processes share the requests, unless workers do; each sends at most 200/s.
    processes: int = Field(default=1, ge=1, le=16)
    paths: tuple[UrlPath, ...] = ()
    # The ways that visitors take, instead of ``paths``.
    journeys: tuple[LoadJourney, ...] = ()
    # What every choice of the load is drawn from: the same seed repeats the same load.
    seed: int = 1
    # The parts of a load that ends; without them it goes on as long as the drill.
    stages: tuple[LoadStage, ...] = ()
    # The time within which 99 % of a stage's requests must be answered.
    p99_ms: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _asks_for_something(self) -> Self:
        if bool(self.paths) == bool(self.journeys):
            raise ValueError("give `paths:` or `journeys:`, one of both")
        return self

    @model_validator(mode="after")
    def _can_be_sent(self) -> Self:
        if self.most_per_s > _MOST_PER_S * self.processes:
            raise ValueError(
                f"a process sends at most {_MOST_PER_S:g} requests a second: raise `processes:`"
            )
        return self

    @property
    def most_per_s(self) -> float:
        """The most requests that may come in a second."""
        visitors = max([self.requests_per_s, *(it.requests_per_s for it in self.stages)])
        return visitors * max((len(way.steps) for way in self.journeys), default=1)

    @property
    def changes_something(self) -> bool:
        """True if one of its requests does."""
        return any(step.changes_something for way in self.journeys for step in way.steps)

    @model_validator(mode="after")
    def _ends(self) -> Self:
        if sum(it.for_s for it in self.stages) > _LONGEST_S:
            raise ValueError(f"its stages last longer than {_LONGEST_S:g} s: soak instead")
        return self

    @property
    def stage_names(self) -> tuple[str, ...]:
        """The stages' names, by number and rate."""
        told = enumerate(self.stages, start=1)
        return tuple(f"stage {number}, {it.requests_per_s:g}/s" for number, it in told)


class LoadWorkers(Frozen):
    """The processes of other computers that offer each load of `./cutover load` and the gates.

    Each is a worker of Locust: `./cutover load --master ADDRESS`. Locust's protocol has neither a
    password nor encryption: use a private network, or ssh -R to this computer's own address.
    """

    # How many there are; each sends at most 200 requests a second.
    count: int = Field(ge=1, le=64)
    # This computer's address to which they come.
    listen: IPv4 = IPv4Address("127.0.0.1")
    # The port to which they come; 5557 is Locust's own.
    port: PortNumber = 5557

    @property
    def most_per_s(self) -> float:
        """The most requests that they send in a second."""
        return _MOST_PER_S * self.count


class LoadBaseline(Frozen):
    """The old platform's front, which gets the same loads as the new one in turn.

    The sites and paths are those of the ``ingress:``. Without ``addresses`` the old platform is
    gone, and only loads with a ``recorded`` file can be compared.
    """

    # Where it answers.
    addresses: tuple[IPv4, ...] = ()
    # The scheme of customers' requests.
    scheme: Literal["http", "https"] = "http"
    # None: 80 for http, 443 for https.
    port: PortNumber | None = None
    # The authority (PEM) that signed its certificates; None: one that this system trusts.
    authority: ProfilePath | None = None
    # The old platform's name of each site that has another one there, by the new one.
    hosts: Mapping[Host, Host] = {}
    # How often each platform gets a load; fewer than 4 can prove nothing.
    pairs: int = Field(default=5, ge=1, le=9)
    # By load: the file that `./cutover load NAME --record FILE` wrote, instead of new runs.
    recorded: Mapping[str, ProfilePath] = {}

    @model_validator(mode="after")
    def _has_runs(self) -> Self:
        if not self.addresses and not self.recorded:
            raise ValueError("give `addresses:` of the old platform, or `recorded:` runs of it")
        return self


def find_load(name: str, folder: Path = LOADS) -> Load:
    """The load of that name, or of that file (a path); ConfigError when there is none."""
    if name.endswith(".yaml"):
        folder, name = Path(name).parent, Path(name).stem
    return find(Load, folder, name, among=load_names(folder))


def load_names(folder: Path = LOADS) -> tuple[str, ...]:
    """The names of all loads, sorted."""
    return names(folder)
