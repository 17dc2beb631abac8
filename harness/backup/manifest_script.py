"""Runs on a machine: makes the manifest of a tree, slice by slice.

A manifest is lines of JSON: a header, one line an entry (see ``tree_script``) in the order of a
walk that visits a folder before what is in it and names in the order of their bytes, and a last
line with the sums. It grows in a folder of its own, as gzip members that are each whole; ``state``
says how far it is certain (fsynced). A run that was killed goes on from there.

It goes on for a slice of time; ``fetch_script`` gives out the result. Exit status: 0 whole, 1 whole
with errors or changes meanwhile, 2 it cannot be made, 3 not whole yet, 4 the tree stopped
answering. Standard library of Python 3.8 only.
"""

from __future__ import annotations

import ctypes
import fcntl
import gzip
import json
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple, NoReturn, TypedDict

from harness.backup.tree_script import Item, describe, raw, silent_s, tick, to_json, told, walk
from harness.transport import own_folder

FORMAT = 1
PREFIX = "cutover-manifest-"
WHOLE, DOUBTFUL, IMPOSSIBLE, UNFINISHED, STALLED = range(5)
# A manifest must show one moment: one begun longer ago than this begins anew.
RESUMABLE_S = 86_400.0
BATCH, AHEAD = 128, 8  # entries a task, and tasks a worker
SYNC_EVERY_S = 5.0
SUMS = ("entries", "files", "bytes", "errors", "unstable")


# A manifest's first line.
Header = TypedDict(
    "Header", {"manifest": int, "root": str, "except": "list[str]", "started": float}
)


class State(TypedDict):
    """The progress of a manifest: its sums, the length of its synced part, its last path."""

    header: Header
    sums: dict[str, int]
    offset: int
    last: str
    done: bool


# The request to make a manifest, for ``slice_s`` seconds at most.
Order = TypedDict(
    "Order",
    {
        "folder": str,
        "root": str,
        "except": "list[str]",
        "slice_s": float,
        "silent_s": float,
        "workers": int,
    },
)


# --- the workers ----------------------------------------------------------------------------------


class Piece(NamedTuple):
    """The lines of some entries, packed, and their sums."""

    packed: bytes
    last: bytes
    sums: dict[str, int]


def described(root: bytes, items: list[Item]) -> Piece:
    """A worker's result for a task."""
    entries = [describe(root, item) for item in items]
    sums = {
        "entries": len(entries),
        "files": sum(entry["type"] == "file" for entry in entries),
        "bytes": sum(size for entry in entries if isinstance(size := entry.get("size"), int)),
        "errors": sum("error" in entry for entry in entries),
        "unstable": sum("unstable" in entry for entry in entries),
    }
    return Piece(packed(entries), items[-1].path, sums)


def packed(entries: Sequence[Mapping[str, object]]) -> bytes:
    lines = "".join([to_json(entry) + "\n" for entry in entries])
    return gzip.compress(lines.encode("ascii"), 1)


def die_with_parent() -> None:
    """Let the kernel kill a worker when its parent process ends for any reason."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def batches(items: Iterator[Item]) -> Iterator[list[Item]]:
    batch: list[Item] = []
    for item in items:
        batch.append(item)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def pieces(
    root: bytes, items: Iterator[Item], workers: int, deadline: float
) -> Iterator[Piece | None]:
    """The workers' results, in the order of the walk; None at the end if time ran out first."""
    fork = multiprocessing.get_context("fork")
    waiting: deque[Future[Piece]] = deque()
    with ProcessPoolExecutor(workers, fork, initializer=die_with_parent) as pool:
        for batch in batches(items):
            waiting.append(pool.submit(described, root, batch))
            if len(waiting) >= AHEAD * workers:
                yield waiting.popleft().result()
            if time.monotonic() > deadline:
                yield from (future.result() for future in waiting)
                yield None
                return
        yield from (future.result() for future in waiting)


# --- the manifest ---------------------------------------------------------------------------------


