"""The new partition on several machines: on all of them or, if one machine refuses, on none."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Annotated, TypeAlias, TypeVar

from pydantic import Tag
from typing_extensions import TypeForm

from harness.bench.scripts import disk_reader
from harness.core.errors import NotProven, Refused, TransportError
from harness.core.model import JSON, Exit
from harness.facts.schema import Unknown, by_key
from harness.provision import MachineResult, MachineState, disk_script, side_by_side
from harness.provision.disk import (
    GIB,
    Disk,
    DiskReport,
    RecordedDisk,
    add_records,
    disk_of,
    read_records,
    record_of,
    write_records,
)
from harness.provision.partition import Done, Plan, Planned, Refusal, flaws_after, plan
from harness.settings import NewPartition
from harness.transport import Shell
from harness.transport.remote_script import RemoteScript

T = TypeVar("T")

_SCRIPT = RemoteScript(disk_reader, disk_script)
_LOOK_S = 30.0
_ACT_S = 300.0


def record(shell: Shell, wanted: NewPartition, names: Sequence[str]) -> list[MachineResult]:
    """Record each machine's disk; Refused when a recorded one has changed."""

    def look(name: str) -> RecordedDisk:
        try:
            return record_of(look_at(shell, name, wanted.device))
        except ValueError as error:
            raise Refused(str(error)) from None

    seen, failed = side_by_side(names, look)
    if failed:
        return list(failed.values())
    new = add_records(wanted.record, seen)
    return [
        MachineResult(
            machine=name,
            state=MachineState.RECORDED if name in new else MachineState.OK,
            says=(
                f"{wanted.device}: serial {disk.serial or 'none'}, GUID {disk.guid},"
                f" {len(disk.partitions)} partitions, {_gib(disk.free.sectors, disk)} free after"
                f" the last; {'written to' if name in new else 'as in'} {wanted.record}",
            ),
        )
        for name, disk in seen.items()
    ]


def _gib(sectors: int, disk: Disk | RecordedDisk) -> str:
    return f"{sectors * disk.sector_bytes / GIB:.2f} GiB"


def apply(
    shell: Shell,
    wanted: NewPartition,
    names: Sequence[str],
    *,
    yes: bool,
    before_acting: Callable[[], None] = lambda: None,
) -> list[MachineResult]:
    """Plan on all machines; act only when all agree and ``yes`` is given.

    ``before_acting`` may raise; then nothing was touched. Raises HarnessErrors.
    """
    recorded = read_records(wanted.record)

    def look(name: str) -> tuple[Disk, Planned]:
        disk = look_at(shell, name, wanted.device)
        return disk, plan(disk, recorded.get(name), wanted, partuuid=str(uuid.uuid4()).upper())

    seen, failed = side_by_side(names, look)
    results = {**failed, **{name: _planned(*it, wanted) for name, it in seen.items()}}
    agreed = all(result.exit is Exit.GO for result in results.values())
    if agreed and yes:
        if any(isinstance(it, Plan) for _, it in seen.values()):
            before_acting()
        results |= _act(shell, wanted, recorded, seen)
    elif agreed:
        results = {name: _unless_agreed(result) for name, result in results.items()}
    return [results[name] for name in names]


def _act(
    shell: Shell,
    wanted: NewPartition,
    recorded: Mapping[str, RecordedDisk],
    seen: Mapping[str, tuple[Disk, Planned]],
) -> dict[str, MachineResult]:
    plans = {name: (disk, it) for name, (disk, it) in seen.items() if isinstance(it, Plan)}
    afterwards = {
        name: disk for name, (disk, it) in seen.items() if isinstance(it, Done) and not it.known
    }
    made: dict[str, Disk] = {}
    failed: dict[str, MachineResult] = {}
    if plans:
        made, failed = side_by_side(list(plans), lambda name: carry_out(shell, *plans[name]))
    afterwards |= made
    if afterwards:
        now = {name: record_of(disk) for name, disk in afterwards.items()}
        write_records(wanted.record, {**recorded, **now})
    if made:
        # "Refused" would say that nothing was touched.
        failed = {name: replace(result, exit=Exit.NOT_PROVEN) for name, result in failed.items()}
    return failed | {name: _made(disk, wanted) for name, disk in made.items()}


def _made(disk: Disk, wanted: NewPartition) -> MachineResult:
    new = disk.partition(wanted.number)
    assert new is not None  # set by carry_out
    path = disk.path(new.number)
    return MachineResult(
        machine=disk.machine,
        state=MachineState.DONE,
        says=(
            f"{path} is there: {_gib(new.sectors, disk)}, PARTUUID {new.partuuid};"
            f" recorded in {wanted.record}",
        ),
        partuuid=new.partuuid,
    )


