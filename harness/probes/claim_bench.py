"""How fast programs commit 4 KiB writes to a shared volume, on every machine at the same time.

This measures live OSDs as customers use them: through CephFS, the network and every copy. The bench
writes only its own files, in claims that it deletes afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from harness.bench.bench import RUNS, Committed
from harness.core.notices import collecting
from harness.facts.claims import Answer, WriteRefused
from harness.facts.schema import Known
from harness.probes import claim_objects, pods
from harness.probes.claim_objects import LIMITED, SHARED, SIZES
from harness.probes.claim_workload import Workload
from harness.transport import Reach

RUN_S = 10.0
_BOUND_WITHIN_S = 60.0


def measure(reach: Reach, seed: int, tell: Callable[[str], None]) -> dict[str, Committed]:
    """What each machine commits to a claim of the declared class; TransportError, ConfigError."""
    sizes = {name: SIZES[name] for name in (SHARED, LIMITED)}
    with collecting() as left, pods.namespace(reach.kube, claims=True) as space:
        work = Workload(reach, space, seed=seed)
        work.deploy(claim_objects.bind(reach, space, sizes=sizes, within_s=_BOUND_WITHIN_S))
        found = measured(work, tell)
    for text in left:
        tell(text)
    return found


def measured(
    work: Workload, tell: Callable[[str], None], run_s: float = RUN_S
) -> dict[str, Committed]:
    """The same, in existing pods."""
    answers: dict[str, list[Answer[dict[str, float]]]] = {machine: [] for machine in work.machines}
    for number in range(1, RUNS + 1):
        tell(f"shared volume: run {number} of {RUNS}")
        for machine, answer in work.commits(run_s).items():
            answers[machine].append(answer)
    return {machine: _committed(runs) for machine, runs in answers.items()}


def _committed(answers: Sequence[Answer[dict[str, float]]]) -> Committed:
    for answer in answers:
        if not isinstance(answer, Known):
            why = answer.refused if isinstance(answer, WriteRefused) else answer.error
            return Committed(unproven=why)
    return Committed.of([answer.value for answer in answers if isinstance(answer, Known)])
