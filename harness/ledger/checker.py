"""Compares the events of a history with what was read back, and returns the results.

The rules are those of Jepsen's set-full. An acknowledged write must be there at the end, once. A
write with an unknown outcome may be there. No other write may be there. All writers of a kind
(``postgres/0`` is of ``postgres``) are counted together.

A writer numbers its writes 0, 1, 2 …. The checker stores only a state, a time and a count per
write: time and memory grow only with the number of writes.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TypeAlias

from harness.core.errors import NotProven
from harness.ledger.history import DUE, FAIL, INFO, INVOKE, MARK, OK, STOP, TOTAL, Event
from harness.ledger.result import FAULT, LedgerPhase, LedgerResult
from harness.record.journal import utc_text

# A writer, and the number of one of its writes that was found.
Found: TypeAlias = tuple[str, int]

_EXAMPLES = 5
_STATES: Mapping[str, int] = {INVOKE: 1, OK: 2, FAIL: 3, INFO: 4}
_INVOKED, _OK, _FAIL = (_STATES[what] for what in (INVOKE, OK, FAIL))
_MOST = 255
_US = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One reading of all writes of a kind, or why it failed (``error``).

    ``began_us`` is when it began, by the history's monotonic clock.
    """

    by: str
    began_us: int
    found: Iterable[Found] = ()
    error: str = ""


def results(
    events: Iterable[Event], readings: Mapping[str, Sequence[Reading]], *, wall_s: float = 0.0
) -> Mapping[str, LedgerResult]:
    """The result of each kind of writer; ``wall_s`` is the time of day at zero of the clock.

    The last successful reading shows what was there at the end; the earlier readings show stale
    reads. NotProven when the events cannot be those of a history.
    """
    account = _Account()
    account.feed(events)
    kinds = {**dict.fromkeys(account.kinds), **dict.fromkeys(readings)}
    return {kind: _result(account, kind, readings.get(kind, ()), wall_s) for kind in kinds}


@dataclass(slots=True)
class _Span:
    """From one mark to the next: a kind's acknowledgements, and its longest gap.

    ``last`` is the time of the latest acknowledgement, in this span or before it.
    """

    name: str
    at: int
    last: int
    ok: int = 0
    first: int = 0
    longest: int = 0
    gap: tuple[int, int] = (0, 0)

    def silent(self, until: int) -> None:
        if until - self.last > self.longest:
            self.longest, self.gap = until - self.last, (self.last, until)


@dataclass(slots=True)
class _Kind:
    """The activity of all writers of a kind; ``span`` is the current one."""

    span: _Span
    spans: list[_Span]
    due: int | None = None
    totals: int = 0
    wrong_totals: int = 0
    wrong: list[int] = field(default_factory=list)


@dataclass(slots=True)
class _Writer:
    """One writer's writes by number: the state of each, and when it was acknowledged."""

    kind: _Kind
    states: bytearray = field(default_factory=bytearray)
    times: array[int] = field(default_factory=lambda: array("q"))


