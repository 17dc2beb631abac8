"""What every process of a load does: visitors come by the plan, and are counted by the second.

Of Locust it uses the life of a user: one user of each process lets the visitors come. Locust's own
users send nothing while they wait for an answer, and its statistics round.
"""

from __future__ import annotations

import locust  # isort: skip  # first: it patches sockets and TLS before any import of them

import contextlib
import os
import resource
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from math import floor
from typing import ClassVar

import gevent
from locust.exception import StopUser

from harness.load.results import Histogram
from harness.load.visitor import Limited, Visitors

# The first request is due after this time, when each process is there.
BEGINS_IN_S = 0.5
# If the generator hangs, the kernel ends it (SIGALRM) this long after the end of the load.
_GRACE_S = 30.0
_WRITES_EVERY_S = 1.0
# The files of a process that are no connections to the platform.
_OWN_FILES = 100

Write = Callable[[dict[str, object]], object]


class Arrivals(locust.User):
    """Lets the visitors of this process come, to the end of the plan."""

    visitors: ClassVar[Visitors]
    first: ClassVar[int]

    @locust.task
    def arrive(self) -> None:
        self.visitors.come(self.first)
        raise StopUser


class Seconds:
    """Counts requests by the second in which they were due, and writes new counts.

    ``began`` is the begin of the load by the clock whose seconds are meant.
    """

    def __init__(self, began: float, write: Write) -> None:
        self._began, self._write = began, write
        self._new: defaultdict[int, Histogram] = defaultdict(Histogram)
        self._busy = time.process_time()

    def record(self, at: float, took_s: float, *, on_time: bool, error: Exception | None) -> None:
        """Count a request that is over."""
        bucket = self._new[floor(self._began + at)]
        if isinstance(error, Limited):
            bucket.add_limited(error.host, error.retry_after_s, on_time=on_time)
        else:
            kind = None if error is None else str(error)
            bucket.add(took_s, on_time=on_time, error=kind)

    @property
    def busy_s(self) -> float:
        """The seconds of a processor that this process used since the begin."""
        return time.process_time() - self._busy

    def write(self) -> None:
        written, self._new = self._new, defaultdict(Histogram)
        for second, bucket in sorted(written.items()):
            self._write({"second": second, **bucket.to_json()})

    def write_on(self) -> None:
        while True:
            gevent.sleep(_WRITES_EVERY_S)
            self.write()


def hurry() -> None:
    """Be on time: as root it gets real-time priority, and it sleeps nearly all the time.

    A nice value would count only among the processes of one session.
    """
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))


def open_files(connections: int) -> None:
    """Be allowed so many connections at once; SystemExit if this computer does not permit them.

    With the usual 1024, a platform that is slow would look like a generator that sends nothing.
    """
    wanted = connections + _OWN_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), max(hard, wanted)))
    except (OSError, ValueError):
        sys.exit(
            f"a process of this load may need {wanted} open files, and this computer permits "
            f"{hard}: raise `ulimit -Hn`, or share the load among more processes"
        )


def end_at_last(lasts_s: float) -> None:
    """Let the kernel end this process if it hangs after the end of the load."""
    signal.alarm(floor(lasts_s + _GRACE_S))
