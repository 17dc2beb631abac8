"""The program that generates the load, in its own process: ``start`` loads and runs it.

Its standard input is one line, the LoadSpec. The load ends when the harness closes that input, or
when the harness itself ends. Its standard output is what ``results`` reads.

A load of several processes forks them when it knows its begin. Each takes every n-th visitor of the
same plan, and writes to the same output, of which each second is merged. A load of several
computers is ``distributed``.
"""

from __future__ import annotations

import locust  # isort: skip  # noqa: F401 - first: it patches sockets and TLS before any import

import contextlib
import json
import os
import secrets
import sys
import time

import gevent
from gevent.socket import wait_read
from locust.env import Environment

from harness.core.tls import trusting
from harness.load.arrivals import BEGINS_IN_S, Arrivals, Seconds, end_at_last, hurry, open_files
from harness.load.distributed import lead
from harness.load.spec import LoadSpec
from harness.load.visitor import Visitors


def say(data: dict[str, object]) -> None:
    # One write per line: a reader sees at most one partial line, and only for a moment.
    sys.stdout.write(json.dumps(data) + "\n")
    sys.stdout.flush()


def main() -> None:
    hurry()
    say({"stage": "reading what to send"})
    spec = LoadSpec.from_line(sys.stdin.readline())
    if spec.workers is not None:
        lead(spec, spec.workers, say)
        return
    open_files(spec.connections)
    trust, run = trusting(file=spec.authority), secrets.token_hex(4)
    began = time.monotonic() + BEGINS_IN_S
    say({"began": began, "stage": "sending requests"})
    Arrivals.first, others = _forked(spec.processes)
    end_at_last(spec.lasts_s + spec.answers_within_s)
    seconds = Seconds(began, say)
    Arrivals.visitors = Visitors(spec, trust, run, began, seconds.record)
    _generate(spec.lasts_s, seconds)
    # The process that the harness started ends last, and badly if another one did.
    if any(os.waitpid(other, 0)[1] for other in others):
        sys.exit("one of the processes of the load did not end well")


def _forked(processes: int) -> tuple[int, list[int]]:
    """Become so many processes: the number of this one, and the others, in the first one."""
    others: list[int] = []
    for number in range(1, processes):
        other = os.fork()
        if other == 0:
            return number, []
        others.append(other)
    return 0, others


def _generate(lasts_s: float, seconds: Seconds) -> None:
    """Let this process's visitors come until the load ends, and write their results."""
    runner = Environment(user_classes=[Arrivals]).create_local_runner()
    runner.start(1, spawn_rate=1)
    writing = gevent.spawn(seconds.write_on)
    with contextlib.suppress(TimeoutError):
        wait_read(sys.stdin.fileno(), timeout=lasts_s)
    ended, busy_s = time.monotonic(), seconds.busy_s
    Arrivals.visitors.leave(ended)
    runner.quit()
    writing.kill()
    seconds.write()
    say({"ended": ended, "busy_s": busy_s})
