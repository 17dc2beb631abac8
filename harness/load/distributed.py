"""A load of several computers: Locust's own master and workers carry the plan and the results.

The master runs beside the harness and sends no request. When its workers are there, each gets the
load with its place in it: it takes every n-th visitor of the same plan. Each second it sends its
histograms, which the master writes for ``results``.

No clocks are compared: a worker counts from the moment at which it gets the load, and answers at
once. That answer must come soon, so that the workers begin together. A worker that is lost ends the
load, which then proves nothing.
"""

from __future__ import annotations

import locust  # isort: skip  # noqa: F401 - first: it patches sockets and TLS before any import

import os
import secrets
import sys
import time
from collections import Counter
from collections.abc import Container
from contextlib import suppress
from dataclasses import dataclass, field
from math import floor
from pathlib import Path
from typing import TypedDict

import gevent
from gevent.event import Event
from gevent.socket import wait_read
from locust.env import Environment
from locust.rpc.protocol import Message
from locust.runners import STATE_MISSING, MasterRunner, WorkerRunner

from harness.core.tls import trusting
from harness.load.arrivals import (
    BEGINS_IN_S,
    Arrivals,
    Seconds,
    Write,
    end_at_last,
    hurry,
    open_files,
)
from harness.load.results import Written
from harness.load.spec import DESERTED, UNCALLED, LoadSpec, Workers
from harness.load.visitor import Visitors

_LOOKS_EVERY_S = 0.5
# The rate of no more than these seconds is another one; a stage lasts at least five.
_BEGIN_WITHIN_S = 3.0
# Beyond the deadlines of its visitors' requests, a worker needs this time to send its results.
_ENDS_WITHIN_S = 10.0
# Locust's master answers each of a worker's heartbeats, which come every second.
_MASTER_SILENT_S = 10.0


class Share(TypedDict):
    """A worker's part of a load.

    ``spec`` is a LoadSpec's line, and ``trusted`` the PEM text of its authority. ``first`` is the
    worker's first visitor. ``fraction`` is the part of a second at which the load begins by the
    master's clock, so that both count the same seconds.
    """

    spec: str
    trusted: str | None
    run: str
    first: int
    fraction: float


class _Second(Written):
    """A worker's histogram of one second since the whole second in which the load began."""

    second: int


class _Ended(TypedDict):
    """A worker's last message: its seconds of a processor, and how many histograms it sent."""

    busy_s: float
    histograms: int


@dataclass
class _Master:
    """A load that is led; ``write`` gets its output."""

    spec: LoadSpec
    runner: MasterRunner
    write: Write
    base: int = 0
    came: list[str] = field(default_factory=list)
    began: set[str] = field(default_factory=set)
    histograms: Counter[str] = field(default_factory=Counter)
    ended: dict[str, _Ended] = field(default_factory=dict)
    told: Event = field(default_factory=Event)

    def hear(self) -> None:
        """Take the workers' messages from now on."""

        def ready(msg: Message, **_: object) -> None:
            # One more than asked for gets nothing to do, whenever it comes.
            if msg.node_id not in self.came and len(self.came) < self.spec.processes:
                self.came.append(msg.node_id)
            self.told.set()

        def begun(msg: Message, **_: object) -> None:
            self.began.add(msg.node_id)
            self.told.set()

        def seconds(msg: Message, **_: object) -> None:
            told: _Second = msg.data
            self.write({**told, "second": self.base + told["second"]})
            self.histograms[msg.node_id] += 1

        def ended(msg: Message, **_: object) -> None:
            self.ended[msg.node_id] = msg.data
            self.told.set()

        for name, take in (("ready", ready), ("begun", begun), ("ended", ended)):
            self.runner.register_message(name, take)
        self.runner.register_message("seconds", seconds)

    def gathered(self) -> bool:
        """Wait for the workers; False if the load is ended before they are there."""
        while len(self.came) < self.spec.processes:
            self.write({"stage": f"{len(self.came)} of {self.spec.processes} workers have come"})
            if _is_ended(_LOOKS_EVERY_S):
                return False
        return True

    def begin(self) -> None:
        """Give each worker its share, and see that all of them begin."""
        end_at_last(self.spec.lasts_s + self.spec.answers_within_s + _ENDS_WITHIN_S)
        authority = self.spec.authority
        trusted = None if authority is None else Path(authority).read_text(encoding="ascii")
        run, sent = secrets.token_hex(4), time.monotonic()
        began = sent + BEGINS_IN_S
        self.base = floor(began)
        for first, worker in enumerate(self.came):
            share = Share(
                spec=self.spec.line(),
                trusted=trusted,
                run=run,
                first=first,
                fraction=began - self.base,
            )
            self.runner.send_message("load", dict(share), worker)
        self.write({"began": began, "stage": "the workers send requests"})
        self._wait_for(self.began, _BEGIN_WITHIN_S, "did not begin with the others")

    def lead_on(self) -> float:
        """Wait for the end of the load: when that was. SystemExit when a worker is lost."""
        while not _is_ended(_LOOKS_EVERY_S):
            for worker in self.came:
                node = self.runner.clients.get(worker)
                if node is None or node.state == STATE_MISSING:
                    sys.exit(f"the worker {worker} is lost")
        return time.monotonic()

    def end(self, ended: float) -> None:
        """Let the workers end, with their last results; SystemExit if some of them are lost."""
        for worker in self.came:
            self.runner.send_message("end", None, worker)
        within_s = self.spec.answers_within_s + _ENDS_WITHIN_S
        self._wait_for(self.ended, within_s, "did not send its last results")
        for worker, told in self.ended.items():
            if (lost := told["histograms"] - self.histograms[worker]) != 0:
                sys.exit(f"{lost} of {told['histograms']} results of the worker {worker} are lost")
            self.write({"ended": ended, "busy_s": told["busy_s"]})

    def _wait_for(self, those: Container[str], within_s: float, what: str) -> None:
        """Wait until each worker is among those; SystemExit if one is not in time."""
        until = time.monotonic() + within_s
        while missing := [it for it in self.came if it not in those]:
            left_s = until - time.monotonic()
            if left_s <= 0:
                sys.exit(f"the worker {missing[0]} {what} ({len(missing)} of {len(self.came)})")
            self.told.clear()
            self.told.wait(left_s)


