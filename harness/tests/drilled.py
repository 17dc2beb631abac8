"""A gate that carried out several drills, as its journal tells of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.checks import CHECKS
from harness.core.model import JSON
from harness.gate import Judgement, RunState, judge
from harness.ledger.result import FAULT, LedgerPhase, LedgerResult
from harness.pytest_gate.catalogue import Scenario
from harness.pytest_gate.engine import Run
from harness.record.journal import JournalReader
from harness.record.records import Kind
from harness.tests import clean_drills
from harness.tests.stage import manifest, requirement, running, scenario

_ASKED = (
    "the drill lost no acknowledged write",
    "the drill left no write twice or from nowhere",
    "writing went on in time",
    "the steady state came back in time",
)
_CLEAN = LedgerResult(
    writer="postgres",
    invoked=900,
    ok=880,
    info=20,
    fail=0,
    found=880,
    phases=(LedgerPhase(name=FAULT, at=60.0, ok=600, first_ok_s=1.0, gap_s=12.0),),
)


def drill_scenario(name: str) -> Scenario:
    proves = scenario(f"The platform survives it [drill={name}]", proves="W9-DRILLS")
    return proves.model_copy(update={"drill": name})


def carried_out(
    run: Run, name: str, changes: Mapping[str, JSON] | None, title: str | None = None
) -> None:
    """Observe a drill, with these changes to a clean ledger; None for one that broke off."""
    facts = {
        **clean_drills.seen()["drills"][clean_drills.DRILL],
        "drill": name,
        "title": title or f"What {name} breaks",
    }
    facts["targets"] |= {"duplicated_count": ["=", 0], "invented_count": ["=", 0]}
    seen: dict[str, Any] = {"target": name, "at": 1.0, "took_s": 300.0, "error": None}
    run.write(Kind.LOOK, "drills", {"targets": [name]})
    if changes is None:
        broke_off = {**seen, "value": None, "error": "the API was silent"}
        run.write(Kind.OBSERVATION, "drills", broke_off)
        run.write(Kind.LOOK, "ledger", {"targets": []})
        return
    run.write(Kind.OBSERVATION, "drills", {**seen, "value": facts})
    who = f"{name}/one/postgres"
    run.write(Kind.LOOK, "ledger", {"targets": [who]})
    tally = {**_CLEAN.to_json(), **changes}
    run.write(Kind.OBSERVATION, "ledger", {**seen, "target": who, "value": tally})


def drilled(
    folder: Path,
    drills: Mapping[str, Mapping[str, JSON] | None],
    *,
    without: Sequence[str] = (),
    moves: Sequence[str] = (),
) -> Judgement:
    """A gate with these drills, by name, as ``carried_out`` has them; ``without`` did not run.

    ``moves`` are rehearsed for another requirement.
    """
    targets = {"lost_count": {"exactly": 0, "words": "Acknowledged writes lost"}}
    plan = manifest(
        week=9,
        requirements=(requirement("W9-DRILLS", targets=targets), requirement("W5-DURABLE")),
        scenarios=(
            *map(drill_scenario, [*drills, *without]),
            *(
                scenario(name, proves="W5-DURABLE").model_copy(update={"drill": name})
                for name in moves
            ),
        ),
    )
    with running(folder, plan, checks=CHECKS) as recorded:
        for name, changes in drills.items():
            which = drill_scenario(name)
            carried_out(recorded.run, name, changes)
            recorded.run.begin(which)
            for probe in ("drills", "ledger"):
                recorded.run.write(Kind.ASK, probe, {"scenario": which.id})
            for check in _ASKED:
                data = {"scenario": which.id, "requirement": "W9-DRILLS"}
                recorded.run.write(Kind.REQUIRE, check, data)
            for step in which.steps:
                recorded.run.step(step.keyword, step.text, 0.1)
            recorded.run.end("passed", "", 300.0)
    return judge(RunState.of(JournalReader(folder), CHECKS))
