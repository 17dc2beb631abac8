"""How long a verdict takes: ``python -m harness.tests.bench.scale [SCENARIOS EVENTS]``.

Writes the journal of a large run (by default 1,000 scenarios and 1,000,000 events), draws its
verdict and reports in a process of its own, and prints what that took as JSON: seconds, memory and
size of the page. The figures to meet are 20 s, 1 GiB and 8 MB. It is no test: a loaded machine
would fail it for no reason.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.gate import Manifest
from harness.record.journal import dumps
from harness.report import draw
from harness.tests.stage import CHECKS, manifest, requirement, scenario

_REQUIREMENTS = 50
_AT = "2026-11-24T12:00:00.000000Z"
_BESIDE = 8  # records of a scenario beside its observations


def write_journal(folder: Path, scenarios: int, events: int) -> None:
    """The journal of a run with so many scenarios and, to a few, so many records."""
    plan = manifest(
        due=_REQUIREMENTS,
        requirements=tuple(requirement(f"W1-R{number}") for number in range(_REQUIREMENTS)),
        scenarios=tuple(
            scenario(f"Scenario {number}", proves=f"W1-R{number % _REQUIREMENTS}")
            for number in range(scenarios)
        ),
    )
    with (folder / "journal.jsonl").open("w", encoding="utf-8") as file:
        for seq, (kind, subject, data) in enumerate(_records(plan, events), start=1):
            line = {"run": plan.run, "seq": seq, "at": _AT, "mono_s": seq / 1000}
            file.write(dumps({**line, "kind": kind, "subject": subject, "data": data}) + "\n")


def _records(plan: Manifest, events: int) -> Iterator[tuple[str, str, Any]]:
    looks = max(1, events // len(plan.scenarios) - _BESIDE)
    targets = [f"machine-{number}" for number in range(looks)]
    yield "manifest", plan.run, plan.model_dump(mode="json", by_alias=True)
    yield "session", plan.run, {}
    for one in plan.scenarios:
        yield "scenario", one.id, {}
        yield "ask", "answers", {"scenario": one.id}
        yield "look", "answers", {"targets": targets}
        for number, target in enumerate(targets):
            seen = {
                "target": target,
                "at": 1.7e9,
                "took_s": 0.1,
                "value": number % 9,
                "error": None,
            }
            yield "observation", "answers", seen
        asked = {"scenario": one.id, "requirement": one.requirements[0]}
        yield "require", "answers are fast enough", asked
        for step in one.steps:
            done = {"keyword": step.keyword, "text": step.text, "state": "passed", "took_s": 0.1}
            yield "step", one.id, {**done, "error": None}
        yield "scenario-end", one.id, {"state": "passed", "reason": "", "took_s": 0.2}
    yield "end", "session", {}


def measure(folder: Path) -> dict[str, float | str]:
    """Judge and draw in this process, and say what it took."""
    began = time.perf_counter()
    judgement = draw(folder, CHECKS)
    took_s = time.perf_counter() - began
    return {
        "decision": judgement.decision.value,
        "took_s": round(took_s, 1),
        "cpu_s": round(time.process_time(), 1),
        "memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "page_mb": round((folder / "report.html").stat().st_size / 1e6, 2),
    }


def main(arguments: list[str]) -> None:
    if arguments[:1] == ["--draw"]:
        sys.stdout.write(json.dumps(measure(Path(arguments[1]))) + "\n")
        return
    scenarios, events = (int(it) for it in (*arguments, "1000", "1000000")[:2])
    with tempfile.TemporaryDirectory(prefix="cutover-bench-") as name:
        write_journal(Path(name), scenarios, events)
        # A process of its own: what writing took is not what drawing takes.
        subprocess.run([sys.executable, "-m", __spec__.name, "--draw", name], check=True)


if __name__ == "__main__":
    main(sys.argv[1:])
