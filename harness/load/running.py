"""Start the generator, wait until it is served, and end it, with whatever it has seen by then.

It stands in the network namespace of whoever starts it. It ends when the pipe to it is closed: by
us, or by the kernel when we are no more, however we ended.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from math import inf
from pathlib import Path

from harness.errors import NotProven, TimedOut
from harness.load.buckets import Bucket
from harness.load.order import Order
from harness.load.results import Results, read
from harness.settings import ROOT
from harness.waiting import uninterrupted, until

_SERVED_WITHIN_S = 30.0
# Requests under way have their own deadline; then there is little left to do.
_ENDS_WITHIN_S = 15.0
_TAIL = 300


class Running:
    """A load that is being offered; its folder holds what the generator wrote.

    ``troubles`` is why its results are not to be trusted, once it has ended.
    """

    def __init__(self, order: Order, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.troubles: list[str] = []
        self._order = order
        self._seen, self._said = folder / "seconds.jsonl", folder / "said.txt"
        with self._seen.open("wb") as seen, self._said.open("wb") as said:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "harness.load.generator"],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=seen,
                stderr=said,
                text=True,
                start_new_session=True,  # Ctrl-C is for us, who end it in order
            )
        assert self._process.stdin is not None
        self._order_pipe = self._process.stdin
        with contextlib.suppress(BrokenPipeError):  # its end is told where it is waited for
            self._order_pipe.write(order.line())
            self._order_pipe.flush()

    def served(self, *, within_s: float = _SERVED_WITHIN_S) -> None:
        """Wait until a request was answered; NotProven when none is in time, or it has ended.

        Its second is over, too: phases are cut at whole ones (``Results.cut``), so that whatever is
        noted after this has a request before it.
        """

        def looked() -> bool:
            if self._process.poll() is not None:
                raise NotProven(f"the load ended before it began: {self._words()}")
            return self._so_far(before=time.monotonic()).answered > 0

        try:
            until(looked, within_s=within_s, every_s=0.2, what="an answer to the load")
        except TimedOut as error:
            told = dict(self._so_far().errors) or "nothing"
            raise NotProven(
                f"not one request of the load was answered within {within_s:g} s; told: {told}",
                remedy="`ingress.sites:` and `ingress.paths:` of the profile say what is asked for",
            ) from error

    def go_on(self, seconds: float) -> None:
        """Let it go on for so long; less when it ends by itself."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)

    def results(self) -> Results | None:
        """End the load, and say what became of it; None when it never began."""
        asked = time.monotonic()
        self.close()
        found = read(self._seen, self._order.per_s, ended=asked)
        if found is None:
            self.troubles.append(f"the load never began: {self._words()}")
        return found

    def close(self) -> None:
        """End the load, for good: no request is made after this."""
        if self._order_pipe.closed:
            return
        with uninterrupted():
            if self._process.poll() is not None:
                self.troubles.append(f"the load ended before its time: {self._words()}")
            with contextlib.suppress(BrokenPipeError):
                self._order_pipe.close()
            try:
                status = self._process.wait(self._order.timeout_s + _ENDS_WITHIN_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
                self.troubles.append("the load did not end by itself")
            else:
                if status != 0 and not self.troubles:
                    self.troubles.append(f"the load ended with status {status}: {self._words()}")

    def _so_far(self, before: float = inf) -> Bucket:
        found = read(self._seen, self._order.per_s, ended=time.monotonic())
        return found.cut(0.0, before).seen if found else Bucket()

    def _words(self) -> str:
        return self._said.read_text(encoding="utf-8", errors="replace").strip()[-_TAIL:] or "mute"


@contextmanager
def offering(order: Order, folder: Path) -> Iterator[Running]:
    """Offer a load, of which a request was answered by then. NotProven when it cannot begin."""
    with closing(Running(order, folder)) as running:
        running.served()
        yield running
