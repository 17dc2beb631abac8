"""Reads back what is there at the end, into files beside the history, and judges these.

A file ``KIND-NUMBER.found`` is complete; an incomplete one has another name. Its first line is the
reader and the start time, each other line a write; tabs separate words. ``recovered`` does so for a
killed harness, from its history on the disk and a new reading.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from itertools import chain
from pathlib import Path

from harness.core.errors import HarnessError, NotProven, TimedOut, in_words
from harness.core.parallel import in_each, within
from harness.core.waiting import until
from harness.ledger import targets
from harness.ledger.checker import Found, Reading, kind_of, results
from harness.ledger.history import HistoryReader, whole_lines
from harness.ledger.result import LedgerResult
from harness.ledger.writers import WRITERS, Writer, WriterSetup
from harness.probes import owned
from harness.transport import Reach
from harness.transport.ssh import Tunnels

_A_TRY_S = 90.0
_READS_WITHIN_S = 180.0


def path_of(writer: Writer, folder: Path) -> Path:
    """The file with what a writer read back."""
    return folder / f"{writer.name.replace('/', '-')}.found"


def read_back(writer: Writer, folder: Path, *, within_s: float, after_us: int = 0) -> str:
    """Let a writer read all writes of its kind, with retries until the time is over.

    Returns why it failed, or an empty string. Takes at most ``within_s`` seconds and one more try.
    The reading counts as later than ``after_us``, also if this computer's clock restarted.
    """
    path = path_of(writer, folder)
    said: list[str] = []

    def read() -> bool:
        # An abandoned try may still write, so each try has its own file.
        partial = path.with_suffix(f".part-{len(said)}")
        try:
            within(
                _A_TRY_S,
                lambda: _write(partial, writer, after_us),
                what=f"reading back with {writer.name}",
                abandon=writer.abandon,
            )
        except Exception as error:
            said.append(in_words(error))
            return False
        partial.rename(path)
        return True

    try:
        until(read, within_s=within_s, what="a whole reading")
    except TimedOut:
        return f"{writer.name} could not read: {said[-1]}"
    return ""


def _write(path: Path, writer: Writer, after_us: int) -> None:
    began_us = max(time.monotonic_ns() // 1000, after_us + 1)
    with path.open("w", encoding="utf-8") as file:
        file.write(f"{writer.name}\t{began_us}\n")
        for who, seq in writer.read():
            file.write(f"{who}\t{seq}\n")


def _found(path: Path) -> Iterator[Found]:
    return chain.from_iterable(_found_together(path))


def _found_together(path: Path) -> Iterator[Iterable[Found]]:
    with path.open("rb") as file:
        file.readline()
        for text in whole_lines(file):
            words = text.replace("\n", "\t").split("\t")
            yield zip(words[0:-1:2], map(int, words[1::2]), strict=True)


def judge(
    folder: Path,
    kinds: Iterable[str],
    troubles: Mapping[str, Sequence[str]],
    *,
    broken_off: bool = False,
) -> Mapping[str, LedgerResult]:
    """The results of a ledger, from its folder, and from the recorder's ``troubles``.

    A history without an end is a trouble, unless the caller knows that it was ``broken_off`` and
    has read back since. The history is reliable: no write was sent before its line was on the disk,
    and a write without an outcome counts as unknown. Only a gap at its end proves nothing.
    """
    readings: dict[str, list[Reading]] = {kind: [] for kind in kinds}
    for path in sorted(folder.glob("*.found")):
        with path.open(encoding="utf-8") as file:
            by, _, began_us = file.readline().rpartition("\t")
        reading = Reading(by=by, began_us=int(began_us), found=_found(path))
        readings.setdefault(kind_of(by), []).append(reading)
    for of_kind in readings.values():
        of_kind.sort(key=lambda it: it.began_us)  # the tenth writer is not the second one
    book = HistoryReader(folder / "book")
    found = results(book, readings, wall_s=book.wall_s)
    of_all = []
    if book.torn_bytes and not broken_off:
        of_all.append(f"the history's last line is torn: {book.torn_bytes} bytes were dropped")
    if not (book.closed or broken_off):
        of_all.append("the history has no end: its harness was killed")
    return {
        kind: replace(it, troubles=(*it.troubles, *troubles.get(kind, ()), *of_all))
        for kind, it in found.items()
    }


def recovered(
    reach: Reach,
    *,
    names: Collection[str],
    folder: Path,
    space: str,
    run: str,
    seed: int,
    hide: Callable[[str], object],
) -> Mapping[str, LedgerResult]:
    """The results of a ledger that a killed harness recorded in ``folder``, with ``space``.

    The namespace ``space`` is removed afterwards. If it is gone or unreadable, the result says so.
    ``hide`` gets each secret that is read. NotProven when there is no history.
    """
    if not (folder / "book").exists():
        raise NotProven(f"there is no history of the ledger in {folder}")
    if not targets.is_there(reach.kube, space):
        gone = f"the ledger's namespace {space} is gone"
        return judge(folder, names, _unless_read(folder, names, gone), broken_off=True)
    machines = reach.profile.cluster().machines
    with (
        owned.renewed(reach.kube, space, run.partition("/")[0]),
        closing(Tunnels(reach.profile.access.ssh, machines)) as tunnels,
    ):
        there = targets.LedgerTargets(reach, space, hide=hide)

        def setup_of(kind: str) -> WriterSetup:
            there.found([kind])
            return there.writer_setup(tunnels, run=run, seed=seed)

        results = read_again(setup_of, names, folder=folder)
    # Delete last: a harness that is interrupted before this can read everything again.
    reach.kube.delete(f"/api/v1/namespaces/{space}")
    return results


def read_again(
    setup_of: Callable[[str], WriterSetup],
    names: Collection[str],
    *,
    folder: Path,
    within_s: float = _READS_WITHIN_S,
) -> Mapping[str, LedgerResult]:
    """Read back the kinds in parallel, and compare with the history.

    ``setup_of`` gives the setup of a kind's writers, or raises HarnessError while it is not ready.
    """
    after_us = max((at for *_, at in HistoryReader(folder / "book")), default=0)
    troubles: dict[str, list[str]] = {kind: [] for kind in names}

    def read(kind: str) -> None:
        try:
            with _writers(setup_of, kind, within_s) as writers:
                for writer in writers:
                    problem = read_back(writer, folder, within_s=within_s, after_us=after_us)
                    # A reading that the killed harness made after all writes is as good.
                    if problem and not path_of(writer, folder).exists():
                        troubles[kind].append(problem)
        except Exception as error:
            troubles[kind] += _unless_read(folder, [kind], in_words(error)).get(kind, ())

    in_each(names, read)
    return judge(folder, names, troubles, broken_off=True)


@contextlib.contextmanager
def _writers(
    setup_of: Callable[[str], WriterSetup], kind: str, within_s: float
) -> Iterator[Sequence[Writer]]:
    said = [""]

    def made() -> Sequence[Writer]:
        try:
            return WRITERS[kind](setup_of(kind))
        except HarnessError as error:
            said.append(in_words(error))
            return ()

    try:
        writers = until(made, within_s=within_s, what=f"a way to what {kind} wrote")
    except TimedOut as late:
        raise NotProven(f"the writes cannot be read back: {said[-1]}") from late
    with ExitStack() as opened:
        for writer in writers:
            opened.callback(writer.close)
        yield writers


def _unless_read(folder: Path, names: Collection[str], why: str) -> Mapping[str, Sequence[str]]:
    """The trouble of each kind that the killed harness did not read back itself."""
    return {kind: [why] for kind in names if not [*folder.glob(f"{kind}-*.found")]}
