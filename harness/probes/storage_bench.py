"""How fast programs commit 4 KiB writes to Ceph's storage, on every machine at the same time.

This measures live OSDs as customers use them, through the network and every copy: a shared volume
through CephFS, and a block image through librbd, as databases use it.

The bench writes only its own files and images. It deletes its claims afterwards. The machine
removes its image, even if the harness is gone. If it cannot, because Ceph hung or it lost power,
the next bench removes the image.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial

from harness.bench.bench import RUNS, Committed
from harness.core.errors import HarnessError
from harness.core.notices import collecting
from harness.core.parallel import begin
from harness.facts.claims import Answer, WriteRefused
from harness.facts.schema import Known
from harness.probes import claim_objects, pods
from harness.probes.claim_objects import LIMITED, SHARED, SIZES
from harness.probes.claim_workload import Workload
from harness.transport import Reach
from harness.transport.ceph import run_beside_ceph

VOLUME_RUN_S = 10.0
_BOUND_WITHIN_S = 60.0
# A thousand writes: a second where Ceph is fast, and less than a minute where it is far too slow.
WRITES = 1000
IMAGE_RUN_S = 60.0
# Includes making and removing the image: Ceph waits half a minute for a killed client.
_WITHIN_S = RUNS * IMAGE_RUN_S + 60.0
# Without the client's cache: acknowledged data is on every copy. Each run prints one line.
_SCRIPT = """
image=$1 total=$2 runs=$3 within=$4
# From an interrupted bench; an image in use stays, and is not measured twice.
if rbd info "$image" > /dev/null 2>&1; then rbd rm --no-progress "$image" || exit; fi
rbd create --size 64M "$image" || exit
trap 'rbd rm --no-progress "$image"' EXIT
trap 'exit 1' HUP INT TERM
while [ "$runs" -gt 0 ]; do
  timeout "$within" rbd --rbd-cache=false bench --io-type write --io-size 4K --io-threads 1 \\
    --io-pattern rand --io-total "$total" "$image" || exit
  runs=$((runs - 1))
done
"""
_ENDED = re.compile(r"^elapsed: *[\d.]+ +ops: *(\d+) +ops/sec: *([\d.]+)", re.MULTILINE)


def measure_volume(reach: Reach, seed: int, tell: Callable[[str], None]) -> dict[str, Committed]:
    """What each machine commits to a claim of the declared class; TransportError, ConfigError."""
    sizes = {name: SIZES[name] for name in (SHARED, LIMITED)}
    with collecting() as left, pods.namespace(reach.kube, claims=True) as space:
        work = Workload(reach, space, seed=seed)
        work.deploy(claim_objects.bind(reach, space, sizes=sizes, within_s=_BOUND_WITHIN_S))
        found = volume_commits(work, tell)
    for text in left:
        tell(text)
    return found


def volume_commits(
    work: Workload, tell: Callable[[str], None], run_s: float = VOLUME_RUN_S
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


def measure_images(reach: Reach, pool: str, tell: Callable[[str], None]) -> dict[str, Committed]:
    """What each machine commits to an image of its own in this pool."""
    machines = [machine.name for machine in reach.profile.machines]
    tell(f"a block image in {pool}: {RUNS} runs of {WRITES} writes")
    images = {machine: f"{pool}/cutover-bench-{machine}" for machine in machines}
    calls = [begin(partial(_measured, reach, *it)) for it in images.items()]
    return dict(zip(machines, (call.result() for call in calls), strict=True))


def _measured(reach: Reach, machine: str, image: str) -> Committed:
    numbers = (str(WRITES * 4096), str(RUNS), f"{IMAGE_RUN_S:g}")
    argv = ("sh", "-c", _SCRIPT, "bench", image, *numbers)
    try:
        place, done = run_beside_ceph(reach, argv, on=machine, within_s=_WITHIN_S)
    except HarnessError as error:
        return Committed(unproven=str(error))
    runs = read(done.stdout)
    if done.status != 0 or len(runs) != RUNS:
        said = (done.stderr or done.stdout).strip()[-300:]
        return Committed(
            unproven=f"{place}: {len(runs)} of {RUNS} runs ended, with {done.status}: {said}",
            runs=runs,
        )
    return Committed.of(runs)


def read(said: str) -> list[dict[str, float]]:
    """The number of writes, and of writes a second, of each complete run."""
    return [{"writes": int(ops), "iops": float(rate)} for ops, rate in _ENDED.findall(said)]
