"""The new partition on several machines: on all of them or, when one disagrees, on none."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from harness.errors import Refused
from harness.model import Exit
from harness.provision import disks, records
from harness.provision.disk import GIB, Disk, Recorded, record_of
from harness.provision.outcome import Line, State, side_by_side
from harness.provision.partition import Done, Plan, Planned, Refusal, plan
from harness.settings import NewPartition
from harness.transport import Shell


def record(shell: Shell, wanted: NewPartition, names: Sequence[str]) -> list[Line]:
    """Write down which disks these are; Refused when one that is recorded has changed."""

    def look(name: str) -> Recorded:
        try:
            return record_of(disks.look(shell, name, wanted.device))
        except ValueError as error:
            raise Refused(str(error)) from None

    seen, failed = side_by_side(names, look)
    if failed:
        return list(failed.values())
    new = records.add(wanted.record, seen)
    return [
        Line(
            machine=name,
            state=State.RECORDED if name in new else State.OK,
            says=(
                f"{wanted.device}: serial {disk.serial or 'none'}, GUID {disk.guid},"
                f" {len(disk.partitions)} partitions, {_gib(disk.free.sectors, disk)} free after"
                f" the last; {'written to' if name in new else 'as in'} {wanted.record}",
            ),
        )
        for name, disk in seen.items()
    ]


def _gib(sectors: int, disk: Disk | Recorded) -> str:
    return f"{sectors * disk.sector_bytes / GIB:.2f} GiB"


def provide(
    shell: Shell,
    wanted: NewPartition,
    names: Sequence[str],
    *,
    yes: bool,
    before_acting: Callable[[], None] = lambda: None,
) -> list[Line]:
    """Plan on all machines; act only when all agree and ``yes`` is given.

    ``before_acting`` may raise; then nothing was touched. Raises HarnessErrors.
    """
    recorded = records.read(wanted.record)

    def look(name: str) -> tuple[Disk, Planned]:
        disk = disks.look(shell, name, wanted.device)
        return disk, plan(disk, recorded.get(name), wanted, partuuid=str(uuid.uuid4()).upper())

    seen, failed = side_by_side(names, look)
    lines = {**failed, **{name: _planned(*it, wanted) for name, it in seen.items()}}
    agreed = all(line.exit is Exit.GO for line in lines.values())
    if agreed and yes:
        if any(isinstance(it, Plan) for _, it in seen.values()):
            before_acting()
        lines |= _act(shell, wanted, recorded, seen)
    elif agreed:
        lines = {name: _unless_agreed(line) for name, line in lines.items()}
    return [lines[name] for name in names]


def _act(
    shell: Shell,
    wanted: NewPartition,
    recorded: Mapping[str, Recorded],
    seen: Mapping[str, tuple[Disk, Planned]],
) -> dict[str, Line]:
    plans = {name: (disk, it) for name, (disk, it) in seen.items() if isinstance(it, Plan)}
    afterwards = {
        name: disk for name, (disk, it) in seen.items() if isinstance(it, Done) and not it.known
    }
    made: dict[str, Disk] = {}
    failed: dict[str, Line] = {}
    if plans:
        made, failed = side_by_side(list(plans), lambda name: disks.carry_out(shell, *plans[name]))
    afterwards |= made
    if afterwards:
        now = {name: record_of(disk) for name, disk in afterwards.items()}
        records.write(wanted.record, {**recorded, **now})
    if made:
        # "Refused" would say that nothing was touched.
        failed = {name: replace(line, exit=Exit.NOT_PROVEN) for name, line in failed.items()}
    return failed | {name: _made(disk, wanted) for name, disk in made.items()}


def _made(disk: Disk, wanted: NewPartition) -> Line:
    new = disk.partition(wanted.number)
    assert new is not None  # carry_out has seen it
    path = disk.path(new.number)
    return Line(
        machine=disk.machine,
        state=State.DONE,
        says=(
            f"{path} is there: {_gib(new.sectors, disk)}, PARTUUID {new.partuuid};"
            f" recorded in {wanted.record}",
        ),
        partuuid=new.partuuid,
    )


def _planned(disk: Disk, planned: Planned, wanted: NewPartition) -> Line:
    match planned:
        case Refusal():
            return Line(
                machine=disk.machine,
                state=State.REFUSED,
                says=planned.reasons,
                exit=Exit.REFUSED,
            )
        case Done():
            unknown = "" if planned.known else f" (--yes adds it to {wanted.record})"
            path, part = disk.path(wanted.number), planned.partition
            says = f"{path} is there as declared, PARTUUID {part.partuuid}: nothing to do{unknown}"
            return Line(machine=disk.machine, state=State.OK, says=(says,), partuuid=part.partuuid)
        case Plan():
            says_all = tuple(_difference(disk, planned))
            return Line(machine=disk.machine, state=State.PLANNED, says=says_all)


def _difference(disk: Disk, planned: Plan) -> Iterator[str]:
    """The table before and after, as a diff."""
    yield (
        f"  {disk.device}: {_gib(disk.sectors, disk)}, serial {disk.serial or 'none'},"
        f" GUID {disk.table.guid if disk.table else 'none'}"
    )
    if planned.grow and disk.table:
        yield f"- the table's copy in sector {disk.table.alternate}"
        yield f"+ the table's copy in sector {disk.sectors - 1}, the disk's last one"
    for it in sorted(disk.partitions, key=lambda it: it.first):
        size = _gib(it.sectors, disk)
        yield f"  {disk.path(it.number)}: sectors {it.first}–{it.last} ({size}), as it is"
    size = _gib(planned.last - planned.first + 1, disk)
    yield (
        f"+ {disk.path(planned.number)}: sectors {planned.first}–{planned.last} ({size}),"
        f" PARTUUID new"
    )


def _unless_agreed(line: Line) -> Line:
    if line.state is not State.PLANNED:
        return line
    says = (*line.says, "not done: it needs --yes")
    return replace(line, says=says, exit=Exit.REFUSED)
