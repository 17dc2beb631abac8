"""From manifest and records to one verdict: a pure function that fails closed."""

from harness.gate.evaluation import Evaluation
from harness.gate.judge import Ground, Judged, Judgement, ago, decide, judge
from harness.gate.manifest import Manifest, PastRun, Streak, streaks
from harness.gate.run_state import RunState
from harness.gate.seen import Collected, FaultSeen, LookSeen, ScenarioSeen, StepSeen

__all__ = [
    "Collected",
    "Evaluation",
    "FaultSeen",
    "Ground",
    "Judged",
    "Judgement",
    "LookSeen",
    "Manifest",
    "PastRun",
    "RunState",
    "ScenarioSeen",
    "StepSeen",
    "Streak",
    "ago",
    "decide",
    "judge",
    "streaks",
]
