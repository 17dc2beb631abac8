"""A customer's backup: made by the platform, inspected, restored elsewhere, and compared.

The platform is driven as an operator drives it, and its word "completed" is a claim. Nothing is
restored over what is there: the restored database and folder have names of their own, must not
exist before, and are removed afterwards. The customer's own data is read; only heartbeats are
written, if the profile declares them.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from harness.backup.restore import database, inspect_script, unpack_script
from harness.backup.restore.files import FileNames, both_manifests, compare_files
from harness.backup.restore.side import Failed
from harness.backup.restore.trip import (
    SHORT_S,
    WHOLE_S,
    Trip,
    must_be_fit,
    must_be_possible,
    removed,
)
from harness.core.errors import HarnessError, NotProven, TimedOut
from harness.core.interrupts import BY_HAND, uninterrupted
from harness.core.waiting import until
from harness.facts.databases import Database
from harness.facts.restore import Attachments, Backup, Files, RoundTrip, Step, Stopped
from harness.facts.schema import Item, Known, OrUnknown, attempt
from harness.settings.restore import BackupCommand

T = TypeVar("T")

_ASKED_EVERY_S = 2.0
_ANSWER_S = 60.0
_SHOWN = 80
# Odoo makes and removes such rows, with their files, as soon as a restored customer is opened.
_NAMES_FILES = "public.ir_attachment"
_AMCHECK = "create extension if not exists amcheck"


def carry_out(trip: Trip) -> RoundTrip:
    """Make the round trip; Refused or ConfigError before anything is touched.

    It ends at the first step that fails, with what was seen until then. Ctrl-C ends it too, with
    BY_HAND as the reason. What it made is removed in each case.
    """
    must_be_possible(trip)
    trip.on_begin()
    done = _Done(trip)
    step = Step.MAKE
    try:
        with _removed(trip, done):
            for step, work in done.steps():
                trip.tell(f"{trip.name}: {step}")
                began = time.monotonic()
                work()
                done.took_s[step] = time.monotonic() - began
    except Failed as error:
        done.stopped = Stopped(step, str(error), at_fault=True)
    except HarnessError as error:
        done.stopped = Stopped(step, str(error), at_fault=False)
    except KeyboardInterrupt:
        done.stopped = Stopped(step, BY_HAND, at_fault=False)
    return done.facts()


@contextmanager
def _removed(trip: Trip, done: _Done) -> Iterator[None]:
    """Remove what the body restored; what stays is told in ``left``."""
    try:
        yield
    finally:
        if done.restoring:
            with uninterrupted():
                trip.tell(f"{trip.name}: removing what was restored")
                done.left = tuple(removed(trip))


@dataclass
class _Done:
    """The round trip so far, step by step."""

    trip: Trip
    asked: float = 0.0
    writes_before: Mapping[str, int] = field(default_factory=dict)
    name: str = ""
    restoring: bool = False
    began_s: float = 0.0
    died: float = 0.0
    took_s: dict[str, float] = field(default_factory=dict)
    backup: Backup | None = None
    noticed: Mapping[str, bool] = field(default_factory=dict)
    answer: str | None = None
    rto_s: float | None = None
    rpo_s: Item[float] | None = None
    written: Mapping[str, int] = field(default_factory=dict)
    compared: OrUnknown[Database] | None = None
    files: OrUnknown[Files] | None = None
    attachments: OrUnknown[Attachments] | None = None
    stopped: Stopped | None = None
    left: tuple[str, ...] = ()

    def steps(self) -> Iterator[tuple[Step, Callable[[], object]]]:
        """The steps of the trip, in their order."""
        yield Step.MAKE, self.make
        yield Step.INSPECT, self.inspect
        yield Step.RESTORE, self.restore
        yield Step.ANSWER, self.wait_for_answer
        yield Step.DATABASE, self.compare_database
        yield Step.FILES, self.compare_files
        yield Step.CHALLENGE, self.challenge

    def make(self) -> None:
        """Ask the platform for a backup, and wait for its claim; find the backup."""
        trip, source = self.trip, self.trip.source
        name = trip.customer.database
        self.asked = source.inspect("clock", {}, within_s=SHORT_S, read=float)
        self.writes_before = database.writes(source.server, name)
        if trip.declared.backup is None:
            found = self._newest()
            if found is None:
                raise Failed(f"{source.backups} has no backup of {name}")
        else:
            with database.beating(source.server, name, trip.declared.heartbeat) as beats:
                found = self._asked_for(trip.declared.backup)
            if beats.trouble:
                trip.tell(f"{trip.name}: after {beats.written} heartbeats: {beats.trouble}")
        self.name = found
        self.died = database.now(source.server, name)

    def _asked_for(self, command: BackupCommand) -> str:
        """The name of the backup that the platform makes now, once it calls it completed."""
        trip, source = self.trip, self.trip.source
        within_s, done = command.within_min * 60, trip.words(command.done)
        what = f"the backup command ({command.command[0]})"
        source.must(trip.words(command.command), within_s=within_s, what=what)
        if done:
            self._until(
                lambda: source.run(done, within_s=SHORT_S).status == 0,
                within_s,
                f"the platform calls the backup completed ({done[0]})",
            )
        what = f"{source.backups} has a backup of {trip.customer.database} that was asked for"
        found = self._until(self._newest, SHORT_S if done else within_s, what)
        assert found is not None
        return found

    def _until(self, look: Callable[[], T], within_s: float, what: str) -> T:
        """What the platform must come to in time; Failed otherwise."""
        try:
            return until(look, within_s=within_s, every_s=_ASKED_EVERY_S, what=what)
        except TimedOut as error:
            raise Failed(str(error)) from error

    def _newest(self) -> str | None:
        return self.trip.source.inspect("newest", self._order(), within_s=WHOLE_S, read=str | None)

    def _order(self) -> inspect_script.Order:
        """What to inspect, as ``inspect_script`` takes it."""
        trip = self.trip
        return inspect_script.Order(
            format=trip.declared.layout,
            folder=trip.source.backups,
            name=self.name,
            database=trip.customer.database,
            metadata=dict(trip.customer.metadata),
            holds=self._identity(),
            asked=self.asked if trip.declared.backup is not None else None,
            filestore=trip.filestore,
            own_files=f"{trip.customer.folder}/{trip.filestore}",
            limits=trip.limits,
        )

    def _identity(self) -> str:
        """A text that only this customer's rows contain; empty if none is declared."""
        query, server = self.trip.declared.identity, self.trip.source.server
        if query is None:
            return ""
        found = list(database.texts(server, self.trip.customer.database, query))
        if len(found) != 1 or not found[0]:
            raise NotProven(
                f"{len(found)} rows tell who the customer is, expected one",
                remedy="correct restore.identity",
            )
        return found[0]

    def inspect(self) -> None:
        """Inspect the backup; Failed with a fault, which is not restored."""
        source = self.trip.source
        self.backup = source.inspect("inspect", self._order(), within_s=WHOLE_S, read=Backup)
        if self.backup.faults:
            raise Failed(f"{self.name} is not restored: {self.backup.faults[0][1]}")

    def challenge(self) -> None:
        """Whether the inspection would have noticed each known defect of this backup."""
        self.noticed = self.trip.source.inspect(
            "challenge", self._order(), within_s=WHOLE_S, read=dict[str, bool]
        )

    def restore(self) -> None:
        """Restore the backup under another name; the clock of the RTO runs from here."""
        trip, target = self.trip, self.trip.target
        create = database.create(trip.source.server, trip.customer.database, trip.restored)
        within_s = trip.declared.target.within_min * 60
        if target.run(("test", "-r", self._backup()), within_s=SHORT_S).status != 0:
            raise NotProven(
                f"{target.place} does not see {self._backup()}",
                remedy="mount the backups there, or correct restore.target.backups",
            )
        self.began_s = time.monotonic()
        self.restoring = True
        if trip.declared.target.command:
            command = trip.words(trip.declared.target.command, self.name)
            target.must(command, within_s=within_s, what=f"the restore command ({command[0]})")
            return
        what = "psql, which makes the database,"
        self._psql(trip.psql(f"--command={create}"), within_s=SHORT_S, what=what)
        target.unpack("unpack", self._unpack_order(), within_s=within_s)
        words = ("--single-transaction", f"--file={self._dump()}")
        what = "psql, which restores the dump,"
        self._psql(trip.psql(*words, on=trip.restored), within_s=within_s, what=what)

    def _psql(self, command: Sequence[str], *, within_s: float, what: str) -> None:
        """Run psql at the target; NotProven if it fails for what is wrong with the target."""
        try:
            self.trip.target.must(command, within_s=within_s, what=what)
        except Failed as error:
            must_be_fit(self.trip, str(error))
            raise

    def _unpack_order(self) -> unpack_script.Order:
        trip = self.trip
        return unpack_script.Order(
            format=trip.declared.layout,
            folder=trip.target.backups,
            name=self.name,
            into=trip.folder,
            filestore=trip.filestore,
            to=trip.restored_filestore,
            limits=trip.limits,
        )

    def _backup(self) -> str:
        """The zip, or the dump, as the target sees it."""
        path = f"{self.trip.target.backups}/{self.name}"
        return path if self.trip.declared.layout == "zip" else f"{path}_{inspect_script.DATABASE}"

    def _dump(self) -> str:
        """The dump, once the archive is unpacked."""
        if self.trip.declared.layout == "zip":
            return f"{self.trip.folder}/{inspect_script.ZIP_DUMP}"
        return self._backup()

    def wait_for_answer(self) -> None:
        """Wait for the first right answer, which ends the RTO; then the RPO."""
        trip, asked = self.trip, self.trip.declared.answer
        what = f"an answer with “{asked.says}” from {trip.restored}"
        try:
            self._until(self._is_answered, asked.within_min * 60, what)
        except Failed as error:
            raise Failed(f"{error}; the last answer: {self.answer}") from error
        self.rto_s = time.monotonic() - self.began_s
        self.rpo_s = attempt(self._rpo)

    def _is_answered(self) -> bool:
        trip, asked = self.trip, self.trip.declared.answer
        try:
            if asked.sql is not None:
                query = trip.words([asked.sql])[0]
                found = "\n".join(database.texts(trip.target.server, trip.restored, query))
            else:
                done = trip.target.run(trip.words(asked.command), within_s=_ANSWER_S)
                found = done.stdout if done.status == 0 else f"status {done.status}: {done.stderr}"
        except HarnessError as error:
            found = str(error)
        self.answer = found[:_SHOWN]
        return asked.says in found

    def _rpo(self) -> float:
        """The work, in seconds, that is lost if the source dies once the backup is there."""
        trip = self.trip
        newest = database.newest_heartbeat(
            trip.target.server, trip.restored, trip.declared.heartbeat
        )
        if newest is None:
            raise NotProven("no heartbeat was restored")
        if newest > self.died:
            raise NotProven(f"the newest heartbeat is {newest - self.died:.0f} s too new")
        return self.died - newest

    def compare_database(self) -> None:
        """Every row and object of both databases; and what the source wrote meanwhile."""
        trip = self.trip
        source = (trip.source.server, trip.customer.database)
        target = (trip.target.server, trip.restored)
        done = trip.target.run(
            trip.psql(f"--command={_AMCHECK}", on=trip.restored), within_s=SHORT_S
        )
        if done.status != 0:
            trip.tell(f"{trip.restored}: no extension amcheck: {done.stderr.strip()}")
        compared = attempt(
            lambda: database.compare(source, target, trip.declared.mutations, trip.tell)
        )
        self.compared = compared.value if isinstance(compared, Known) else compared
        now = database.writes(*source)
        self.written = {
            table: number - self.writes_before.get(table, 0)
            for table, number in now.items()
            if number != self.writes_before.get(table, 0)
        }

    def compare_files(self) -> None:
        """The filestore of both sides, and the rows that name its files."""
        trip, name = self.trip, f"restore-{secrets.token_hex(4)}"
        source = (trip.source, f"{trip.customer.folder}/{trip.filestore}")
        restored = (trip.target, f"{trip.folder}/{trip.restored_filestore}")
        query, rows_differ = trip.declared.attachments, _NAMES_FILES in trip.declared.mutations
        with closing(FileNames()) as names:
            if query is not None:
                of_source = database.texts(trip.source.server, trip.customer.database, query)
                names.add(of_source, "source_row")
                names.add(database.texts(trip.target.server, trip.restored, query), "restored_row")
            with both_manifests(source, restored, name) as (old, new):
                may_differ = trip.declared.files_may_differ
                self.files = compare_files(
                    old, new, self.asked, may_differ, names, rows_differ=rows_differ
                )
            if query is not None:
                self.attachments = names.attachments(rows_differ=rows_differ)

    def facts(self) -> RoundTrip:
        """What is known by now."""
        return RoundTrip(
            customer=self.trip.name,
            database=self.trip.customer.database,
            restored=self.trip.restored,
            asked=self.trip.declared.backup is not None,
            took_s={step: round(it, 3) for step, it in self.took_s.items()},
            backup=self.backup,
            noticed=self.noticed,
            answer=self.answer,
            rto_s=self.rto_s,
            rpo_s=self.rpo_s,
            written=self.written,
            compared=self.compared,
            files=self.files,
            attachments=self.attachments,
            stopped=self.stopped,
            left=self.left,
        )
