"""What a restore is made of, what it is refused for before anything is touched, and its removal."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from harness.backup.equality.compare import Tell
from harness.backup.equality.session import identity, names
from harness.backup.restore import database, unpack_script
from harness.backup.restore.archive_script import Limits
from harness.backup.restore.side import Failed, Side
from harness.core.errors import ConfigError, HarnessError, NotProven, Refused
from harness.settings.restore import Customer, Restore

# The largest customer's backup is read, or unpacked, in this time.
WHOLE_S = 6 * 3600.0
SHORT_S = 60.0


@dataclass(frozen=True, kw_only=True)
class Trip:
    """What a round trip is made of; ``tell`` is told what it does.

    ``on_begin`` is called before anything is made.
    """

    name: str
    customer: Customer
    declared: Restore
    source: Side
    target: Side
    tell: Tell
    on_begin: Callable[[], object] = bool

    @property
    def restored(self) -> str:
        """The restored database's name."""
        return f"{unpack_script.PREFIX}{self.name}"

    @property
    def folder(self) -> str:
        """The folder of the restored files."""
        return f"{self.declared.target.folder}/{self.restored}"

    @property
    def filestore(self) -> str:
        """The folder of the customer's files, in its data folder and in the platform's archive."""
        return self.customer.filestore.replace("{database}", self.customer.database)

    @property
    def restored_filestore(self) -> str:
        """The same after a restore under another name."""
        return self.customer.filestore.replace("{database}", self.restored)

    @property
    def limits(self) -> Limits:
        it = self.declared.limits
        return Limits(bytes=int(it.gib * 2**30), entries=it.entries, ratio=it.ratio)

    def words(self, command: Sequence[str], backup: str = "") -> tuple[str, ...]:
        """A declared command, with the names of this trip."""
        meant = {
            "{customer}": self.name,
            "{database}": self.customer.database,
            "{backup}": backup,
            "{folder}": self.folder,
            "{restored}": self.restored,
        }
        found = []
        for word in command:
            for name, value in meant.items():
                word = word.replace(name, value)
            found.append(word)
        return tuple(found)

    def psql(self, *words: str, on: str = "postgres") -> tuple[str, ...]:
        """A call of psql at the target that stops at the first error."""
        options = ("-X", "--quiet", "--set=ON_ERROR_STOP=1", f"--dbname={on}")
        return (*self.declared.target.psql, *options, *words)


def must_be_possible(trip: Trip) -> None:
    """Refused if the target is the source, or is not empty, or has too little room."""
    try:
        _must_be_elsewhere(trip)
        _must_have_room(trip, _must_be_empty(trip))
    except Failed as error:
        raise Refused(str(error), remedy="correct the folders of `restore:`") from error


def _must_be_elsewhere(trip: Trip) -> None:
    source, target = trip.source, trip.target
    if source.place == target.place or identity(source.server) == identity(target.server):
        raise Refused(
            f"{trip.name} would be restored where it lives, on {target.place}",
            remedy="name another machine and another PostgreSQL in restore.target",
        )
    if trip.customer.database not in names(source.server):
        raise ConfigError(
            f"the source has no database {trip.customer.database}",
            remedy=f"correct restore.customers.{trip.name}.database",
        )


def _must_be_empty(trip: Trip) -> int:
    """The free bytes at the target, which has nothing of the restore's name."""
    target = trip.target
    if trip.restored in names(target.server):
        raise Refused(
            f"the target has a database {trip.restored} already",
            remedy="if it is left of a killed drill: ./cutover heal; or remove it there: "
            f"psql -c '{database.drop(trip.restored)}'",
        )
    space = _space(target, trip.folder)
    if space["exists"]:
        raise Refused(
            f"{target.place} has {trip.folder} already",
            remedy="if it is left of a killed drill: ./cutover heal; or remove it there: "
            f"rm -r {trip.folder}",
        )
    if not space["writable"]:
        raise Refused(f"{target.place} cannot write to {trip.declared.target.folder}")
    return space["free"]


def _must_have_room(trip: Trip, free: int) -> None:
    source, target = trip.source, trip.target
    rows = database.size(source.server, trip.customer.database)
    tree = f"{trip.customer.folder}/{trip.filestore}"
    files = source.unpack("size", {"folder": tree}, within_s=WHOLE_S)
    assert isinstance(files, int)
    needs = {trip.declared.target.folder: (free, rows + files)}
    directory = database.data_directory(target.server)
    try:
        needs[directory] = (_space(target, f"{directory}/x")["free"], rows)
    except Failed as error:
        # Then the room of the folder is asked to hold both.
        trip.tell(f"{target.place} does not show {directory}: {error}")
    for place, (there, what) in needs.items():
        if there < what * trip.declared.room:
            raise Refused(
                f"{target.place} has {there / 1e9:.1f} GB free at {place}, and {trip.name} has "
                f"{what / 1e9:.1f} GB: expected {trip.declared.room:g} times as much",
                remedy="make room there, or restore on another machine (restore.target)",
            )


def _space(side: Side, folder: str) -> Mapping[str, int]:
    found = side.unpack("space", {"folder": folder}, within_s=SHORT_S)
    assert isinstance(found, Mapping)
    return found


def must_be_fit(trip: Trip, said: str) -> None:
    """NotProven if a restore failed, with these words, for what the target is or lacks.

    Roles belong to the server: they are in no backup of a customer. An older psql does not know the
    `\\restrict` with which a dump begins. A dump is not made for an older server.
    """
    source, target = trip.source, trip.target
    for role in sorted(database.roles(source.server) - database.roles(target.server)):
        if f'role "{role}"' in said:
            raise NotProven(
                f'the PostgreSQL of {target.place} has no role "{role}", which the backup '
                "of a customer cannot hold",
                remedy=f'make it there before the drill: create role "{role}" nologin',
            )
    if "\\restrict" in said:
        version = target.run((*trip.declared.target.psql, "--version"), within_s=SHORT_S)
        raise NotProven(
            f"{target.place} has {version.stdout.strip() or 'an old psql'}: {said}",
            remedy="name a psql of 15.14, 16.10, 17.6 or newer in restore.target.psql",
        )
    dumped, there = database.major(source.server), database.major(target.server)
    if there < dumped:
        raise NotProven(
            f"the source is a PostgreSQL {dumped}, and {target.place} has an older one, {there}: "
            f"{said}",
            remedy=f"name a PostgreSQL {dumped} in restore.target",
        )


def removed(trip: Trip) -> Iterator[str]:
    """Remove what a restore made; what stays, and why."""
    target, command = trip.target, trip.words(trip.declared.target.remove)
    database_gone = trip.psql(f"--command={database.drop(trip.restored)}")
    ways: list[tuple[str, Callable[[], object]]] = [
        (trip.restored, lambda: target.must(database_gone, within_s=WHOLE_S, what="psql")),
        (
            trip.folder,
            lambda: target.unpack("remove", {"folder": trip.folder}, within_s=WHOLE_S),
        ),
    ]
    if command:
        undo = ("what it made", lambda: target.must(command, within_s=WHOLE_S, what=command[0]))
        ways.insert(0, undo)
    for what, remove in ways:
        try:
            remove()
        except (HarnessError, Failed) as error:
            yield f"{what}: {error}"
