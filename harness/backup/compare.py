"""The differences between two manifests: one pass over both, side by side."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from harness.backup import tree_script as tree
from harness.backup.manifest import Entry, shown

Kind = Literal["changed", "removed", "added", "unread"]

# The words for a field that differs. A link's own mode and a folder's size mean nothing.
_FIELDS = {
    "mode": "mode",
    "uid": "owner",
    "gid": "group",
    "size": "size",
    "sha256": "content",
    "target": "target",
    "device": "device",
    "holes": "holes",
    "mtime_ns": "time",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One path that differs, and in what; or that could not be read, and why."""

    path: str
    kind: Kind
    what: tuple[str, ...] = ()


def compare(
    before: Iterable[Entry], now: Iterable[Entry], left_out: Iterable[str] = ()
) -> Iterator[Difference]:
    """Every difference, in the order of the paths; both manifests must be in that order.

    Paths that match a pattern of ``left_out`` are not compared, nor is the time of a folder that
    may contain one: it changes with every name that comes or goes.
    """
    patterns = list(left_out)
    parents = [pattern.rpartition("/")[0] or "." for pattern in patterns]
    names = _Names()
    for old, new in _side_by_side(before, now):
        entry = old or new
        assert entry is not None
        path = str(entry["path"])
        if path != "." and tree.is_left_out(path, patterns):
            continue
        if old is None or new is None:
            kind: Kind = "added" if old is None else "removed"
            yield Difference(path=shown(entry), kind=kind)
            continue
        unread = [f"{it}: {e[it]}" for e in (old, new) for it in ("error", "unstable") if it in e]
        if unread:
            yield Difference(path=shown(entry), kind="unread", what=tuple(dict.fromkeys(unread)))
            continue
        what = list(_differing(old, new))
        if "time" in what and new["type"] == "folder" and _is_one_of(path, parents):
            what.remove("time")
        if not names.agree(old, new):
            what.append("hard links")
        if what:
            yield Difference(path=shown(entry), kind="changed", what=tuple(what))


def _side_by_side(
    before: Iterable[Entry], now: Iterable[Entry]
) -> Iterator[tuple[Entry | None, Entry | None]]:
    olds, news = iter(before), iter(now)
    old, new = next(olds, None), next(news, None)
    while old is not None or new is not None:
        if old is not None and new is not None and old["path"] == new["path"]:
            yield old, new
            old, new = next(olds, None), next(news, None)
        elif new is None or (old is not None and _place(old) < _place(new)):
            yield old, None
            old = next(olds, None)
        else:
            yield None, new
            new = next(news, None)


def _place(entry: Entry) -> bytes:
    return tree.key(tree.raw(str(entry["path"])))


def _is_one_of(path: str, patterns: Iterable[str]) -> bool:
    """True if a pattern matches this exact path."""
    depth = path.count("/")
    return any(
        depth == pattern.count("/") and tree.is_left_out(path, [pattern]) for pattern in patterns
    )


def _differing(old: Entry, new: Entry) -> Iterator[str]:
    if old == new:
        return
    if old["type"] != new["type"]:
        yield f"type ({old['type']} to {new['type']})"
        return
    for field, word in _FIELDS.items():
        if old.get(field) != new.get(field):
            yield word
    for group, word in (("xattrs", "attribute"), ("quotas", "quota")):
        held, holds = old.get(group, {}), new.get(group, {})
        for name in sorted({*held, *holds}):
            if held.get(name) != holds.get(name):
                yield f"{word} {name}"


class _Names:
    """Hard links, before and now: the same names must share a file.

    Inode numbers may change: each number of one side must match one number of the other. Only files
    with several names take memory here.
    """

    def __init__(self) -> None:
        self._now: dict[int, int] = {}
        self._before: dict[int, int] = {}

    def agree(self, old: Entry, new: Entry) -> bool:
        one, other = old.get("inode"), new.get("inode")
        if old.get("links") != new.get("links"):
            return False
        if one is None or other is None:
            return one is other
        same = self._now.setdefault(one, other) == other
        same_before = self._before.setdefault(other, one) == one
        return bool(same and same_before)
