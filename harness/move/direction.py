"""One direction of a switch: the steps from one PostgreSQL to the other, each with its condition.

The way back is the same in the other direction, so a rollback is no program of its own.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from harness.backup.equality import catalogue
from harness.core.errors import TimedOut
from harness.core.waiting import until
from harness.facts.switch import Step
from harness.move import stream
from harness.move.side import BACK, BEATS, SCHEMA, NotMet, Side, Thaw
from harness.move.stream import Stream
from harness.move.walk import Planned

_SET = "select setval(%s::regclass, %s)"
_SOON_S = 0.02


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How long each condition may take (s), the copy, the freeze, and the oldest transaction."""

    step_s: float
    copy_s: float
    freeze_s: float
    transaction_s: float


@dataclass(kw_only=True)
class Direction:
    """From ``origin`` to ``goal``: both streams of each database, and who follows them.

    ``turn_writers`` makes writers use a side; ``wrote`` is True once one of them has written to the
    goal since. ``queues`` waits until those of the origin are drained; None: they do not count.
    ``on_freeze`` is called as the freeze begins.
    """

    origin: Side
    goal: Side
    streams: tuple[Stream, ...]
    back: tuple[Stream, ...]
    limits: Limits
    turn_writers: Callable[[Side], object]
    wrote: Callable[[], bool]
    on_freeze: Callable[[], object]
    queues: Callable[[], str] | None = None
    frozen_s: float | None = None
    _thaw: Thaw | None = None
    _began: float = 0.0
    _turned: bool = False

    @property
    def databases(self) -> tuple[str, ...]:
        return tuple(it.database for it in self.streams)

    def there(self) -> Iterator[Planned]:
        """The steps from the first stream to a heartbeat that comes back."""
        yield Planned(step=Step.STREAMS, act=self.start_streams, back=self.remove_streams)
        yield Planned(step=Step.LAG, act=self.catch_up)
        yield Planned(step=Step.LONG, act=self.no_long_transaction)
        yield Planned(step=Step.BACK, act=lambda: self.beat_back(BACK))
        yield from self._drain()
        yield Planned(step=Step.FREEZE, act=self.freeze, back=self.thaw)
        yield Planned(step=Step.CAUGHT_UP, act=self.catch_up)
        yield Planned(step=Step.SEQUENCES, act=self.carry_sequences)
        yield Planned(step=Step.TURN, act=self.turn_streams)
        yield Planned(step=Step.SWITCH, act=self.switch, back=self.switch_back)
        yield Planned(step=Step.FIRST_WRITE, act=self.first_write)
        yield Planned(step=Step.BACK_AGAIN, act=lambda: self.beat_back(BEATS))

    def rollback(self) -> Iterator[Planned]:
        """The steps back, over streams that were turned round before."""
        yield Planned(step=Step.LAG, act=self.catch_up)
        yield Planned(step=Step.LONG, act=self.no_long_transaction)
        yield from self._drain()
        yield Planned(step=Step.FREEZE, act=self.freeze, back=self.thaw)
        yield Planned(step=Step.CAUGHT_UP, act=self.catch_up)
        yield Planned(step=Step.SEQUENCES, act=self.carry_sequences)
        yield Planned(step=Step.SWITCH, act=self.switch)
        yield Planned(step=Step.FIRST_WRITE, act=self.first_write)

    def _drain(self) -> Iterator[Planned]:
        if self.queues is not None:
            yield Planned(step=Step.QUEUES, act=self.queues)

    # --- the steps ---

    def start_streams(self) -> str:
        """Make the streams in both directions, and wait for the copy of the rows."""
        for it in self.streams:
            it.make(stream.tables(it.origin, it.database, without=BACK), copies=True)
        for it in self.back:
            it.make([(SCHEMA, BACK)], copies=False)
        self._until(
            lambda: all(it.has_copied() for it in self.streams),
            self.limits.copy_s,
            f"{self.goal.name} has copied every table",
        )
        return f"every table is copied to {self.goal.name}"

    def remove_streams(self) -> None:
        """Remove the streams of both directions, unless one of them is the way back."""
        if self._turned:
            raise NotMet(f"the stream to {self.origin.name} stays: it is the way back")
        for name in self.databases:
            for error in stream.removed((self.origin, self.goal), name):
                raise error

    def catch_up(self) -> str:
        """Wait until the goal has all that the origin has written by now.

        The stream applies transactions in their order: a heartbeat that has come shows that all
        before it have.
        """
        name = secrets.token_hex(8)
        for it in self.databases:
            self.origin.beat(it, name)
        positions = [(it, it.position()) for it in self.streams]
        reached = f"{self.goal.name} has reached {', '.join(at for _, at in positions)}"
        self._until(
            lambda: all(
                it.has_reached(at) and self.goal.has_beat(it.database, name) for it, at in positions
            ),
            self.limits.step_s,
            reached,
        )
        return reached

    def no_long_transaction(self) -> str:
        """Wait until no transaction is older than is allowed: the freeze would end it."""
        oldest_s = self.limits.transaction_s
        found: list[str] = []

        def none() -> bool:
            found[:] = [
                f"{name}: {it}"
                for name in self.databases
                for it in self.origin.long_transactions(name, oldest_s)
            ]
            return not found

        try:
            until(none, within_s=self.limits.step_s, every_s=0.2, what="no long transaction")
        except TimedOut as error:
            raise NotMet(f"expected no transaction over {oldest_s:g} s, seen {found[0]}") from error
        return f"no transaction is older than {oldest_s:g} s"

    def beat_back(self, table: str) -> str:
        """Wait until a heartbeat that is written at the goal comes to the origin."""
        name = secrets.token_hex(8)
        for database in self.databases:
            self.goal.beat(database, name, table=table)
        self._until(
            lambda: all(self.origin.has_beat(it, name, table=table) for it in self.databases),
            self.limits.step_s,
            f"a heartbeat of {self.goal.name} has come to {self.origin.name}",
        )
        return f"a heartbeat of {self.goal.name} has come to {self.origin.name}"

    def freeze(self) -> str:
        """Stop every writer of the origin, and have a write refused."""
        self.on_freeze()
        self._began = time.monotonic()
        self._thaw = Thaw(self.origin, self.databases, self.limits.freeze_s)
        for name in self.databases:
            self.origin.shut(name)
        self._until(
            lambda: all(map(self.origin.end_clients, self.databases)),
            self.limits.step_s,
            f"{self.origin.name} has no client",
        )
        return self._refused()

    def _refused(self) -> str:
        said = {name: self.origin.refusal(name) for name in self.databases}
        for name, refusal in said.items():
            if refusal is None:
                raise NotMet(f"{self.origin.name} has accepted a write to {name} after the freeze")
        return f"a write is refused: {next(iter(said.values()))}"

    def carry_sequences(self) -> str:
        """Set each sequence of the goal to the origin's last value, or its column's greatest."""
        number = 0
        for name in self.databases:
            before = self.origin.read(name, catalogue.last_values, within_s=self.limits.step_s)
            look = partial(catalogue.sequences, before)
            found = self.goal.read(name, look, within_s=self.limits.step_s)
            if missing := sorted(before.keys() - found.keys()):
                raise NotMet(
                    f"{self.goal.name}, {name}: expected every sequence of {self.origin.name}, "
                    f"seen no {missing[0]}"
                )
            for sequence, at in found.items():
                if at.is_behind:
                    self.goal.ask(name, _SET, [sequence, at.expected])
                number += 1
            now = self.goal.read(name, look, within_s=self.limits.step_s)
            behind = [sequence for sequence, at in now.items() if at.is_behind]
            if behind:
                raise NotMet(f"{self.goal.name}, {name}: {behind[0]} is behind")
        return f"{number} sequences are no lower than at {self.origin.name}, and than their columns"

    def turn_streams(self) -> str:
        """Stop the stream there; the stream back carries every table from now on."""
        for it in self.streams:
            it.stop()
        for it in self.back:
            it.widen(stream.tables(it.origin, it.database))
        return f"{self.goal.name} sends every table to {self.origin.name}"

    def switch(self) -> str:
        """Let writers use the goal; from now on the origin stays frozen."""
        self._stay_frozen()
        self._turned = True
        for name in self.databases:
            # After a switch the other way it is still frozen.
            self.goal.thaw(name)
        self.turn_writers(self.goal)
        return f"writers use {self.goal.name}"

    def first_write(self) -> str:
        """Wait for the goal's first acknowledged write; then the origin is open for reading."""
        self._until(self.wrote, self.limits.step_s, f"{self.goal.name} has acknowledged a write")
        self.frozen_s = round(time.monotonic() - self._began, 3)
        for name in self.databases:
            self.origin.open_for_reading(name)
        return f"{self.goal.name} acknowledged a write; at {self.origin.name} {self._refused()}"

    # --- the ways back ---

    def thaw(self) -> None:
        """Let writers use the origin again; NotMet while some may use the goal."""
        self._disarm()
        if self._turned:
            raise NotMet(f"{self.origin.name} stays frozen: writers use {self.goal.name}")
        for name in self.databases:
            self.origin.thaw(name)

    def _stay_frozen(self) -> None:
        """From now on the origin stays frozen; NotMet if it may have taken writes meanwhile."""
        if not self._disarm():
            raise NotMet(
                f"expected the switch within {self.limits.freeze_s:g} s of the freeze: "
                f"{self.origin.name} may have thawed by itself"
            )

    def _disarm(self) -> bool:
        """The server does not thaw by itself any more; False if it has."""
        thaw, self._thaw = self._thaw, None
        return thaw is None or thaw.disarm()

    def switch_back(self) -> None:
        """Bring what was written at the goal to the origin, and let writers use that again."""
        if not self._turned:
            return
        reverse = Direction(
            origin=self.goal,
            goal=self.origin,
            streams=self.back,
            back=(),
            limits=self.limits,
            turn_writers=self.turn_writers,
            wrote=lambda: True,
            on_freeze=lambda: None,
        )
        try:
            reverse.freeze()
            reverse.catch_up()
            reverse.carry_sequences()
            reverse._stay_frozen()
        except BaseException:
            reverse.thaw()  # writers stay where they are
            raise
        reverse.leave()
        self._turned = False

    def leave(self) -> None:
        """Let writers use the goal, and the origin take none: some may still know its address."""
        self.turn_writers(self.goal)
        for name in self.databases:
            self.origin.open_for_reading(name)

    def _until(self, look: Callable[[], bool], within_s: float, what: str) -> None:
        try:
            until(look, within_s=within_s, every_s=_SOON_S, what=what)
        except TimedOut as error:
            raise NotMet(str(error)) from error