def _is_ended(within_s: float) -> bool:
    """True if the harness closes the input within this time."""
    with suppress(TimeoutError):
        wait_read(sys.stdin.fileno(), timeout=within_s)
        return True
    return False


def lead(spec: LoadSpec, workers: Workers, write: Write) -> None:
    """Offer a load by workers, until the harness ends it; SystemExit says what went wrong."""
    environment = Environment(user_classes=[Arrivals])
    runner = environment.create_master_runner(workers.listen, workers.port)
    master = _Master(spec, runner, write)
    master.hear()
    try:
        if master.gathered():
            master.begin()
            master.end(master.lead_on())
    finally:
        runner.quit()


class _Worker:
    """A worker, which waits for one load and takes its share of it."""

    def __init__(self, runner: WorkerRunner, environment: Environment) -> None:
        self.runner = runner
        self.heard = time.monotonic()
        self.sent = 0
        self.has_load = False
        environment.events.heartbeat_received.add_listener(self._hear)
        runner.register_message("load", self._begin)
        # It waits for the last answers.
        runner.register_message("end", self._end, concurrent=True)
        runner.send_message("ready")

    def _hear(self, **_: object) -> None:
        self.heard = time.monotonic()

    def _begin(self, msg: Message, **_: object) -> None:
        began = time.monotonic() + BEGINS_IN_S
        self.has_load = True
        self.runner.send_message("begun")
        share: Share = msg.data
        spec = LoadSpec.from_line(share["spec"])
        end_at_last(spec.lasts_s + spec.answers_within_s)
        open_files(spec.connections)
        trust = trusting(pem=share["trusted"])
        self.seconds = Seconds(share["fraction"], self._send)
        Arrivals.first = share["first"]
        Arrivals.visitors = Visitors(spec, trust, share["run"], began, self.seconds.record)
        self.runner.start_worker({Arrivals.__name__: 1})
        self.writing = gevent.spawn(self.seconds.write_on)

    def _send(self, data: dict[str, object]) -> None:
        self.sent += 1
        self.runner.send_message("seconds", data)

    def _end(self, **_: object) -> None:
        busy_s = self.seconds.busy_s
        Arrivals.visitors.leave(time.monotonic())
        self.runner.stop()
        self.writing.kill()
        self.seconds.write()
        told = _Ended(busy_s=busy_s, histograms=self.sent)
        self.runner.send_message("ended", dict(told))

    def work(self) -> None:
        """Wait until the master ends it; SystemExit if the master is silent."""
        while not self.runner.greenlet.join(timeout=1):
            if time.monotonic() - self.heard > _MASTER_SILENT_S:
                silent = f"the master was silent for {_MASTER_SILENT_S:g} s"
                sys.exit(silent if self.has_load else DESERTED)


def follow(host: str, port: int) -> None:
    """Take a share of the next load of this master; ends with UNCALLED or DESERTED without one."""
    hurry()
    gevent.spawn(_end_with_input)
    environment = Environment(user_classes=[Arrivals])
    try:
        runner = environment.create_worker_runner(host, port)
    except ConnectionError:
        sys.exit(UNCALLED)
    _Worker(runner, environment).work()


def _end_with_input() -> None:
    """End this process when the one that started it closes its input, or is gone."""
    wait_read(sys.stdin.fileno())
    os._exit(1)
