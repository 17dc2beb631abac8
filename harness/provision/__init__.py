"""Prepares machines for the gates: the needs of probes, and the partition for Ceph's OSD.

``nodes`` plans and installs with Ansible what ``scenarios/provision/nodes.yaml`` lists. For the
disk, ``disk_script`` reads and acts on the machine, ``disk`` stores each machine's recorded disk,
``partition`` decides, and ``apply`` acts on all machines or on none. Here is the result of each
machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from harness.core.errors import HarnessError, Refused
from harness.core.model import Exit
from harness.core.parallel import in_each

T = TypeVar("T")
_WORST_FIRST = (Exit.USAGE, Exit.NOT_PROVEN, Exit.REFUSED)


class MachineState(StrEnum):
    """The state of one machine, as it is printed; the worst decides the exit status."""

    OK = "ok"
    RECORDED = "recorded"
    DONE = "done"
    PLANNED = "planned"
    REFUSED = "refused"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineResult:
    """The result for one machine."""

    machine: str
    state: MachineState
    says: tuple[str, ...]
    partuuid: str | None = None
    exit: Exit = Exit.GO


def side_by_side(
    names: Sequence[str], work: Callable[[str], T]
) -> tuple[dict[str, T], dict[str, MachineResult]]:
    """The value of each machine that succeeded, and a result for each that failed."""

    came = in_each(names, work)
    fine = {name: it for name, it in came.items() if not isinstance(it, HarnessError)}
    failed = {name: _failed(name, it) for name, it in came.items() if isinstance(it, HarnessError)}
    return fine, failed


def _failed(name: str, error: HarnessError) -> MachineResult:
    refused = isinstance(error, Refused)
    return MachineResult(
        machine=name,
        state=MachineState.REFUSED if refused else MachineState.FAILED,
        says=(str(error),),
        exit=Exit.of(error),
    )


def status_of(results: Iterable[MachineResult]) -> Exit:
    """The exit status. A refusal says that nothing was touched, so a failure outranks it."""
    exits = {result.exit for result in results}
    return next((it for it in _WORST_FIRST if it in exits), Exit.GO)
