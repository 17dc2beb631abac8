"""What a journal proves: manifest and records in, one verdict out. Pure, and closed on failure."""

from harness.gate.evaluation import Ruling, rule
from harness.gate.judge import Finding, Judged, Judgement, ago, decide, judge
from harness.gate.manifest import Manifest, PastRun, Streak, streaks
from harness.gate.run_state import (
    Collected,
    Completed,
    FaultSeen,
    LookSeen,
    ScenarioSeen,
    StepSeen,
    Trail,
)

__all__ = [
    "Collected",
    "Completed",
    "FaultSeen",
    "Finding",
    "Judged",
    "Judgement",
    "LookSeen",
    "Manifest",
    "PastRun",
    "Ruling",
    "ScenarioSeen",
    "StepSeen",
    "Streak",
    "Trail",
    "ago",
    "decide",
    "judge",
    "rule",
    "streaks",
]
