"""A restored filestore beside the source's, and beside the rows that name its files."""

from __future__ import annotations

import contextlib
import posixpath
import sqlite3
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from harness.backup import tree_script as tree
from harness.backup.compare import compare
from harness.backup.manifest import Entry, Making, Tree, TreeManifest
from harness.backup.restore.side import Side
from harness.core.errors import TransportError
from harness.core.parallel import begin
from harness.facts.restore import Attachments, FileDifference, Files

_FIRST = 20
_WITH_ROWS: tuple[FileDifference, ...] = ("added", "removed")

# Where a name was seen: as that of a file, or in a row that names one.
Seen = Literal["source_file", "source_row", "restored_file", "restored_row"]
_NAMES = """
create table names (
  name blob primary key,
  source_file integer not null default 0,
  source_row integer not null default 0,
  restored_file integer not null default 0,
  restored_row integer not null default 0
) without rowid;
-- Rows can name `ab/abcd…`, and none of the checklist of what is to be removed.
create view judged as select *,
  source_row and not source_file as source_lacks,
  restored_row and not restored_file as lost,
  substr(name, 1, 2) = substr(name, 4, 2) and substr(name, 3, 1) = x'2f' as can_have_row
from names;
"""
_COUNTS = """
select
  count(*) filter (where restored_row),
  count(*) filter (where lost and not source_lacks),
  count(*) filter (where source_lacks),
  count(*) filter (
    where can_have_row and restored_file and not restored_row and not (:rows_differ and source_row)
  ),
  count(*) filter (where can_have_row and source_file and not source_row),
  count(*) filter (where lost and source_lacks)
from judged
"""
_APART = "select 1 from names where name = ? and source_row <> restored_row"
# Odoo writes `checklist/ab/abcd…` for each file that it may remove later.
_CHECKLIST = "checklist/"
_LOST = "select name from judged where lost and not source_lacks order by name limit ?"


@contextlib.contextmanager
def both_manifests(
    source: tuple[Side, str], restored: tuple[Side, str], name: str
) -> Iterator[tuple[Making, Making]]:
    """Whole manifests of a tree on each side, made at once; removed after the body.

    Raises TransportError.
    """
    old, new = (
        Making(shell=side.shell, tree=Tree(machine=side.place, root=root), name=f"{name}-{word}")
        for word, (side, root) in (("source", source), ("restored", restored))
    )
    making = begin(new.make)
    try:
        old.make()
        making.result()
        yield old, new
    finally:
        making.exception()
        for one in (old, new):
            # Its own script sweeps the folder in the next run.
            with contextlib.suppress(TransportError):
                one.drop()


class FileNames:
    """The names of both sides' files, and of the files that rows of both sides name.

    They are in a temporary database on disk: the largest filestore takes no memory here.
    """

    def __init__(self) -> None:
        self._store = sqlite3.connect("")
        self._store.executescript(_NAMES)

    def add(self, names: Iterable[str], seen: Seen) -> None:
        """Note where these names were seen."""
        insert = (
            f"insert into names (name, {seen}) values (?, 1) on conflict do update set {seen} = 1"
        )
        self._store.executemany(insert, ((tree.raw(name),) for name in names))

    def is_of_a_row_apart(self, path: str) -> bool:
        """True for a file, or its mark in the checklist, that the rows of one side alone name."""
        name = tree.raw(path.removeprefix(_CHECKLIST))
        return self._store.execute(_APART, (name,)).fetchone() is not None

    def attachments(self, *, rows_differ: bool = False) -> Attachments:
        """The rows that name a file against the files, on both sides.

        With ``rows_differ``, a restored file that a row of the source names has that row.

        A file that no row names is no fault: Odoo removes files long after their rows. Nor is a
        row whose file the source lacks too: no restore can bring it back.
        """
        (counts,) = self._store.execute(_COUNTS, {"rows_differ": rows_differ})
        rows, without_file, source_lacks, without_row, source_without_row, lacking = counts
        return Attachments(
            rows=rows,
            without_file=without_file,
            first=tuple(tree.told(name) for (name,) in self._store.execute(_LOST, (_FIRST,))),
            source_without_file=source_lacks,
            without_row=without_row,
            source_without_row=source_without_row,
            lacking=lacking,
        )

    def close(self) -> None:
        """Remove them from the disk."""
        self._store.close()


@dataclass
class _Read:
    """What was seen of a tree while it was compared; ``moved``: what was written since."""

    since: float
    names: FileNames
    seen: Seen
    moved: set[str] = field(default_factory=set)
    count: int = 0
    bytes: int = 0

    def files(self, manifest: Iterable[Entry]) -> Iterator[Entry]:
        """Everything but folders: an archive need not hold an empty one, nor its times."""
        for entry in manifest:
            path = str(entry["path"])
            if entry.get("mtime_ns", 0) >= self.since * 1e9:
                self.moved.add(path)
            if entry["type"] != "folder":
                self.names.add([path], self.seen)
                self.count += 1
                self.bytes += entry.get("size", 0)
                yield entry


def compare_files(
    source: Making,
    restored: Making,
    asked: float,
    may_differ: Collection[str],
    names: FileNames,
    *,
    rows_differ: bool = False,
) -> Files:
    """The comparison; ``names`` gets those of the files of both sides.

    With ``rows_differ``, rows that name files differ on purpose, and ``names`` has those of both
    sides: a file that came or went with its row is judged with the rows.

    ``asked`` is when the backup was asked for, by the source's clock: what was written there since
    then is counted apart. ``may_differ`` are the words of a field (owner, mode …).
    """
    old = _Read(asked, names, "source_file")
    new = _Read(float("inf"), names, "restored_file")
    before = old.files(TreeManifest(source.lines(), "the source's manifest"))
    now = new.files(TreeManifest(restored.lines(), "the restored manifest"))
    counts: Counter[FileDifference] = Counter()
    first: list[tuple[str, str]] = []
    passed = newer = 0
    for it in compare(before, now):
        if it.kind == "changed" and set(it.what) <= {"time", *may_differ}:
            passed += 1
        elif {it.path, posixpath.dirname(it.path) or "."} & old.moved:
            newer += 1
        elif rows_differ and it.kind in _WITH_ROWS and names.is_of_a_row_apart(it.path):
            passed += 1
        else:
            counts[it.kind] += 1
            if len(first) < _FIRST:
                first.append((it.path, f"{it.kind} {', '.join(it.what)}".strip()))
    return Files(
        files=old.count,
        bytes=old.bytes,
        counts=dict(counts),
        first=tuple(first),
        passed=passed,
        newer=newer,
    )
