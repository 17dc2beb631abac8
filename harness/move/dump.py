"""Moves a database by a dump: one snapshot of the source is dumped, restored, and compared.

The dump and the comparison see the same snapshot, so the source is not frozen, and its writers go
on. What is restored is a database of its own at the target; it is removed with the dump.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from psycopg import sql

from harness.backup.equality import compare
from harness.backup.equality.session import Moment, moment
from harness.backup.restore import database
from harness.backup.restore.side import Failed
from harness.backup.restore.side import Side as Place
from harness.core.errors import HarnessError, NotProven, Refused
from harness.core.interrupts import BY_HAND, uninterrupted
from harness.facts.databases import Database
from harness.facts.dump import Dumped, Step, Stopped
from harness.facts.schema import Known, OrUnknown, attempt
from harness.move import rehearsal
from harness.move.rehearsal import DATABASE
from harness.move.side import ADMIN, Side
from harness.transport import Shell

_SHORT_S = 60.0
# The password comes on standard input: an argument is visible to the whole machine.
_WITH_PASSWORD = f"""
IFS= read -r PGPASSWORD; export PGPASSWORD PGAPPNAME={DATABASE}; exec "$@"
"""
# In a pod, pg_dump goes on after the harness: into a file that has no name, until the disk is full.
_END_DUMP = "select pg_terminate_backend(pid) from pg_stat_activity where application_name = %s"
_SPACE = 'test ! -e "$2" && df --block-size=1 --output=avail "$1" | tail -n 1'
_SAYS_VERSION = re.compile(r"\(PostgreSQL\) (\d+)")
_AMCHECK = "create extension if not exists amcheck"


@dataclass(frozen=True, kw_only=True)
class Move:
    """What a move by a dump is made of; the place runs both programs, and holds the dump.

    It reaches both servers at their addresses. ``within_s`` is how long each program may take,
    ``room`` the free space as a multiple of the database.
    """

    database: str
    source: Side
    target: Side
    place: Place
    pg_dump: Sequence[str] = ("pg_dump",)
    pg_restore: Sequence[str] = ("pg_restore",)
    within_s: float
    room: float
    tell: Callable[[str], object]
    on_begin: Callable[[], object] = bool

    @property
    def folder(self) -> str:
        """The folder that holds the dump."""
        return f"{self.place.backups}/{DATABASE}"

    @property
    def file(self) -> str:
        """The dump."""
        return f"{self.folder}/dump"


def carry_out(move: Move) -> Dumped:
    """Dump, restore and compare; Refused or NotProven before anything is made.

    It ends at the first step that fails, with what was seen until then. Ctrl-C ends it too, with
    BY_HAND as the reason. What it made is removed in each case.
    """
    _must_be_possible(move)
    move.on_begin()
    done = _Done(move)
    step = Step.DUMP
    left: tuple[str, ...] = ()
    try:
        try:
            with moment(move.source.server, move.database) as old:
                for step, work in (
                    (Step.DUMP, done.dump),
                    (Step.RESTORE, done.restore),
                    (Step.COMPARE, done.compare),
                ):
                    move.tell(f"{move.database}: {step}")
                    began = time.monotonic()
                    work(old)
                    done.took_s[step] = round(time.monotonic() - began, 3)
        finally:
            with uninterrupted():
                move.tell("removing the dump and the restored database")
                left = tuple(removed(move))
    except Failed as error:
        done.stopped = Stopped(step, str(error), at_fault=True)
    except HarnessError as error:
        done.stopped = Stopped(step, str(error), at_fault=False)
    except KeyboardInterrupt:
        done.stopped = Stopped(step, BY_HAND, at_fault=False)
    return Dumped(move.database, done.took_s, done.bytes, done.compared, done.stopped, left)


def _must_be_possible(move: Move) -> None:
    rehearsal.must_differ(move.source, move.target)
    if move.database not in move.source.databases():
        raise NotProven(
            f"{move.source.name} has no database {move.database}", remedy="correct `dump.database`"
        )
    rehearsal.must_be_unused(move.target)
    place = move.place
    words = ("sh", "-c", _SPACE, "sh", place.backups, move.folder)
    done = place.run(words, within_s=_SHORT_S)
    if done.status != 0 or not done.stdout.strip().isdigit():
        raise Refused(
            f"{place.place} has {move.folder} already, or no folder {place.backups}: "
            f"{done.stderr.strip()}",
            remedy="remove what a killed rehearsal left there, or correct `dump.folder`",
        )
    free, needs = int(done.stdout), database.size(move.source.server, move.database) * move.room
    if free < needs:
        raise Refused(
            f"{place.place} has {free / 1e9:.1f} GB free at {place.backups}: expected "
            f"{needs / 1e9:.1f} GB for {move.database}",
            remedy="make room there, or name another folder (`dump.folder`)",
        )


@dataclass
class _Done:
    """The move so far, step by step."""

    move: Move
    took_s: dict[str, float] = field(default_factory=dict)
    bytes: int | None = None
    compared: OrUnknown[Database] | None = None
    stopped: Stopped | None = None

    def dump(self, old: Moment) -> None:
        """Dump the moment; NotProven if the place or pg_dump cannot."""
        move = self.move
        words = ("--format=custom", f"--snapshot={old.snapshot}", f"--file={move.file}")
        to = (f"--dbname={move.database}",)
        stat = ("stat", "--format=%s", move.file)
        try:
            move.place.must(("mkdir", "-m", "700", move.folder), within_s=_SHORT_S, what="mkdir")
            _run(move, move.pg_dump, (*words, *to), move.source)
            size = move.place.must(stat, within_s=_SHORT_S, what="stat")
        except Failed as error:
            # A wrong folder or route, or an old program, tells nothing about the database.
            raise NotProven(str(error), remedy="correct `dump:`") from error
        self.bytes = int(size.stdout)

    def restore(self, _: Moment) -> None:
        """Restore into an empty database, made as the source's; Failed at the first error."""
        move = self.move
        made = database.create(move.source.server, move.database, DATABASE)
        try:
            move.target.run(ADMIN, sql.SQL(made).format())
        except NotProven as error:  # its owner or its locale is missing at the target
            raise Failed(str(error)) from error
        words = ("--exit-on-error", f"--dbname={DATABASE}", move.file)
        try:
            _run(move, move.pg_restore, words, move.target)
        except Failed as error:
            _must_be_able_to_restore(move)
            _programs_must_fit(move, error)
            raise

    def compare(self, old: Moment) -> None:
        """Every row and object of the dumped moment with those that were restored."""
        move = self.move
        try:
            move.target.ask(DATABASE, _AMCHECK)
        except HarnessError as error:
            move.tell(f"{DATABASE}: no extension amcheck: {error}")

        def both() -> Database:
            with moment(move.target.server, DATABASE) as new:
                return _of_one_moment(compare.database(old, new, tell=move.tell))

        compared = attempt(both)
        self.compared = compared.value if isinstance(compared, Known) else compared


