"""A restored filestore beside the source's, and beside the rows that name its files."""

from __future__ import annotations

import contextlib
import posixpath
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field

from harness.backup.compare import compare
from harness.backup.manifest import Entry, Making, Tree, TreeManifest
from harness.backup.restore.side import Side
from harness.core.errors import TransportError
from harness.core.parallel import begin
from harness.facts.restore import Attachments, FileDifference, Files

_FIRST = 20


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


@dataclass
class _Read:
    """What was seen of a tree while it was compared; ``moved``: what was written since."""

    since: float
    names: set[str] = field(default_factory=set)
    moved: set[str] = field(default_factory=set)
    bytes: int = 0

    def files(self, manifest: Iterable[Entry]) -> Iterator[Entry]:
        """Everything but folders: an archive need not hold an empty one, nor its times."""
        for entry in manifest:
            path = str(entry["path"])
            if entry.get("mtime_ns", 0) >= self.since * 1e9:
                self.moved.add(path)
            if entry["type"] != "folder":
                self.names.add(path)
                self.bytes += entry.get("size", 0)
                yield entry


def compare_files(
    source: Making, restored: Making, asked: float, may_differ: Collection[str]
) -> tuple[Files, set[str], set[str]]:
    """The comparison, and the names of the files of both sides.

    ``asked`` is when the backup was asked for, by the source's clock: what was written there since
    then is counted apart. ``may_differ`` are the words of a field (owner, mode …).
    """
    old, new = _Read(asked), _Read(float("inf"))
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
        else:
            counts[it.kind] += 1
            if len(first) < _FIRST:
                first.append((it.path, f"{it.kind} {', '.join(it.what)}".strip()))
    found = Files(
        files=len(old.names),
        bytes=old.bytes,
        counts=dict(counts),
        first=tuple(first),
        passed=passed,
        newer=newer,
    )
    return found, old.names, new.names


def compare_attachments(
    rows_of_source: set[str], source: set[str], rows: set[str], restored: set[str]
) -> Attachments:
    """The rows that name a file against the files, on both sides.

    A file that no row names is no fault: Odoo removes files long after their rows. Nor is a row
    whose file the source lacks too: no restore can bring it back.
    """
    of_source = rows_of_source - source
    without = sorted(rows - restored - of_source)
    return Attachments(
        rows=len(rows),
        without_file=len(without),
        first=tuple(without[:_FIRST]),
        source_without_file=len(of_source),
        without_row=len(_content(restored) - rows),
        source_without_row=len(_content(source) - rows_of_source),
        lacking=len((rows - restored) & of_source),
    )


def _content(names: set[str]) -> set[str]:
    """The files that rows can name: ``ab/abcd…``, and none of the checklist of what to remove."""
    return {name for name in names if name[:2] == name[3:5] and name[2:3] == "/"}
