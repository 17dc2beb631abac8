"""Recovers the ledger of a killed harness: from its history on the disk, and a new reading."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Protocol

from harness.core.errors import HarnessError, NotProven, TimedOut
from harness.core.waiting import until
from harness.ledger import platform
from harness.ledger.history import HistoryReader
from harness.ledger.read_back import in_words, judge, path_of, read_back
from harness.ledger.result import LedgerResult
from harness.ledger.writers import WRITERS, Writer, WriterSetup
from harness.probes import owned
from harness.transport import Reach
from harness.transport.ssh import Tunnels

_READS_WITHIN_S = 180.0


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
    if not platform.is_there(reach.kube, space):
        gone = f"the ledger's namespace {space} is gone"
        return judge(folder, names, _unless_read(folder, names, gone), broken_off=True)
    machines = reach.profile.cluster().machines
    with (
        owned.renewed(reach.kube, space, run.partition("/")[0]),
        closing(Tunnels(reach.profile.access.ssh, machines)) as tunnels,
    ):
        ground = platform.Platform(reach, space, hide=hide)

        def stage(kind: str) -> WriterSetup:
            ground.found([kind])
            return ground.stage(tunnels, run=run, seed=seed)

        results = read_again(stage, names, folder=folder)
    # Delete last: a harness that is interrupted before this can read everything again.
    reach.kube.delete(f"/api/v1/namespaces/{space}")
    return results


class Staging(Protocol):
    """Returns the setup of a kind's writers; raises HarnessError while it is not ready."""

    def __call__(self, kind: str) -> WriterSetup: ...


def read_again(
    staging: Staging, names: Collection[str], *, folder: Path, within_s: float = _READS_WITHIN_S
) -> Mapping[str, LedgerResult]:
    """Read back the kinds in parallel, and compare with the history."""
    after_us = max((at for *_, at in HistoryReader(folder / "book")), default=0)
    troubles: dict[str, list[str]] = {kind: [] for kind in names}

    def read(kind: str) -> None:
        try:
            with _writers(staging, kind, within_s) as writers:
                for writer in writers:
                    problem = read_back(writer, folder, within_s=within_s, after_us=after_us)
                    # A reading that the killed harness made after all writes is as good.
                    if problem and not path_of(writer, folder).exists():
                        troubles[kind].append(problem)
        except Exception as error:
            troubles[kind] += _unless_read(folder, [kind], in_words(error)).get(kind, ())

    threads = [threading.Thread(target=read, args=(kind,), daemon=True) for kind in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return judge(folder, names, troubles, broken_off=True)


@contextlib.contextmanager
def _writers(staging: Staging, kind: str, within_s: float) -> Iterator[Sequence[Writer]]:
    said = [""]

    def made() -> Sequence[Writer]:
        try:
            return WRITERS[kind](staging(kind))
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