def _must_be_able_to_restore(move: Move) -> None:
    """NotProven unless the place can read the dump, and its programs reach the target.

    Without both, a failed pg_restore tells nothing about the dump.
    """
    to_target = ("--schema-only", "--file=/dev/null", f"--dbname={ADMIN}")
    try:
        words = ("sh", "-c", 'exec cat "$1" > /dev/null', "sh", move.file)
        move.place.must(words, within_s=move.within_s, what="reading the dump")
        _run(move, move.pg_dump, to_target, move.target)
    except Failed as error:
        raise NotProven(f"pg_restore was in vain: {error}", remedy="correct `dump:`") from error


def _programs_must_fit(move: Move, failed: Failed) -> None:
    """NotProven if pg_restore is of a version that need not read the dump, or suit the target.

    A newer pg_dump writes archives of another format ("unsupported version in file header"), and a
    newer pg_restore sets parameters that an older server does not know (transaction_timeout).
    """
    dumped, restores = (_version(move, it) for it in (move.pg_dump, move.pg_restore))
    source, target = (database.major(it.server) for it in (move.source, move.target))
    if dumped is None or restores is None:
        return
    if restores < dumped or restores > target >= source:
        raise NotProven(
            f"pg_restore {restores} restores what pg_dump {dumped} wrote into a PostgreSQL "
            f"{target}: {failed}",
            remedy="name programs of version "
            f"{max(source, target)} in `dump.pg_dump` and `dump.pg_restore`",
        )


def _version(move: Move, program: Sequence[str]) -> int | None:
    """The major version of a program; None if it does not say so."""
    done = move.place.run((*program, "--version"), within_s=_SHORT_S)
    found = _SAYS_VERSION.search(done.stdout)
    return None if found is None else int(found[1])


def _of_one_moment(found: Database) -> Database:
    """What the source wrote meanwhile does not count, but for sequences: no snapshot holds them."""
    if not found.source_wrote or not isinstance(found.sequences, Known):
        return replace(found, source_wrote=False)
    own = {name: replace(it, source=None) for name, it in found.sequences.value.items()}
    return replace(found, source_wrote=False, sequences=Known(own))


def _run(move: Move, program: Sequence[str], words: Sequence[str], side: Side) -> None:
    """Run one of the programs as the side's user; Failed unless it ends with 0."""
    at = side.address
    to = (f"--host={at.host}", f"--port={at.port}", f"--username={side.server.user}")
    move.place.must(
        ("sh", "-c", _WITH_PASSWORD, "sh", *program, *to, *words),
        within_s=move.within_s,
        what=program[0],
        stdin=f"{side.server.password}\n",
    )


def remains(move: Move) -> list[str]:
    """What is there of a move, by names that rehearsals alone have; NotProven if it is unknown."""
    found = rehearsal.remains((move.target,))
    status = move.place.run(("test", "-e", move.folder), within_s=_SHORT_S).status
    if status > 1:
        raise NotProven(f"{move.place.place}: `test` of {move.folder} ended with {status}")
    if status == 0:
        found.append(f"the folder {move.folder} of {move.place.place}")
    return found


def removed(move: Move) -> list[str]:
    """End pg_dump, remove the restored database and the dump; what could not be removed."""
    with suppress(HarnessError):  # a server that does not answer has no session either
        move.source.ask(ADMIN, _END_DUMP, [DATABASE])
    left = [str(it) for it in rehearsal.removed((move.target,))]
    return [*left, *folder_removed(move.place.shell, move.place.place, move.folder)]


def folder_removed(shell: Shell, place: str, folder: str) -> list[str]:
    """Remove the folder of a dump from a machine or a pod; why it could not be removed."""
    try:
        done = shell.run(place, ("rm", "--recursive", "--force", folder), within_s=_SHORT_S)
    except HarnessError as error:
        return [f"{folder} of {place}: {error}"]
    said = f"rm ended with status {done.status}: {done.stderr.strip()}"
    return [f"{folder} of {place}: {said}"] if done.status != 0 else []
