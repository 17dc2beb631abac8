"""Records a ledger during a fault: writers on threads, one history, results at the end."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing
from itertools import count
from pathlib import Path
from typing import TypeVar

from harness.core.errors import ConfigError, NeverSent, NotProven, TimedOut, in_words
from harness.core.parallel import within
from harness.core.waiting import until
from harness.ledger import targets
from harness.ledger.checker import kind_of
from harness.ledger.history import DUE, FAIL, INFO, OK, TOTAL, History
from harness.ledger.read_back import judge, read_back
from harness.ledger.result import FAULT, LedgerResult
from harness.ledger.writers import WRITERS, Counted, Writer, WriterSetup
from harness.ledger.writers.protocol import ANSWERS_WITHIN_S
from harness.transport import Reach
from harness.transport.ssh import Tunnels

W = TypeVar("W")

KINDS = tuple(WRITERS)
_COUNTS_EVERY_S = 1.0
_STEADY_WITHIN_S = 60.0
_READS_WITHIN_S = 180.0
# A writer ends once its write has an answer or has timed out.
_ENDS_WITHIN_S = ANSWERS_WITHIN_S + 5.0


class Recorder:
    """A running ledger; its folder holds the history (``book``), and at the end what was read back.

    ``space`` is the namespace of the targets.

    Each writer sends ``rate_per_s`` writes a second as long as the answers come in time, and each
    bank is counted every second. A thread that ends early is a trouble of its kind's result.
    """

    def __init__(
        self,
        writers: Mapping[str, Sequence[Writer]],
        *,
        folder: Path,
        run: str,
        rate_per_s: float,
        space: str = "",
    ) -> None:
        self.folder = folder
        self.space = space
        self._writers = writers
        self._every_s = 1.0 / rate_per_s
        self._history = History(folder / "book", run)
        self._stop = threading.Event()
        self._acknowledged: Counter[str] = Counter()
        self._last = dict.fromkeys(writers, time.monotonic())
        self._said: dict[str, str] = {}
        self._troubles: dict[str, list[str]] = {kind: [] for kind in writers}
        self._threads: list[threading.Thread] = []

    @contextlib.contextmanager
    def running(self) -> Iterator[Recorder]:
        """Record while the body runs, which starts when every kind has an acknowledged write."""
        with closing(self):
            self.start()
            self.steady()
            yield self

    def start(self) -> None:
        """Begin to write."""
        for kind, writers in self._writers.items():
            for writer in writers:
                self._begin(f"{writer.name}: writing", self._write, writer)
            for bank in _counted(writers):
                self._begin(f"{kind}: counting", self._count, bank)

    def steady(self, *, within_s: float = _STEADY_WITHIN_S) -> None:
        """Wait until every kind has an acknowledged write; NotProven if one has none in time."""
        try:
            until(
                lambda: all(self.acknowledged.values()),
                within_s=within_s,
                every_s=0.1,
                what="an acknowledged write of each kind",
            )
        except TimedOut as error:
            mute = ", ".join(kind for kind, number in self.acknowledged.items() if not number)
            raise NotProven(
                f"no write of {mute} was acknowledged within {within_s:g} s; "
                f"errors of the writers: {self._said or 'none'}"
            ) from error

    def mark(self, name: str = FAULT) -> None:
        """Begin a phase of the result; the phase of the first fault has the name FAULT."""
        self._history.mark(name)

    @property
    def acknowledged(self) -> Mapping[str, int]:
        """The number of acknowledged writes so far, by kind."""
        return {kind: self._acknowledged[kind] for kind in self._writers}

    @property
    def silent_s(self) -> Mapping[str, float]:
        """The seconds since the last acknowledged write, by kind."""
        now = time.monotonic()
        return {kind: now - last for kind, last in self._last.items()}

    def tally(self, *, within_s: float = _READS_WITHIN_S) -> Mapping[str, LedgerResult]:
        """End all writing, read back, and compare; call it once.

        Each writer reads all writes of its kind; the kinds read in parallel. A writer that fails
        tries again until ``within_s`` seconds are over.
        """
        self._end()
        deadline = time.monotonic() + within_s
        readers = {
            kind: threading.Thread(target=self._read_back, args=(kind, deadline), daemon=True)
            for kind in self._writers
        }
        for thread in readers.values():
            thread.start()
        for kind, thread in readers.items():
            thread.join(max(0.0, deadline + _READS_WITHIN_S - time.monotonic()))
            if thread.is_alive():
                self._troubles[kind].append("reading back did not end")
        self._history.close()
        return judge(self.folder, self._writers, self._troubles)

    def close(self) -> None:
        """End all writing, also without a result."""
        self._end()
        with contextlib.suppress(NotProven):  # the writers got this error too
            self._history.close()
        for writers in self._writers.values():
            for writer in writers:
                writer.close()

    def _begin(self, name: str, work: Callable[[W], None], what: W) -> None:
        def run() -> None:
            try:
                work(what)
            except Exception as error:
                self._troubles[kind_of(name.partition(":")[0])].append(
                    f"{name} ended early: {in_words(error)}"
                )

        thread = threading.Thread(target=run, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _end(self) -> None:
        """Let every thread end; a thread that does not end is a trouble, and is abandoned."""
        if not self._stop.is_set():
            self._stop.set()
            with contextlib.suppress(NotProven):  # the writers got this error too
                self._history.stop()
        deadline = time.monotonic() + _ENDS_WITHIN_S
        threads, self._threads = self._threads, []
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
            if thread.is_alive():
                kind = kind_of(thread.name.partition(":")[0])
                self._troubles[kind].append(f"{thread.name} did not end")

    def _write(self, writer: Writer) -> None:
        due = time.monotonic()
        for seq in count():
            if self._stop.wait(max(0.0, due - time.monotonic())):
                return
            self._history.invoke(writer.name, seq)
            self._history.settle(self._sent(writer, seq), writer.name, seq)
            # Late writes are skipped: a ledger is no load.
            due = max(due + self._every_s, time.monotonic())

    def _sent(self, writer: Writer, seq: int) -> str:
        """Send a write; returns its outcome. Any exception except NeverSent leaves it unknown."""
        try:
            within(
                ANSWERS_WITHIN_S,
                lambda: writer.send(seq),
                what=f"write {seq} of {writer.name}",
                abandon=writer.abandon,
            )
        except Exception as error:
            self._said[writer.name] = in_words(error)
            return FAIL if isinstance(error, NeverSent) else INFO
        kind = kind_of(writer.name)
        self._acknowledged[kind] += 1
        self._last[kind] = time.monotonic()
        return OK

    def _count(self, bank: Counted) -> None:
        self._history.count(DUE, bank.name, bank.due)
        while not self._stop.wait(_COUNTS_EVERY_S):
            # A failed count is skipped; the result has the number of counts.
            with contextlib.suppress(Exception):
                self._look(bank)

    def _look(self, bank: Counted) -> None:
        total = within(
            ANSWERS_WITHIN_S,
            bank.total,
            what=f"the total of {bank.name}",
            abandon=bank.stop_counting,
        )
        self._history.count(TOTAL, bank.name, total)

    def _read_back(self, kind: str, deadline: float) -> None:
        for writer in self._writers[kind]:
            left_s = deadline - time.monotonic()
            if problem := read_back(writer, self.folder, within_s=left_s):
                self._troubles[kind].append(problem)
        for bank in _counted(self._writers[kind]):
            if why := self._counted_at_last(bank, deadline):
                self._troubles[kind].append(f"no total at the end: {why}")

    def _counted_at_last(self, bank: Counted, deadline: float) -> str:
        """Count a bank once more, with retries: its session may have been ended. Why it failed."""
        said = ""

        def counted() -> bool:
            nonlocal said
            try:
                self._look(bank)
            except Exception as error:
                said = in_words(error)
                return False
            said = ""
            return True

        with contextlib.suppress(TimedOut):
            until(counted, within_s=deadline - time.monotonic(), what="the total at the end")
        return said


def _counted(writers: Sequence[Writer]) -> Sequence[Counted]:
    """The first writer that has a constant total, if there is one."""
    return [it for it in writers if isinstance(it, Counted)][:1]


@contextlib.contextmanager
def recording(
    reach: Reach,
    *,
    names: Collection[str] = KINDS,
    folder: Path,
    run: str,
    seed: int,
    hide: Callable[[str], object],
    rate_per_s: float = 5.0,
) -> Iterator[Recorder]:
    """Record a ledger with these kinds of writers; the body starts when each has a write.

    The targets are created before and removed afterwards. The next harness removes those of a
    killed harness, unless it continues the same ``run``. ``rate_per_s`` is each writer's. ``hide``
    gets each new secret. Raises NotProven, TimedOut or TransportError when the writers cannot
    begin.
    """
    unknown = sorted(set(names) - set(WRITERS))
    if unknown:
        raise ConfigError(
            f"the ledger has no writer {', '.join(unknown)}", remedy=f"it has {', '.join(WRITERS)}"
        )
    machines, storage = reach.profile.cluster().machines, reach.profile.storage
    keeps = storage is not None and storage.reclaim_policy == "Retain"
    with (
        targets.namespace(reach.kube, run.partition("/")[0], keeps_volumes=keeps) as space,
        closing(Tunnels(reach.profile.access.ssh, machines)) as tunnels,
    ):
        there = targets.LedgerTargets(reach, space, hide=hide)
        there.deploy(names)
        setup = there.writer_setup(tunnels, run=run, seed=seed)
        with recorded(setup, names, folder=folder, rate_per_s=rate_per_s) as recorder:
            yield recorder


def recorded(
    setup: WriterSetup, names: Collection[str], *, folder: Path, rate_per_s: float
) -> AbstractContextManager[Recorder]:
    """Record a ledger on an existing setup."""
    writers = {name: WRITERS[name](setup) for name in names}
    recorder = Recorder(
        writers, folder=folder, run=setup.run, rate_per_s=rate_per_s, space=setup.space
    )
    return recorder.running()
