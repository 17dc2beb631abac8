"""The files of both sides against the rows that name them, as sets would tell it."""

from __future__ import annotations

from contextlib import closing

from hypothesis import given
from hypothesis import strategies as st

from harness.backup.restore.files import FileNames
from harness.facts.restore import Attachments

# Of a file's content, of the checklist of what is to be removed, and in no encoding.
NAMES = ("ab/abc1", "ab/abc2", "cd/cd00", "checklist/ab", "ab/x", "cd/cd\udcff", "b", "")
SOME = st.sets(st.sampled_from(NAMES))


def content(names: set[str]) -> set[str]:
    return {name for name in names if name[:2] == name[3:5] and name[2:3] == "/"}


@given(source=SOME, source_rows=SOME, restored=SOME, rows=SOME)
def test_each_count_is_that_of_the_sets(
    source: set[str], source_rows: set[str], restored: set[str], rows: set[str]
) -> None:
    with closing(FileNames()) as names:
        names.add(sorted(source), "source_file")
        names.add(sorted(restored), "restored_file")
        names.add(sorted(source_rows), "source_row")
        # Several rows can name one file.
        names.add([*rows, *rows], "restored_row")
        found = names.attachments()
    source_lacks, lost = source_rows - source, rows - restored
    assert found == Attachments(
        rows=len(rows),
        without_file=len(lost - source_lacks),
        first=tuple(sorted(lost - source_lacks)),
        source_without_file=len(source_lacks),
        without_row=len(content(restored) - rows),
        source_without_row=len(content(source) - source_rows),
        lacking=len(lost & source_lacks),
    )
