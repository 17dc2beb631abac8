"""A front that divides by chance and follows late, and its visitors, in simulated time.

An hour takes a second: nothing waits, and each look gets the answers that would have come by then.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest

from harness.facts.schema import Known
from harness.facts.shift import Sessions
from harness.faults.model import Undo
from harness.move.answers import SOURCE, TARGET, Answer
from harness.move.shift import Mover, Order, Parts
from harness.move.way_back import WayBack
from harness.settings.shift import Shift as Declared
from harness.tests.fake_front import DECLARED

MODULES = ("core.waiting", "move.shift", "move.watch", "move.evidence")
VISITORS = 5
_EVERY_S = 2.0


@dataclass
class Simulated:
    """The front follows a command after ``follows_s`` seconds; in the places of ``deaf`` never.

    ``fails`` is the part of failed requests of each side; ``nameless`` of those that name no side.
    """

    chance: Random
    follows_s: float = 3.0
    deaf: frozenset[int] = frozenset()  # to these commands, by their number
    fails: dict[str, float] = field(default_factory=dict)
    now: float = 1000.0
    said: int = 0
    commands: int = 0
    changes: list[tuple[float, int]] = field(default_factory=lambda: [(0.0, 0)])
    answers: list[Answer] = field(default_factory=list)
    sent: float = 1000.0
    served: dict[int, tuple[float, str]] = field(default_factory=dict)
    visited: float = 1000.0
    visitor: int = 0

    # --- the time ---

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    # --- the front ---

    def set(self, share: int) -> None:
        self.said = share
        self.commands += 1
        self.now += 0.3
        if self.commands not in self.deaf:
            self.changes.append((self.now + self.chance.uniform(0, self.follows_s), share))

    def read(self) -> int:
        return self.said

    def side(self, at: float) -> str:
        _, share = self.changes[bisect_right(self.changes, (at, 101)) - 1]
        return TARGET if self.chance.random() * 100 < share else SOURCE

    # --- the way back ---

    def arm(self, undo: Undo) -> None: ...

    def renew(self, undo: Undo) -> bool:
        return bool(undo)

    def heal(self, undo: Undo) -> None:
        self.set(int(undo.commands[0][-1]))

    # --- the answers ---

    def come(self, per_s: float) -> None:
        while self.sent < self.now:
            self.sent += 1 / per_s
            took_s = self.chance.lognormvariate(-4, 0.5)
            side = self.side(self.sent + took_s / 2)
            failed = self.chance.random() < self.fails.get(side, 0.0)
            self.answers.append(Answer(self.sent, took_s, side, "status 502" if failed else None))

    def since(self, moment: float) -> Sequence[Answer]:
        self.come(200)
        first = bisect_left(self.answers, moment, key=lambda it: it.at)
        return [it for it in self.answers[first:] if it.at + it.took_s <= self.now]

    def pending(self) -> Collection[float]:
        self.come(200)
        return [it.at for it in self.answers[-200:] if it.at + it.took_s > self.now]

    def stalled_s(self, moment: float) -> float:
        return 0.0 * moment

    # --- the visitors ---

    def visit(self) -> None:
        while self.visited < self.now:
            self.served[self.visitor] = (self.visited, self.side(self.visited))
            self.visitor = (self.visitor + 1) % VISITORS
            self.visited += _EVERY_S / VISITORS

    def changed(self) -> None:
        self.visit()

    def on_target(self, since: float) -> tuple[str, ...]:
        self.visit()
        return tuple(
            f"visitor {number}"
            for number, (at, side) in self.served.items()
            if at >= since and side == TARGET
        )

    def unserved(self, since: float) -> tuple[str, ...]:
        self.visit()
        late = (it for it in range(VISITORS) if self.served.get(it, (0.0, ""))[0] < since)
        return tuple(f"visitor {number}" for number in late)

    def result(self) -> Sessions:
        return Sessions(visitors=VISITORS, requests=1, failed=0, lost={}, silent=())

    # --- a move ---

    def mover(self, order: Order, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> Mover:
        for name in MODULES:
            monkeypatch.setattr(f"harness.{name}.time", self)
        sampling = {"per_s": 200, "hold_s": 2, "within_s": 600}
        told = {**DECLARED, "steps": [1, 5, 50, 100], "sampling": sampling, **changes}
        declared = Declared.model_validate(told)
        return Mover(
            parts=Parts(
                declared=declared,
                front=self,
                way_back=WayBack(self, declared.front.machine, declared.front.command),
                samples=self,
                needs=lambda: {"the registry answers": ""},
                numbers=lambda: {"first invoice": Known(7)},
                tell=lambda _: None,
                record=lambda *_: None,
            ),
            order=order,
            visitors=self,
        )
