"""Starts the generator, waits until a request is answered, and ends it with its results so far.

The generator runs in the network namespace of the harness. It ends when the pipe to it closes: the
harness closes it, or the kernel does when the harness ends for any reason.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from math import inf
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile

from harness.core.errors import NotProven, TimedOut
from harness.core.interrupts import uninterrupted
from harness.core.waiting import until
from harness.facts.loads import Offered
from harness.load.results import Histogram, Results, read
from harness.load.spec import DESERTED, UNCALLED, LoadSpec
from harness.settings import ROOT

# The ingress has this time from the end of the first request; before that, the generator is slow.
_SERVED_WITHIN_S = 30.0
# A busy computer may start it slowly; without any progress for _LIFELESS_S it is not starting.
_STARTS_WITHIN_S = 300.0
_LIFELESS_S = 30.0
# After the deadlines of its visitors' requests, the generator needs this time to end.
_ENDS_WITHIN_S = 15.0
_TAIL = 300


class Running:
    """A load that is being offered; its folder holds the generator's output.

    ``troubles`` lists why its results are not reliable, once it has ended.
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
                start_new_session=True,  # Ctrl-C reaches only the harness, which ends it
            )
        assert self._process.stdin is not None
        self._spec_pipe = self._process.stdin
        with contextlib.suppress(BrokenPipeError):  # ``served`` reports that it ended
            self._spec_pipe.write(spec.line())
            self._spec_pipe.flush()

    def served(
        self,
        *,
        within_s: float = _SERVED_WITHIN_S,
        starts_within_s: float = _STARTS_WITHIN_S,
        lifeless_s: float = _LIFELESS_S,
    ) -> None:
        """Wait until a request is answered; NotProven when none is in time, or the load has ended.

        The ingress has ``within_s`` seconds from the end of the first request. The generator has
        ``starts_within_s`` seconds until then, if it makes progress every ``lifeless_s`` seconds.
        The second of that request is over, too: phases are cut at whole seconds (``Results.cut``),
        so that every later mark has a request before it.
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
            told = dict(seen.errors + seen.limited) or "none"
            raise NotProven(
                f"no request of the load was answered within {within_s:g} s; errors: {told}",
                remedy="check that the sites in `ingress.sites:` of the profile are reachable",
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
            raise NotProven(f"the load generator ended before the first answer: {self._words()}")

    def _sign_of_life(self) -> tuple[int, str]:
        """The generator's output size and CPU time, which change while it makes progress."""
        try:
            stat = Path(f"/proc/{self._process.pid}/stat").read_text(encoding="utf-8")
        except OSError:
            stat = ""
        # After the program's name, which may contain spaces: utime and stime are fields 12 and 13.
        ticks = stat.rpartition(")")[2].split()[11:13]
        return self._seen.stat().st_size, " ".join(ticks)

    def _stage(self) -> str:
        """The last stage that the generator reported."""
        lines = self._seen.read_text(encoding="utf-8").split("\n")[:-1]
        stages = [told["stage"] for line in lines if "stage" in (told := json.loads(line))]
        return stages[-1] if stages else "nothing yet"

    def go_on(self, seconds: float) -> None:
        """Let the load run for so long; shorter if it ends by itself."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)

    def finish(self) -> None:
        """Let the load run until each request of its stages is over.

        However slow the platform is, it is given the time of all deadlines: what is missing then,
        the generator did not offer.
        """
        self.go_on(self._spec.plan.lasts_s + self._spec.thinks_s)
        within_s = self._spec.answers_within_s
        with contextlib.suppress(TimedOut):
            until(self._is_whole, within_s=within_s, every_s=0.5, what="the last answer")

    def _is_whole(self) -> bool:
        found = self._read()
        ended = self._process.poll() is not None
        return ended or (found is not None and found.cut(found.began, inf).is_over)

    def results(self) -> Results | None:
        """End the load, and return its results; None when it never began."""
        asked = time.monotonic()
        self.close()
        found = read(self._seen, self._spec, ended=asked)
        if found is None:
            self.troubles.append(f"the load never began: {self._words()}")
        return found

    def close(self) -> None:
        """End the load: what was due is sent and answered, or given up, when this returns."""
        if self._spec_pipe.closed:
            return
        with uninterrupted():
            if self._process.poll() is not None:
                self.troubles.append(f"the load ended early: {self._words()}")
            with contextlib.suppress(BrokenPipeError):
                self._spec_pipe.close()
            try:
                status = self._process.wait(self._spec.answers_within_s + _ENDS_WITHIN_S)
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
        return read(self._seen, self._spec, ended=time.monotonic())

    def _words(self) -> str:
        said = self._said.read_text(encoding="utf-8", errors="replace").strip()
        return said[-_TAIL:] or "it wrote no message"


def offer(spec: LoadSpec) -> Offered:
    """Offer a load to the end of its stages; NotProven when it cannot begin."""
    with (
        TemporaryDirectory(prefix="cutover-load-") as folder,
        offering(spec, Path(folder, "load")) as running,
    ):
        running.finish()
        results, troubles = running.results(), tuple(running.troubles)
    if results is None:
        raise NotProven(f"the load never began: {'; '.join(troubles)}")
    return Offered(
        stages={name: cut.stage() for name, cut in results.by_stage().items()},
        whole=results.cut(results.began, inf).stage(),
        troubles=troubles,
        busy_percent=results.busy_percent,
        course=results.course(spec.plan.begins()),
    )


def work_for(host: str, port: int, tell: Callable[[str], object]) -> int:
    """Take a share of each load of the master at this address, until no master calls any more.

    The number of loads; NotProven when a load breaks off.
    """
    number, waits = 0, False
    while True:
        if not waits:
            tell(f"waiting for a load of {host}:{port}")
        waits = True
        with (
            TemporaryFile("w+", encoding="utf-8") as said,
            subprocess.Popen(
                [sys.executable, "-m", "harness.load.start", host, str(port)],
                cwd=ROOT,
                stdin=subprocess.PIPE,  # it ends when this closes
                stderr=said,
                start_new_session=True,
            ) as process,
        ):
            status = process.wait()
            said.seek(0)
            words = said.read().strip()[-_TAIL:]
        if status == UNCALLED:
            return number
        if status == DESERTED:
            continue
        if status:
            raise NotProven(f"the load of {host}:{port} broke off: {words}")
        tell("a load is over")
        number, waits = number + 1, False


@contextmanager
def offering(spec: LoadSpec, folder: Path) -> Iterator[Running]:
    """Offer a load; the body starts after the first answer. NotProven when it cannot begin."""
    with closing(Running(spec, folder)) as running:
        running.served()
        yield running
