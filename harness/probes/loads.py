"""The declared loads, offered to the ingress one after the other, each to its end."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import inf
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

from harness.core.errors import NotProven
from harness.core.model import JSON
from harness.facts.loads import LOADS, Offered, Stage
from harness.facts.schema import attempt, dump
from harness.load.results import Cut, Results
from harness.load.running import offering
from harness.load.spec import LoadSpec, load_spec, why_none
from harness.probes.probe import Timing
from harness.settings.drills import find_load
from harness.transport import Reach

# Beyond its stages: the start of the generator, and the deadline of its last requests.
_MORE_S = 60.0


class Loads:
    """Offers each load that the profile declares, as long as its stages last."""

    name: ClassVar[str] = LOADS.name
    sentence: ClassVar[str] = "the answers under each declared load"
    timing: ClassVar[Timing] = Timing.ALONE
    within_s: ClassVar[float] = 4 * 3600.0

    def targets(self, reach: Reach) -> Sequence[str]:
        return [reach.profile.name]

    def observe(self, reach: Reach, target: str) -> JSON:
        if not reach.profile.loads:
            raise NotProven("the profile declares no load", remedy="declare `loads:`")
        return dump({name: attempt(partial(_offered, reach, name)) for name in reach.profile.loads})


def _offered(reach: Reach, name: str) -> Offered:
    """Offer one load to its end; NotProven when it cannot begin."""
    load = find_load(name)
    spec = load_spec(load, reach.profile, lasts_s=sum(it.for_s for it in load.stages) + _MORE_S)
    if spec is None:
        raise NotProven(f"no load can be offered: {why_none(reach.profile)}")
    if not load.stages:
        raise NotProven(f"the load {name} has no end", remedy="give it `stages:`")
    with (
        TemporaryDirectory(prefix="cutover-load-") as folder,
        offering(spec, Path(folder, "load")) as running,
    ):
        running.go_on(spec.plan.lasts_s + spec.timeout_s)
        results = running.results()
        troubles = tuple(running.troubles)
    if results is None:
        raise NotProven(f"the load {name} never began: {'; '.join(troubles)}")
    return Offered(_stages(spec, results), troubles, results.busy_percent)


def _stages(spec: LoadSpec, results: Results) -> dict[str, Stage]:
    """The results by stage, cut at whole seconds; the last one has all that is left."""
    begins = spec.plan.begins()
    ends = [*begins.values(), inf][1:]
    return {
        name: _stage(results.cut(results.began + begin, results.began + end))
        for (name, begin), end in zip(begins.items(), ends, strict=True)
    }


def _stage(cut: Cut) -> Stage:
    return Stage(
        planned=cut.planned,
        on_time=cut.seen.on_time,
        answered=cut.seen.answered,
        errors=dict(cut.seen.errors),
        limited=dict(cut.seen.limited),
        p50_ms=cut.seen.quantile_ms(0.5),
        p99_ms=cut.seen.quantile_ms(0.99),
    )
