"""A front in memory, the platforms behind it, and the machine on which the way back waits.

``calls_left`` kills the harness: from that call on, none of its calls reaches anything.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from harness.core.errors import TransportError
from harness.facts.schema import Known
from harness.facts.shift import Sessions
from harness.faults.model import Undo
from harness.move.answers import SOURCE, TARGET, Answer
from harness.move.shift import Mover, Order, Parts
from harness.move.way_back import WayBack
from harness.record.records import ShiftEvent
from harness.settings.shift import Shift as Declared

BATCH = 1000
DECLARED: dict[str, Any] = {
    "front": {
        "machine": "vmi2887102",
        "address": "10.0.0.2",
        "set": ["cutover-front", "{share}"],
        "read": ["cutover-front"],
    },
    "steps": [10, 50, 100],
    "requests": [{"host": "app.example.com", "path": "/"}],
    "side": {"header": "X-Side", "source": "swarm", "target": "rke2"},
    "sampling": {"hold_s": 0, "within_s": 2, "per_s": 1000},
    "errors": {"p0": 0.01, "p1": 0.2, "alpha": 0.05, "beta": 0.05},
    "no_return": {"counts": {"first invoice": {"machine": "vmi2887101", "count": ["count"]}}},
}


class Killed(BaseException):
    """The harness does not run any more."""


@dataclass
class World:
    """The front with both platforms, and the armed way back.

    The new platform fails from the share ``sick_at`` on; if it is ``dead``, its errors name no
    side. With ``stuck``, the front takes commands and does not follow them.
    """

    share: int = 0
    sick_at: int = 101
    dead: bool = False
    stuck: bool = False
    source_fails: bool = False
    slow: bool = False
    stall_s: float = 0.0
    deaf: int = 0  # so many commands fail
    lags: float = 1.0  # the part of a share that requests follow: not all of the front has it
    unheard: frozenset[int] = frozenset()  # arming these shares works, and its answer is lost
    calls_left: int = 1_000_000
    armed: Undo | None = None
    was_set: list[int] = field(default_factory=list)
    events: list[tuple[int, ShiftEvent]] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)
    answers: list[Answer] = field(default_factory=list)
    numbers: count[int] = field(default_factory=count)

    def called(self) -> None:
        self.calls_left -= 1
        if self.calls_left < 0:
            raise Killed

    # --- the front ---

    def set(self, share: int) -> None:
        self.called()
        if self.deaf:
            self.deaf -= 1
            raise TransportError("vmi2887102: no route to host")
        self.follow(share)

    def follow(self, share: int) -> None:
        self.was_set.append(share)
        if not self.stuck:
            self.share = share

    def read(self) -> int:
        self.called()
        return self.was_set[-1] if self.was_set else self.share

    # --- the store of the way back ---

    def arm(self, undo: Undo) -> None:
        self.called()
        self.armed = undo
        if int(undo.commands[0][-1]) in self.unheard:
            raise TransportError("vmi2887102: no answer within 30 s")

    def renew(self, undo: Undo) -> bool:
        self.called()
        return self.armed is not None and self.armed.id == undo.id

    def heal(self, undo: Undo) -> None:
        self.called()
        assert self.armed in (None, undo)
        self.expire()

    def expire(self) -> None:
        """The lease ends: the machine runs what is armed."""
        if self.armed is not None:
            (command,) = self.armed.commands
            self.follow(int(command[-1]))
            self.armed = None

    # --- the answers ---

    def since(self, moment: float) -> Sequence[Answer]:
        self.called()
        self.answers += [self.answer() for _ in range(BATCH)]
        return [it for it in self.answers if it.at >= moment]

    def pending(self) -> Sequence[float]:
        return ()

    def stalled_s(self, moment: float) -> float:
        return self.stall_s if moment else 0.0

    def answer(self) -> Answer:
        number, at = next(self.numbers), time.monotonic()
        # Spread evenly, as a front that counts weights in rounds does.
        share = self.share * self.lags
        on_target = number * share // 100 != (number + 1) * share // 100
        side = TARGET if on_target else SOURCE
        took_s = 0.5 if self.slow and on_target else 0.0002
        if on_target and self.share >= self.sick_at:
            return Answer(at, took_s, None if self.dead else side, "status 502")
        return Answer(at, took_s, side, "status 500" if self.source_fails else None)

    # --- a move ---

    def mover(self, order: Order, **changes: Any) -> Mover:
        declared = Declared.model_validate({**DECLARED, **changes})
        return Mover(
            parts=Parts(
                declared=declared,
                front=self,
                way_back=WayBack(self, declared.front.machine, declared.front.command),
                samples=self,
                needs=lambda: {"the registry answers": "", **self.missing},
                numbers=lambda: {"first invoice": Known(7)},
                tell=lambda _: None,
                record=lambda share, event: self.events.append((share, event)),
            ),
            order=order,
        )


@dataclass
class FakeVisitors:
    """Visitors, of whom some stay on the new platform."""

    behind: tuple[str, ...] = ()
    silent: tuple[str, ...] = ()
    lost: Mapping[str, str] = field(default_factory=dict)

    def changed(self) -> None:
        """They are always served."""

    def on_target(self, since: float) -> tuple[str, ...]:
        assert since
        return self.behind

    def unserved(self, since: float) -> tuple[str, ...]:
        assert since
        return self.silent

    def result(self) -> Sessions:
        return Sessions(visitors=3, requests=30, failed=0, lost=self.lost, silent=())