class _Account:
    """The events of a history, processed one after the other."""

    def __init__(self) -> None:
        self.writers: dict[str, _Writer] = {}
        self.kinds: dict[str, _Kind] = {}
        self.end = 0
        self._marks: list[tuple[str, int]] = []

    def feed(self, events: Iterable[Event]) -> None:
        writers = self.writers
        who, seq, at = "", 0, 0
        try:
            for what, who, seq, at in events:
                if what == INVOKE:
                    writer = writers.get(who) or self._welcome(who, at)
                    if seq != len(writer.states):
                        raise NotProven(f"write {seq} of {who} is out of order in the history")
                    writer.states.append(_INVOKED)
                    writer.times.append(0)
                elif what == OK:
                    writer = self._ended(who, seq, _OK)
                    writer.times[seq] = at
                    span = writer.kind.span
                    if at - span.last > span.longest:
                        span.silent(at)
                    span.last = at
                    span.ok += 1
                    span.first = span.first or at
                else:
                    self._note(what, who, seq, at)
        except (KeyError, IndexError) as error:
            raise NotProven(f"write {seq} of {who} ended, and it never began") from error
        if not self.end:
            self._stop(at)

    def _ended(self, who: str, seq: int, state: int) -> _Writer:
        writer = self.writers[who]
        if writer.states[seq] != _INVOKED:
            raise NotProven(f"write {seq} of {who} ended twice")
        writer.states[seq] = state
        return writer

    def _welcome(self, who: str, at: int) -> _Writer:
        writer = self.writers[who] = _Writer(self._of(who, at))
        return writer

    def kind(self, name: str) -> _Kind:
        """The activity of a kind; empty if it wrote nothing."""
        return self._of(name, self.end)

    def _of(self, who: str, at: int) -> _Kind:
        """The kind of a writer; a new kind's gap begins at its first event."""
        name = kind_of(who)
        if name not in self.kinds:
            marks = [("", at), *self._marks]
            spans = [_Span(mark, since, last=at) for mark, since in marks]
            self.kinds[name] = _Kind(spans[-1], spans)
        return self.kinds[name]

    def _stop(self, at: int) -> None:
        self.end = at
        for kind in self.kinds.values():
            kind.span.silent(at)

    def _note(self, what: str, who: str, number: int, at: int) -> None:
        if what in _STATES:
            self._ended(who, number, _STATES[what])
        elif what == MARK:
            self._marks.append((who, at))
            for kind in self.kinds.values():
                kind.span.silent(at)
                kind.span = _Span(who, at, last=kind.span.last)
                kind.spans.append(kind.span)
        elif what == STOP:
            self._stop(at)
        elif what == DUE:
            self._of(who, at).due = number
        elif what == TOTAL:
            kind = self._of(who, at)
            kind.totals += 1
            if number != kind.due:
                kind.wrong_totals += 1
                kind.wrong = [*kind.wrong, number][:_EXAMPLES]


def kind_of(who: str) -> str:
    """The kind of a writer: its name up to the slash."""
    return who.partition("/")[0]


def _result(
    account: _Account, name: str, readings: Sequence[Reading], wall_s: float
) -> LedgerResult:
    ours = {who: it for who, it in account.writers.items() if kind_of(who) == name}
    kind = account.kind(name)
    counts = {
        what: sum(it.states.count(state) for it in ours.values()) for what, state in _STATES.items()
    }
    gap = max(kind.spans, key=lambda span: span.longest).gap
    result = LedgerResult(
        writer=name,
        invoked=sum(counts.values()),
        ok=counts[OK],
        fail=counts[FAIL],
        info=counts[INFO] + counts[INVOKE],
        gap_s=_seconds(gap[1] - gap[0]),
        gap_from=_seconds(gap[0]) + wall_s,
        gap_to=_seconds(gap[1]) + wall_s,
        gap_open=gap == (kind.span.last, account.end),
        phases=tuple(_phase(span, wall_s) for span in kind.spans[1:]),
        due=kind.due,
        totals=kind.totals,
        wrong_totals=kind.wrong_totals,
        examples=_named("wrong totals", [f"{it}, not {kind.due}" for it in kind.wrong]),
        troubles=tuple(f"{it.by} could not read: {it.error}" for it in readings if it.error),
    )
    made = [reading for reading in readings if not reading.error]
    if not made:
        return replace(result, unread="the writes were never read back")
    return _Comparison(ours, made).onto(result, kind, wall_s)


def _phase(span: _Span, wall_s: float) -> LedgerPhase:
    return LedgerPhase(
        name=span.name,
        at=_seconds(span.at) + wall_s,
        ok=span.ok,
        first_ok_s=_seconds(span.first - span.at) if span.ok else None,
        gap_s=_seconds(span.longest),
    )


