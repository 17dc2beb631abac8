"""The point of no return: what the way back needs, and whether something has passed the point."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from harness.core.errors import Garbled, HarnessError, NotProven, TransportError
from harness.core.parallel import in_each
from harness.facts.schema import Known, Unknown
from harness.facts.shift import Count
from harness.settings.shift import Event, NoReturn, Registry
from harness.transport import Reach
from harness.transport.protocols import EntryPoint

_WITHIN_S = 20.0
_ANSWERS = (200, 401)
# Writes a file of its own, waits until it is stored, and removes it.
_WRITES = (
    'file=$(mktemp "$1/cutover-XXXXXXXX") && trap \'rm -f "$file"\' EXIT && echo 1 > "$file" '
    '&& sync "$file"'
)


def needs(reach: Reach, declared: NoReturn) -> dict[str, str]:
    """What the way back needs: of each thing why it is not there, or nothing."""
    looks: dict[str, Callable[[], str]] = {}
    if declared.needs.registry is not None:
        looks["the registry answers"] = partial(_registry, reach, declared.needs.registry)
    for folder in declared.needs.writable:
        for machine in reach.profile.machines:
            looks[f"{folder} is writable on {machine.name}"] = partial(
                _writable, reach, machine.name, folder
            )
    found = in_each(looks, lambda name: looks[name]())
    return {name: str(it) for name, it in found.items()}


def _registry(reach: Reach, declared: Registry) -> str:
    entry = EntryPoint(
        declared.scheme, declared.port or {"http": 80, "https": 443}[declared.scheme]
    )
    answer = reach.outside.get(
        declared.host, declared.path, at=str(declared.address), entry=entry, within_s=_WITHIN_S
    )
    if answer.status in _ANSWERS:
        return ""
    return f"expected status 200 or 401 of {declared.host}{declared.path}, seen {answer.status}"


def _writable(reach: Reach, machine: str, folder: str) -> str:
    argv = ("sh", "-c", _WRITES, "write", folder)
    done = reach.shell.run(machine, argv, within_s=_WITHIN_S)
    said = (done.stderr or done.stdout).strip()[-200:]
    return "" if done.status == 0 else f"cannot write there: {said or f'status {done.status}'}"


def must_be_there(found: Mapping[str, str]) -> None:
    """NotProven unless all that the way back needs is there."""
    missing = [f"{what}: {why}" for what, why in found.items() if why]
    if missing:
        raise NotProven(
            f"the way back would not work: {'; '.join(missing)}",
            remedy="repair that before the point of no return is passed",
        )


Numbers = Mapping[str, Known[int] | Unknown]


def numbers(reach: Reach, declared: NoReturn, *, within_s: float = _WITHIN_S) -> Numbers:
    """How often each event that passes the point has happened so far."""
    counts = declared.counts
    found = in_each(counts, lambda name: _number(reach, counts[name], within_s))
    return {
        name: Unknown(str(it)) if isinstance(it, HarnessError) else Known(it)
        for name, it in found.items()
    }


def _number(reach: Reach, event: Event, within_s: float) -> int:
    done = reach.shell.run(event.machine, event.count, within_s=within_s)
    if done.status != 0:
        raise TransportError(f"{event.machine}: the count ended with {done.status}")
    try:
        return int(done.stdout)
    except ValueError as error:
        raise Garbled(
            f"{event.machine}: expected a number, seen {done.stdout[:80]!r}",
            remedy="the command of `shift.no_return.counts:` writes a number alone",
        ) from error


def counted(before: Numbers, after: Numbers) -> dict[str, Count | Unknown]:
    """Each event before the first step and after the last."""
    found: dict[str, Count | Unknown] = {}
    for name, then in before.items():
        now = after[name]
        if isinstance(then, Unknown):
            found[name] = then
        elif isinstance(now, Unknown):
            found[name] = now
        else:
            found[name] = Count(then.value, now.value)
    return found