class Making:
    """A manifest in progress: a file, and the length of its synced part."""

    def __init__(self, folder: Path, header: Header) -> None:
        self.folder = folder
        path = folder / "lines.gz"
        self.file = open(path, "ab", opener=own_folder.opener)  # noqa: SIM115 (lives on)
        fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self.state = self._found(header) or self._begun(header)
        self.file.truncate(self.state["offset"])
        self.file.seek(self.state["offset"])
        self.synced = time.monotonic()

    def _found(self, header: Header) -> State | None:
        try:
            state: State = json.loads((self.folder / "state").read_text())
        except (OSError, ValueError):
            return None
        same = {**state["header"], "started": 0} == {**header, "started": 0}
        young = 0 <= header["started"] - state["header"]["started"] < RESUMABLE_S
        certain = os.fstat(self.file.fileno()).st_size >= state["offset"]
        return state if same and young and certain else None

    def _begun(self, header: Header) -> State:
        self.file.truncate(0)
        first = packed([header])
        self.file.write(first)
        sums = dict.fromkeys(SUMS, 0)
        return {"header": header, "sums": sums, "offset": len(first), "last": "", "done": False}

    def add(self, piece: Piece) -> None:
        self.file.write(piece.packed)
        self.state["offset"] += len(piece.packed)
        self.state["last"] = told(piece.last)
        for name, number in piece.sums.items():
            self.state["sums"][name] += number
        if time.monotonic() - self.synced > SYNC_EVERY_S:
            self.sync()

    def end(self) -> None:
        last = packed([{"end": self.state["sums"]}])
        self.file.write(last)
        self.state["offset"] += len(last)
        self.state["done"] = True

    def sync(self) -> None:
        """Sync everything so far: first the lines, then their count."""
        self.file.flush()
        os.fsync(self.file.fileno())
        with open(self.folder / "state.new", "w", opener=own_folder.opener) as file:
            file.write(json.dumps(self.state))
            file.flush()
            os.fsync(file.fileno())
        (self.folder / "state.new").replace(self.folder / "state")
        self.synced = time.monotonic()


def make(options: Order) -> int:
    """Continue a manifest for ``slice_s`` seconds; the exit status."""
    tick()
    root = os.fsencode(options["root"])
    if not os.path.isdir(root):  # noqa: PTH112 (bytes)
        return told_state({"error": f"{options['root']} is no folder"}, IMPOSSIBLE)
    folder = Path(options["folder"])
    try:
        own_folder.make(str(folder.parent))
        own_folder.sweep(str(folder.parent), PREFIX, RESUMABLE_S)
        own_folder.make(str(folder))
    except OSError as error:
        return told_state({"error": str(error)}, IMPOSSIBLE)
    header: Header = {
        "manifest": FORMAT,
        "root": options["root"],
        "except": options["except"],
        "started": time.time(),
    }
    try:
        making = Making(folder, header)
    except BlockingIOError:
        return told_state({"error": "another harness is making it already"}, IMPOSSIBLE)
    threading.Thread(target=watch, args=(options["silent_s"],), daemon=True).start()
    if not making.state["done"]:
        deadline = time.monotonic() + options["slice_s"]
        items = walk(root, options["except"], raw(making.state["last"]))
        finished = True
        for piece in pieces(root, items, options["workers"], deadline):
            if piece is None:
                finished = False
            else:
                making.add(piece)
        if finished:
            making.end()
        making.sync()
    sums = making.state["sums"]
    status = WHOLE if not sums["errors"] + sums["unstable"] else DOUBTFUL
    return told_state(making.state, status if making.state["done"] else UNFINISHED)


def told_state(state: Mapping[str, object], status: int) -> int:
    sys.stdout.write(json.dumps(state) + "\n")
    sys.stdout.flush()
    return status


def watch(limit_s: float) -> NoReturn:
    """End the process when the tree has not answered for too long: a hung mount raises no error."""
    while silent_s() < limit_s:
        threading.Event().wait(0.5)
    text = f"the tree has not answered for {limit_s:g} s"
    # The workers die with this process; the next run continues from the synced part.
    os._exit(told_state({"error": text}, STALLED))


def main() -> NoReturn:
    sys.exit(make(json.loads(sys.argv[1])))


if __name__ == "__main__":
    main()
