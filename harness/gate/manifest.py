"""The manifest: what a run must prove, written before the first look.

The manifest is the journal's first record. It holds everything except the observations that a
verdict and its reports depend on, so both can be recomputed from the journal alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Literal

from pydantic import Field

from harness.core.declared import Cluster
from harness.pytest_gate.catalogue import Scenario
from harness.settings import Frozen, Requirement, Waiver


class PastRun(Frozen):
    """The result of an earlier whole gate of the same cluster: requirement to verdict.

    ``took_s`` is its duration; None in journals that are older than this field.
    """

    run: str
    week: int
    ended: str
    decision: str
    took_s: float | None = None
    requirements: Mapping[str, str]


class Streak(Frozen):
    """The number of consecutive ``runs`` in which a requirement had its last ``verdict``.

    ``run`` was the first of them; it ended at ``ended``.
    """

    verdict: str
    run: str
    ended: str
    runs: int


def streaks(runs: Iterable[PastRun]) -> Mapping[str, Streak]:
    """The last streak of each requirement, over runs sorted with the newest last."""
    found: dict[str, Streak] = {}
    for run in runs:
        for name, verdict in run.requirements.items():
            before = found.get(name)
            if before is not None and before.verdict == verdict:
                found[name] = before.model_copy(update={"runs": before.runs + 1})
            else:
                found[name] = Streak(verdict=verdict, run=run.run, ended=run.ended, runs=1)
    return found


class Manifest(Frozen):
    """What a run must prove, on which cluster, with which texts and waivers.

    ``only`` makes the run partial; ``drill`` limits it to that one drill. ``cluster_argument`` is
    the value of ``--cluster``. ``due`` counts the requirements due by that week, selected or not.
    ``past`` holds the last of the earlier runs, newest last. ``streaks`` says how long each
    requirement has had its last verdict, over all earlier runs.
    """

    schema_version: Literal[1] = Field(default=1, alias="schema")
    run: str
    week: int
    due: int
    only: tuple[str, ...] = ()
    drill: str | None = None
    customer: str | None = None
    cluster: Cluster
    cluster_title: str
    cluster_argument: str
    commit: str
    uncommitted: bool
    versions: Mapping[str, str]
    requirements: tuple[Requirement, ...]
    waivers: tuple[Waiver, ...]
    scenarios: tuple[Scenario, ...]
    past: tuple[PastRun, ...] = ()
    streaks: Mapping[str, Streak] = {}

    def requirement(self, name: str) -> Requirement:
        """The requirement of that id; KeyError when this run does not prove it."""
        return self._by_id[name]

    def proving(self, requirement: str) -> tuple[Scenario, ...]:
        """The scenarios that prove a requirement."""
        return self._proving.get(requirement, ())

    @cached_property
    def _by_id(self) -> Mapping[str, Requirement]:
        return {requirement.id: requirement for requirement in self.requirements}

    @cached_property
    def _proving(self) -> Mapping[str, tuple[Scenario, ...]]:
        found: dict[str, list[Scenario]] = {}
        for scenario in self.scenarios:
            for name in scenario.requirements:
                found.setdefault(name, []).append(scenario)
        return {name: tuple(scenarios) for name, scenarios in found.items()}

    def streak(self, requirement: str) -> Streak | None:
        """The last streak of a requirement before this run; None when no earlier run judged it.

        A journal without streaks counts only the runs in ``past``.
        """
        return self.streaks.get(requirement) or streaks(self.past).get(requirement)

    def why_absent(self, needs: tuple[str, ...]) -> str | None:
        """Why something that needs these parts does not apply to the cluster; else None."""
        for part in needs:
            if part in self.cluster.absent:
                return self.cluster.absent[part]
        return None

    def is_undeclared(self, needs: tuple[str, ...]) -> bool:
        """True if the profile gives no reason for any absent part of these."""
        return self.cluster.undeclared.issuperset(it for it in needs if it in self.cluster.absent)

    def why_not_applicable(self, scenario: Scenario) -> str | None:
        """Why a scenario, or all it proves, does not apply to the cluster; else None."""
        absent = self.why_absent(scenario.needs)
        if absent is not None:
            return absent
        reasons = [
            self.why_absent(it.needs) for it in self.requirements if it.id in scenario.requirements
        ]
        return None if None in reasons else next(iter(reasons), None)