def _planned(disk: Disk, planned: Planned, wanted: NewPartition) -> MachineResult:
    match planned:
        case Refusal():
            return MachineResult(
                machine=disk.machine,
                state=MachineState.REFUSED,
                says=planned.reasons,
                exit=Exit.REFUSED,
            )
        case Done():
            unknown = "" if planned.known else f" (--yes adds it to {wanted.record})"
            path, part = disk.path(wanted.number), planned.partition
            says = f"{path} is there as declared, PARTUUID {part.partuuid}: nothing to do{unknown}"
            return MachineResult(
                machine=disk.machine, state=MachineState.OK, says=(says,), partuuid=part.partuuid
            )
        case Plan():
            says_all = tuple(_difference(disk, planned))
            return MachineResult(machine=disk.machine, state=MachineState.PLANNED, says=says_all)


def _difference(disk: Disk, planned: Plan) -> Iterator[str]:
    """The table before and after, as a diff."""
    yield (
        f"  {disk.device}: {_gib(disk.sectors, disk)}, serial {disk.serial or 'none'},"
        f" GUID {disk.gpt.guid if disk.gpt else 'none'}"
    )
    if planned.grow and disk.gpt:
        yield f"- the table's copy in sector {disk.gpt.alternate}"
        yield f"+ the table's copy in sector {disk.sectors - 1}, the disk's last one"
    for it in sorted(disk.partitions, key=lambda it: it.first):
        size = _gib(it.sectors, disk)
        yield f"  {disk.path(it.number)}: sectors {it.first}–{it.last} ({size}), as it is"
    size = _gib(planned.last - planned.first + 1, disk)
    yield (
        f"+ {disk.path(planned.number)}: sectors {planned.first}–{planned.last} ({size}),"
        f" PARTUUID new"
    )


def _unless_agreed(result: MachineResult) -> MachineResult:
    if result.state is not MachineState.PLANNED:
        return result
    says = (*result.says, "not done: it needs --yes")
    return replace(result, says=says, exit=Exit.REFUSED)


def look_at(shell: Shell, machine: str, device: str) -> Disk:
    """A machine's disk now; Refused when it is no disk, TransportError without an answer."""
    told = _ask(shell, machine, {"device": device}, _Told[DiskReport], _LOOK_S)
    return disk_of(machine, told)


def carry_out(shell: Shell, before: Disk, made: Plan) -> Disk:
    """Make the planned partition and look again.

    Refused when the disk differs from the plan's, NotProven when the result differs from the plan,
    TransportError when the machine did not act or did not answer.
    """
    told = _ask(shell, before.machine, {"plan": asdict(made)}, _Told[_Acted], _ACT_S)
    after = disk_of(before.machine, told.after)
    flaws = flaws_after(before, after, made)
    if flaws:
        raise NotProven(
            f"{before.machine}: the partition was made, but {'; '.join(flaws)} {told.partx}",
            remedy=f"the old table is in {told.kept} there: sgdisk --load-backup={told.kept}"
            f" {made.device}. When only the kernel lags behind:"
            f" partx --update --nr {made.number}:{made.number} {made.device}",
        )
    return after


@dataclass(frozen=True, slots=True)
class _Stopped:
    """The machine did not begin the act, and why."""

    stopped: str


@dataclass(frozen=True, slots=True)
class _Acted:
    """The disk after the act, the place of its old table, and what partx complained about."""

    after: DiskReport
    kept: str
    partx: str


# The answers of ``disk_script``.
_Told: TypeAlias = Annotated[
    Annotated[T, Tag("<>")]
    | Annotated[_Stopped, Tag("<stopped>")]
    | Annotated[Unknown, Tag("<error>")],
    by_key("stopped", "error"),
]


def _ask(
    shell: Shell,
    machine: str,
    wanted: dict[str, JSON],
    kind: TypeForm[T | _Stopped | Unknown],
    within_s: float,
) -> T:
    told = _SCRIPT.on(shell, machine, wanted, within_s=within_s, read=kind).value
    if isinstance(told, _Stopped):
        raise Refused(f"{machine}: {told.stopped}", remedy="make a new plan and look at it")
    if isinstance(told, Unknown):
        raise TransportError(
            f"{machine}: {told.error}", remedy="./cutover provision nodes brings its tools"
        )
    return told
