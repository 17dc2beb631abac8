"""Two manifests side by side: equal ones are equal, and any single mutation is found and named."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.backup import tree_script as tree
from harness.backup.compare import Difference, compare

QUOTA = "ceph.quota.max_bytes"
few = settings(max_examples=30, deadline=None)
NAMES = st.text("ab!", min_size=1, max_size=2)
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)


def entry(path: str, kind: str, seed: int) -> dict[str, Any]:
    owned = {"path": path, "type": kind, "mode": "0o644", "uid": 0, "gid": 0, "mtime_ns": seed}
    if kind == "file":
        return owned | {"size": seed, "sha256": f"{seed:x}", "xattrs": {"user.a": "eA=="}}
    return owned | (
        {"target": "a"} if kind == "link" else {"quotas": {"ceph.quota.max_bytes": "1"}}
    )


@st.composite
def trees(draw: st.DrawFn) -> list[dict[str, Any]]:
    paths = draw(st.sets(PATHS, min_size=1, max_size=8))
    kinds = st.sampled_from(("file", "link", "folder"))
    found = [entry(path, draw(kinds), draw(st.integers(0, 99))) for path in paths]
    return sorted(found, key=lambda it: tree.key(it["path"].encode()))


# What one mutation changes, and the words that name it.
MUTATIONS: dict[str, tuple[str, dict[str, Any], str]] = {
    "one bit, with size and time set back": ("file", {"sha256": "other"}, "content"),
    "a mode": ("", {"mode": "0o600"}, "mode"),
    "an owner": ("", {"uid": 1000}, "owner"),
    "a group": ("", {"gid": 1000}, "group"),
    "a time": ("", {"mtime_ns": -1}, "time"),
    "a size": ("file", {"size": -1}, "size"),
    "an attribute lost": ("file", {"xattrs": {}}, "attribute user.a"),
    "an attribute gained": ("link", {"xattrs": {"user.b": ""}}, "attribute user.b"),
    "a quota": ("folder", {"quotas": {}}, f"quota {QUOTA}"),
    "a target": ("link", {"target": "b"}, "target"),
    "a hole": ("file", {"holes": "5a"}, "holes"),
    "another name": ("file", {"links": 2, "inode": 7}, "hard links"),
}


@few
@given(trees())
def test_a_tree_is_equal_to_itself(found: list[dict[str, Any]]) -> None:
    assert list(compare(found, copy.deepcopy(found))) == []


@few
@given(trees(), st.sampled_from(sorted(MUTATIONS)), st.data())
def test_any_single_mutation_is_found_and_named(
    before: list[dict[str, Any]], mutation: str, data: st.DataObject
) -> None:
    kind, change, says = MUTATIONS[mutation]
    now = copy.deepcopy(before)
    fitting = [it for it in now if it["type"] == kind or not kind]
    if not fitting:
        return
    changed = data.draw(st.sampled_from(fitting))
    changed.update(change)
    path = changed["path"]
    assert list(compare(before, now)) == [Difference(path=path, kind="changed", what=(says,))]


@few
@given(trees(), st.data())
def test_a_path_that_went_or_came_is_found(
    before: list[dict[str, Any]], data: st.DataObject
) -> None:
    gone = data.draw(st.sampled_from(before))
    now = [it for it in before if it is not gone]
    assert list(compare(before, now)) == [Difference(path=gone["path"], kind="removed")]
    assert list(compare(now, before)) == [Difference(path=gone["path"], kind="added")]


@few
@given(trees(), trees())
def test_no_path_is_lost_between_two_trees(
    one: list[dict[str, Any]], other: list[dict[str, Any]]
) -> None:
    found = {it.path: it.kind for it in compare(one, other)}
    paths = [{it["path"] for it in each} for each in (one, other)]
    assert {path for path, kind in found.items() if kind == "removed"} == paths[0] - paths[1]
    assert {path for path, kind in found.items() if kind == "added"} == paths[1] - paths[0]


def linked(**inodes: int) -> list[dict[str, Any]]:
    return [entry(name, "file", 1) | {"inode": at, "links": 2} for name, at in inodes.items()]


def test_hard_links_are_equal_whatever_the_inodes_are_and_regrouped_ones_are_not() -> None:
    before = linked(a=1, b=1, c=2, d=2)
    assert list(compare(before, linked(a=8, b=8, c=9, d=9))) == []
    regrouped = list(compare(before, linked(a=8, b=9, c=8, d=9)))
    assert {it.what for it in regrouped} == {("hard links",)}


def test_what_may_change_is_not_compared_nor_the_time_of_its_folder() -> None:
    before = [entry(".", "folder", 1), entry("logs", "folder", 1), entry("logs/a", "file", 1)]
    now = [entry(".", "folder", 2), entry("logs", "folder", 2), entry("logs/b", "file", 2)]
    assert {it.path for it in compare(before, now)} == {".", "logs", "logs/a", "logs/b"}
    assert list(compare(before, now, ["logs"])) == []
    assert [it.path for it in compare(before, now, ["logs/*"])] == ["."]
    now[0]["mode"] = "0o777"
    assert [it.what for it in compare(before, now, ["logs"])] == [("mode",)]


@pytest.mark.parametrize("flaw", [{"error": "EIO"}, {"unstable": "it vanished"}])
@pytest.mark.parametrize("side", [0, 1])
def test_what_could_not_be_read_is_neither_equal_nor_changed(
    flaw: dict[str, str], side: int
) -> None:
    before, now = [entry("a", "file", 1)], [entry("a", "file", 2)]
    (before, now)[side][0].update(flaw)
    (found,) = compare(before, now)
    (word,) = flaw
    assert (found.kind, found.what) == ("unread", (f"{word}: {flaw[word]}",))


def test_another_type_is_all_that_is_said_of_it() -> None:
    (found,) = compare([entry("a", "file", 1)], [entry("a", "link", 1)])
    assert found.what == ("type (file to link)",)
