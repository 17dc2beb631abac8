"""Collects evidence from all machines and the Kubernetes API at once, within a deadline."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from harness.core.parallel import CallResult, side_by_side
from harness.evidence import cluster, hosts
from harness.transport import Completed, Reach

OF_THE_CLUSTER = "the cluster"
# A red run must still end: machines and objects first, then the logs of pods.
_FIRST_S = 60.0
_LOGS_S = 30.0
_HOSTS = "hosts"
_LONGEST = 512 * 1024  # characters per piece; the end is kept, with the newest lines


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One piece of evidence: the question, its target, and the text or why there is none."""

    target: str
    what: str
    text: str = ""
    error: str | None = None


def collect(reach: Reach) -> Iterator[Piece]:
    """Yield every piece as it arrives, for about a minute and a half at most; raises nothing."""
    commands = hosts.commands(reach.profile)
    calls: dict[str, Callable[[], object]] = {
        what: partial(reach.kube.get, path) for what, path in cluster.objects(reach.profile).items()
    }
    # The machines' deadline is shorter, so that the answers of the other machines are not lost.
    calls[_HOSTS] = lambda: reach.fleet.everywhere(commands, within_s=_FIRST_S - 10)
    pods: object = None
    for answer in side_by_side(calls, within_s=_FIRST_S):
        if answer.key == _HOSTS and answer.error is None:
            yield from _of_hosts(answer.value)
            continue
        if answer.key == cluster.PODS and answer.error is None:
            pods = answer.value
        yield _of_cluster(answer)
    logs = {
        wanted.what: partial(cluster.read_log, reach.kube, wanted)
        for wanted in cluster.wanted_logs(pods)
    }
    for answer in side_by_side(logs, within_s=_LOGS_S):
        yield _of_cluster(answer)


def _of_cluster(answer: CallResult) -> Piece:
    if answer.error is not None:
        return Piece(target=OF_THE_CLUSTER, what=answer.key, error=answer.error)
    value = answer.value
    text = value if isinstance(value, str) else json.dumps(cluster.trimmed(value), indent=1)
    return Piece(target=OF_THE_CLUSTER, what=answer.key, text=text[-_LONGEST:])


def _of_hosts(told: Mapping[tuple[str, str], Completed | Exception]) -> Iterator[Piece]:
    for (machine, what), answer in sorted(told.items(), key=lambda item: item[0]):
        if isinstance(answer, Exception):
            yield Piece(target=machine, what=what, error=str(answer))
            continue
        text = (answer.stdout + answer.stderr)[-_LONGEST:]
        failed = f"the command ended with {answer.status}" if answer.status else None
        yield Piece(target=machine, what=what, text=text, error=failed)