class _Comparison:
    """Compares one kind's writes with its readings; every count is of writes, not of readings."""

    def __init__(self, writers: Mapping[str, _Writer], readings: Sequence[Reading]) -> None:
        self._writers = writers
        self._unexpected: dict[Found, None] = {}
        self._seen = self._counted(readings[-1])
        self._lost = {who: self._missing(who, self._seen) for who in writers}
        self._stale = {who: bytes(len(it.states)) for who, it in writers.items()}
        for reading in readings[:-1]:
            self._compare(reading)

    def _counted(self, reading: Reading) -> dict[str, bytearray]:
        """How often each write was found; a write that was never sent is unexpected."""
        counts = {who: bytearray(len(it.states)) for who, it in self._writers.items()}
        sent = {who: (it.states, counts[who], len(it.states)) for who, it in self._writers.items()}
        unsent = (bytearray(), bytearray(), 0)
        for who, seq in reading.found:
            states, seen, length = sent.get(who, unsent)
            if not 0 <= seq < length or states[seq] == _FAIL:
                self._unexpected[who, seq] = None
            elif seen[seq] < _MOST:
                seen[seq] += 1
        return counts

    def _missing(self, who: str, seen: Mapping[str, bytearray]) -> bytes:
        """One byte per write: 1 if it was acknowledged and is missing."""
        return _both(_where(self._writers[who].states, _OK), _where(seen[who], 0))

    def _compare(self, reading: Reading) -> None:
        """Mark writes that this reading should have seen, and that only the last reading saw."""
        seen = self._counted(reading)
        for who, writer in self._writers.items():
            missing = bytearray(_both(self._missing(who, seen), _where(self._lost[who], 0)))
            for seq in _places(missing):
                missing[seq] = writer.times[seq] < reading.began_us
            self._stale[who] = _either(self._stale[who], missing)

    def onto(self, result: LedgerResult, kind: _Kind, wall_s: float) -> LedgerResult:
        """Add the comparison to the result."""
        lost = [
            (writer.times[seq], who, seq)
            for who, writer in self._writers.items()
            for seq in _places(self._lost[who])
        ]
        lost.sort()
        more = {who: _where(seen, 0, 1) for who, seen in self._seen.items()}
        twice = [f"{who} {seq}" for who, found in more.items() for seq in _places(found, wanted=0)]
        stale = [f"{who} {seq}" for who, found in self._stale.items() for seq in _places(found)]
        told = [f"{who} {seq}, acknowledged {_utc(at, wall_s)}" for at, who, seq in lost]
        return replace(
            result,
            found=sum(len(seen) - seen.count(0) for seen in self._seen.values()),
            lost=len(lost),
            duplicated=len(twice),
            unexpected=len(self._unexpected),
            stale=len(stale),
            rpo_s=_age(kind, lost[0][0], lost[-1][0]) if lost else 0.0,
            examples={
                **result.examples,
                **_named("lost", told),
                **_named("duplicated", twice),
                **_named("phantom", [f"{who} {seq}" for who, seq in self._unexpected]),
                **_named("stale", stale),
            },
        )


def _age(kind: _Kind, oldest: int, newest: int) -> float:
    """The age of the oldest lost write at the latest possible moment of the loss.

    That moment is the first fault, or the newest lost write if it is later. Without a fault, it is
    the last acknowledgement.
    """
    faults = [span.at for span in kind.spans if span.name == FAULT]
    return _seconds(max(newest, *(faults[:1] or [kind.span.last])) - oldest)


def _where(values: bytes | bytearray, *wanted: int) -> bytes:
    """One byte per value: 1 if it is one of the wanted, else 0."""
    return bytes(values).translate(bytes(int(value in wanted) for value in range(256)))


def _both(one: bytes | bytearray, other: bytes | bytearray) -> bytes:
    # One large integer: a loop over millions of bytes would take a second.
    both = int.from_bytes(one, "big") & int.from_bytes(other, "big")
    return both.to_bytes(len(one), "big")


def _either(one: bytes | bytearray, other: bytes | bytearray) -> bytes:
    either = int.from_bytes(one, "big") | int.from_bytes(other, "big")
    return either.to_bytes(len(one), "big")


def _places(values: bytes | bytearray, *, wanted: int = 1) -> Iterator[int]:
    place = values.find(wanted)
    while place >= 0:
        yield place
        place = values.find(wanted, place + 1)


def _named(what: str, names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    return {what: tuple(names[:_EXAMPLES])} if names else {}


def _seconds(us: int) -> float:
    return us / _US


def _utc(us: int, wall_s: float) -> str:
    return utc_text(datetime.fromtimestamp(us / _US + wall_s, UTC))
