"""Start the generator, wait until it is served, and end it, with whatever it has seen by then.

It stands in the network namespace of whoever starts it. It ends when the pipe to it is closed: by
us, or by the kernel when we are no more, however we ended.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from math import inf
from pathlib import Path

from harness.errors import NotProven, TimedOut
from harness.load.histogram import Histogram
from harness.load.results import Results, read
from harness.load.spec import LoadSpec
from harness.settings import ROOT
from harness.waiting import uninterrupted, until

# From the first request that is over: until then it is the generator that is waited for.
_SERVED_WITHIN_S = 30.0
# A busy computer may take long to start it; one that does nothing for so long is not starting.
_STARTS_WITHIN_S = 300.0
_LIFELESS_S = 30.0
# Requests under way have their own deadline; then there is little left to do.
_ENDS_WITHIN_S = 15.0
_TAIL = 300


class Running:
    """A load that is being offered; its folder holds what the generator wrote.

    ``troubles`` is why its results are not to be trusted, once it has ended.
    """

    def __init__(self, spec: LoadSpec, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.troubles: list[str] = []
        self._spec = spec
        self._seen, self._said = folder / "seconds.jsonl", folder / "said.txt"
        with self._seen.open("wb") as seen, self._said.open("wb") as said:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "harness.load.start"],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=seen,
                stderr=said,
                text=True,
                start_new_session=True,  # Ctrl-C is for us, who end it in order
            )
        assert self._process.stdin is not None
        self._spec_pipe = self._process.stdin
        with contextlib.suppress(BrokenPipeError):  # its end is told where it is waited for
            self._spec_pipe.write(spec.line())
            self._spec_pipe.flush()

    def served(
        self,
        *,
        within_s: float = _SERVED_WITHIN_S,
        starts_within_s: float = _STARTS_WITHIN_S,
        lifeless_s: float = _LIFELESS_S,
    ) -> None:
        """Wait until a request was answered; NotProven when none is in time, or it has ended.

        The ingress has ``within_s`` seconds from the first request that is over. The generator has
        ``starts_within_s`` seconds until then, as long as it shows life every ``lifeless_s``.
        Its second is over, too: phases are cut at whole ones (``Results.cut``), so that whatever is
        noted after this has a request before it.
        """
        self._started(starts_within_s, lifeless_s)

        def looked() -> bool:
            self._must_run()
            return self._so_far(before=time.monotonic()).answered > 0

        try:
            until(looked, within_s=within_s, every_s=0.2, what="an answer to the load")
        except TimedOut as error:
            seen = self._so_far()
            if seen.limited and not seen.errors:
                raise NotProven(
                    f"the ingress limits our one address: each of the first {seen.limited.total()} "
                    f"requests of the load got 429 Too Many Requests ({dict(seen.limited)})",
                    remedy="ask sites without a limit, or raise it for this computer's address",
                ) from error
            told = dict(seen.errors + seen.limited) or "nothing"
            raise NotProven(
                f"not one request of the load was answered within {within_s:g} s; told: {told}",
                remedy="`ingress.sites:` of the profile say what is asked for",
            ) from error

    def _started(self, within_s: float, lifeless_s: float) -> None:
        """Wait until the generator's first request has ended, answered or failed."""
        sign, seen_at = self._sign_of_life(), time.monotonic()

        def looked() -> bool:
            nonlocal sign, seen_at
            self._must_run()
            now, new = time.monotonic(), self._sign_of_life()
            if new != sign:
                sign, seen_at = new, now
            if now - seen_at > lifeless_s:
                raise NotProven(
                    f"the load generator made no progress for {lifeless_s:g} s and sent the "
                    f"ingress no request (last stage: {self._stage()})",
                    remedy="this computer is too busy to offer a load, or has stopped the process",
                )
            found = self._read()
            return found is not None and bool(found.seconds)

        try:
            until(looked, within_s=within_s, every_s=0.2, what="the load's first request")
        except TimedOut as error:
            raise NotProven(
                f"the load generator completed no request within {within_s:g} s, so the ingress "
                f"was not tested (last stage: {self._stage()})",
                remedy="this computer is too busy to offer a load: stop what else runs here",
            ) from error

    def _must_run(self) -> None:
        if self._process.poll() is not None:
            raise NotProven(f"the load ended before it began: {self._words()}")

    def _sign_of_life(self) -> tuple[int, str]:
        """What changes as long as the generator gets anywhere: its output, its processor time."""
        try:
            stat = Path(f"/proc/{self._process.pid}/stat").read_text(encoding="utf-8")
        except OSError:
            stat = ""
        # After the program's name, which may hold anything: utime and stime are the 12th and 13th.
        ticks = stat.rpartition(")")[2].split()[11:13]
        return self._seen.stat().st_size, " ".join(ticks)

    def _stage(self) -> str:
        """How far the generator came, in its own words."""
        lines = self._seen.read_text(encoding="utf-8").split("\n")[:-1]
        stages = [told["stage"] for line in lines if "stage" in (told := json.loads(line))]
        return stages[-1] if stages else "nothing yet"

    def go_on(self, seconds: float) -> None:
        """Let it go on for so long; less when it ends by itself."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)

    def results(self) -> Results | None:
        """End the load, and say what became of it; None when it never began."""
        asked = time.monotonic()
        self.close()
        found = read(self._seen, self._spec.per_s, ended=asked)
        if found is None:
            self.troubles.append(f"the load never began: {self._words()}")
        return found

    def close(self) -> None:
        """End the load, for good: no request is made after this."""
        if self._spec_pipe.closed:
            return
        with uninterrupted():
            if self._process.poll() is not None:
                self.troubles.append(f"the load ended before its time: {self._words()}")
            with contextlib.suppress(BrokenPipeError):
                self._spec_pipe.close()
            try:
                status = self._process.wait(self._spec.timeout_s + _ENDS_WITHIN_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
                self.troubles.append("the load did not end by itself")
            else:
                if status != 0 and not self.troubles:
                    self.troubles.append(f"the load ended with status {status}: {self._words()}")

    def _so_far(self, before: float = inf) -> Histogram:
        found = self._read()
        return found.cut(0.0, before).seen if found else Histogram()

    def _read(self) -> Results | None:
        return read(self._seen, self._spec.per_s, ended=time.monotonic())

    def _words(self) -> str:
        return self._said.read_text(encoding="utf-8", errors="replace").strip()[-_TAIL:] or "mute"


@contextmanager
def offering(spec: LoadSpec, folder: Path) -> Iterator[Running]:
    """Offer a load, of which a request was answered by then. NotProven when it cannot begin."""
    with closing(Running(spec, folder)) as running:
        running.served()
        yield running
