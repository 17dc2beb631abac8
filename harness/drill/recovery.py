"""Undoes what an interrupted run left: from its journal, and from leftovers that are found."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from pydantic import ValidationError

from harness.backup import manifest_script
from harness.backup.manifest import FOLDERS
from harness.bench.scripts import guard_script
from harness.core.errors import HarnessError, InjectFailed, NotProven, Refused, Unhealed, in_a_line
from harness.core.parallel import in_each
from harness.core.waiting import until
from harness.drill.dump import dump_remains, remove_dump, remove_folder
from harness.drill.restore import remove_restored
from harness.drill.shift import remove_writes
from harness.drill.switch import rehearsal_remains, remove_rehearsal
from harness.faults import disruption_lock
from harness.faults.commands import perform
from harness.faults.kinds import FAULTS
from harness.faults.model import API, Act, Argv, Undo
from harness.faults.preflight import leftovers
from harness.faults.undo_store import Left, undo_store_at
from harness.journeys.walk import remove_customer
from harness.probes import owned
from harness.probes.parity_writes import remove_written
from harness.probes.scripts import snapshot_script
from harness.record.records import FaultEvent, Made
from harness.settings import Profile
from harness.transport import Reach, own_folder
from harness.transport.remote_script import RemoteScript

# What cannot be removed of these, an operator removes by hand, and says so.
_ON_PLATFORM = ("journey", "parity", "writes")
_SWEEP = RemoteScript(own_folder)
_SWEEP_S = 60.0
# For each script: the place of its folders, the prefix of their names, and how long they stay (s).
# A manifest that has begun can be resumed for a day.
OF_SCRIPTS = (
    (snapshot_script.PLACE, snapshot_script.PREFIX, own_folder.JUST_MADE_S),
    (guard_script.PLACE, guard_script.PREFIX, own_folder.JUST_MADE_S),
    (FOLDERS, manifest_script.PREFIX, manifest_script.RESUMABLE_S),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveryResult:
    """One leftover: what, where, and why it is still there (``trouble``; None: it is gone)."""

    what: str
    place: str
    trouble: str | None = None
    fault: str = ""  # the fault's id
    made: str = ""  # the subject of the record of what was made


@dataclass(frozen=True, slots=True)
class _Move:
    """How the remains of a rehearsed move are found and removed; to find them reads only."""

    is_declared: Callable[[Profile], bool]
    remains: Callable[[Reach], list[str]]
    remove: Callable[[Reach], list[str]]


_MOVES: Mapping[str, _Move] = {
    "switch": _Move(
        lambda profile: profile.switch is not None,
        rehearsal_remains,
        remove_rehearsal,
    ),
    "dump": _Move(
        lambda profile: profile.dump is not None,
        dump_remains,
        remove_dump,
    ),
}


def recover_leftovers(reach: Reach) -> Iterator[RecoveryResult]:
    """Undo everything that is found on any machine or on this computer."""
    found, lost = leftovers(reach)
    for words in lost:
        place, _, why = words.partition(": ")
        yield RecoveryResult(what="leftovers", place=place, trouble=f"not known: {why}")
    for left in found:
        yield from _of_place(reach, left)


def sweep_namespaces(
    reach: Reach, progress: Callable[[str], object] = str
) -> Iterator[RecoveryResult]:
    """Remove every namespace of the harness whose owner is gone, with its claims and volumes."""
    try:
        swept = owned.sweep(reach.kube, tell=progress)
    except HarnessError as error:
        trouble = str(error).partition("\n")[0]
        yield RecoveryResult(what="cutover namespaces", place=API, trouble=f"not known: {trouble}")
        return
    for name, why in swept.items():
        yield RecoveryResult(
            what=f"the namespace {name}, whose harness is gone", place=API, trouble=why
        )


def sweep_folders(reach: Reach) -> Iterator[RecoveryResult]:
    """Remove the folders of killed scripts on machines; a running script keeps its folder.

    The next probe of a shared folder removes leftovers in that folder: a mount may hang here.
    """
    machines = [machine.name for machine in reach.profile.machines]
    for machine, swept in in_each(machines, lambda it: _swept_on(reach, it)).items():
        if isinstance(swept, HarnessError):
            trouble = f"not known: {str(swept).partition(chr(10))[0]}"
            yield RecoveryResult(what="folders of scripts", place=machine, trouble=trouble)
            continue
        for path, why in swept.items():
            what = f"the folder {path}, whose script is gone"
            yield RecoveryResult(what=what, place=machine, trouble=why)


def _swept_on(reach: Reach, machine: str) -> Mapping[str, str | None]:
    told = _SWEEP.on(
        reach.shell, machine, OF_SCRIPTS, within_s=_SWEEP_S, read=dict[str, str | None]
    )
    return told.value


def recover_from_journal(reach: Reach, armed: Mapping[str, FaultEvent]) -> Iterator[RecoveryResult]:
    """Run the undo of each fault again, from the journal, and check that the fault is gone.

    ``armed`` holds the journal's events of each fault that is not proved to be gone.
    """
    for name, data in armed.items():
        try:
            undo = Undo.model_validate(data["undo"])
        except (KeyError, TypeError, ValidationError):  # the journal of another version
            yield RecoveryResult(
                what=f"{data.get('fault', 'a fault')} {name}",
                place="its run",
                trouble="its journal does not contain a readable undo",
                fault=name,
            )
            continue
        trouble = _first(partial(_undo_directly, reach, undo), partial(_see_gone, reach, data))
        what = f"{undo.fault} of {undo.target}"
        yield RecoveryResult(what=what, place=undo.place, trouble=trouble, fault=name)


def remove_made(
    reach: Reach, made: Mapping[str, Made], holder: str, tell: Callable[[str], object]
) -> Iterator[RecoveryResult]:
    """Remove what killed restores and rehearsals left at the databases, new customers, and writes.

    Another harness may have the same under way: it holds the disruption lock then.
    """
    for what, it in made.items():
        trouble = _first(partial(_remove, reach, it, holder, tell))
        place = "platform" if it["kind"] in _ON_PLATFORM else "databases"
        yield RecoveryResult(what=f"the {what}", place=place, trouble=trouble, made=what)


def sweep_rehearsal(
    reach: Reach, holder: str, tell: Callable[[str], object]
) -> Iterator[RecoveryResult]:
    """Remove what is found of killed rehearsals at the databases, wherever their journals are.

    A server that cannot be asked stops no other look. Refused at the end, with nothing removed, if
    another harness holds the disruption lock: it may be rehearsing.
    """
    under_way: Refused | None = None
    for name, move in _MOVES.items():
        if not move.is_declared(reach.profile):
            continue
        what, trouble = f"what a rehearsal of the {name} left", None
        try:
            there = move.remains(reach)
            if not there:
                continue
            what = f"a rehearsal whose harness is gone: {', '.join(there)}"
            with disruption_lock.held(reach.kube, holder, tell):
                trouble = "; ".join(move.remove(reach)) or None
        except Refused as error:
            under_way = error
            continue
        except Exception as error:  # whatever it is, the other looks go on
            trouble = f"not known: {in_a_line(error)}"
        yield RecoveryResult(what=what, place="databases", trouble=trouble)
    if under_way is not None:
        raise under_way


def _remove(reach: Reach, it: Made, holder: str, tell: Callable[[str], object]) -> None:
    with disruption_lock.held(reach.kube, holder, tell):
        match it["kind"]:
            case "restore":
                left = remove_restored(reach, it["name"], tell)
            case "rehearsal":
                left = _MOVES[it["name"]].remove(reach)
                if "place" in it and "folder" in it:
                    left = [*left, *remove_folder(reach, it["place"], it["folder"])]
            case "journey":
                left = remove_customer(reach, it["journey"], it["names"], tell)
            case "parity" if "sides" not in it:  # a journal from before December 2026
                left = ["its requests that write are in no record"]
            case "parity":
                left = remove_written(reach, it["sides"])
            case "writes":
                left = remove_writes(reach, it["name"])
    if left and it["kind"] in _ON_PLATFORM:
        left = [*left, f"then: ./cutover heal --removed {it['name']}"]
    if left:
        raise Unhealed("; ".join(left))


def _of_place(reach: Reach, left: Left) -> Iterator[RecoveryResult]:
    for name, words in left.armed.items():
        trouble = _first(partial(undo_store_at(reach, left.place).clear, name))
        yield RecoveryResult(what=words, place=left.place, trouble=trouble, fault=name)
    for command in left.leftovers:
        act = Act(place=left.place, argv=command)
        trouble = _first(partial(perform, reach, act))
        yield RecoveryResult(what=f"`{shlex.join(command)}`", place=left.place, trouble=trouble)


def _undo_directly(reach: Reach, undo: Undo) -> None:
    """Run every command, also after a failed one: the machine may have lost its stored undo."""
    undo_store_at(reach, undo.place).clear(undo.id)
    failed = [
        why
        for command in undo.commands
        if (why := _first(partial(perform, reach, _act(undo, command))))
    ]
    if failed:
        raise InjectFailed("; ".join(failed))


def _act(undo: Undo, command: Argv) -> Act:
    return Act(place=undo.place, argv=command, within_s=undo.within_s)


def _see_gone(reach: Reach, data: FaultEvent) -> None:
    try:
        fault = FAULTS[data["fault"]].model_validate(data["parameters"])
    except (KeyError, ValidationError) as error:  # the journal of another version
        raise NotProven(f"cannot check whether {data['fault']} is gone: {error}") from error

    def gone() -> bool:
        try:
            return fault.healed(reach)
        except Exception:  # an observer that fails has not seen that the fault is gone
            return False

    until(gone, within_s=fault.gone_within_s, what=f"{fault.name} of {fault.target} is gone")


def _first(*calls: Callable[[], None]) -> str | None:
    """Make the calls in order; the error of the first one that fails, or None.

    Any exception counts: a leftover that cannot be removed does not stop the others.
    """
    for call in calls:
        try:
            call()
        except Exception as error:
            return in_a_line(error)
    return None
