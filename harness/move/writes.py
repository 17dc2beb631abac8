"""Writes through the front, as customers send them, for the ledger.

Either platform may answer a write, and both must show it afterwards: what a change of the share
loses or doubles is counted. The writes of other kinds go to the new platform's services, past the
front.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Protocol

from harness.core.errors import HarnessError, NeverSent, NotListening, NotProven
from harness.ledger.checker import Found
from harness.ledger.recorder import Recorder
from harness.ledger.writers.protocol import seal, unsealed
from harness.move.session import Session
from harness.settings.shift import WriteRequest, Writes
from harness.transport.protocols import Response

KIND = "front"
# The harness reads so much of an answer; what is longer would be taken for lost writes.
_MOST_BYTES = 1024 * 1024


class Sends(Protocol):
    """Sends one request to the front with a visitor's session."""

    def __call__(self, asked: WriteRequest, session: Session) -> Response: ...


class FrontWriter:
    """One writer of the declared requests; ``name`` is ``front/0``, ``front/1`` ….

    A write is a text: the begin that all of this run have, the writer, its number and the seal.
    """

    def __init__(
        self, sends: Sends, declared: Writes, session: Session, *, run: str, number: int
    ) -> None:
        self.name = f"{KIND}/{number}"
        self._sends = sends
        self._declared = declared
        self._session = session
        self._run = run
        self._number = number

    def send(self, seq: int) -> None:
        text = f"{begin_of(self._run)}-{self._number}-{seq}-{seal(self._run, self.name, seq)}"
        self._session.names.keep("write", text)
        try:
            answer = self._sends(self._declared.send, self._session)
        except NotListening as error:
            raise NeverSent(str(error)) from error
        if not self._declared.send.is_answered(answer.status, answer.body):
            raise NotProven(f"{self.name}: answered {answer.status}: {answer.body[:200]!r}")

    def read(self) -> Iterator[Found]:
        """Every write, as often as it is there; NotProven unless all can be read."""
        answer = self._sends(self._declared.read, self._session)
        if not self._declared.read.is_answered(answer.status, answer.body):
            raise NotProven(
                f"{self.name}: the writes were not read: {answer.status}: {answer.body[:200]!r}"
            )
        if len(answer.body) >= _MOST_BYTES:
            raise NotProven(
                f"{self.name}: what was read is longer than {_MOST_BYTES} bytes, and cut"
            )
        form = rf"{begin_of(self._run)}-(\d+)-(\d+)-([0-9a-f]*)"
        for who, seq, found in re.findall(form, answer.body.decode(errors="replace")):
            yield from unsealed(self._run, f"{KIND}/{who}", int(seq), found)

    def abandon(self) -> None:
        """Each request has its own deadline, and a connection of its own."""

    def close(self) -> None:
        """No connection stays open between two writes."""


def begin_of(run: str) -> str:
    """The begin of the texts of a run's writes."""
    return f"cutover-{hashlib.sha256(run.encode()).hexdigest()[:8]}"


@contextmanager
def writing(
    sends: Sends, declared: Writes, session: Session, *, folder: Path, run: str, rate_per_s: float
) -> Iterator[Recorder]:
    """Record writes through the front; the body starts when one is acknowledged."""
    writers = [
        FrontWriter(sends, declared, session.copy(), run=run, number=number)
        for number in range(declared.writers)
    ]
    with closing(
        Recorder({KIND: writers}, folder=folder, run=run, rate_per_s=rate_per_s)
    ) as recorder:
        recorder.start()
        recorder.steady()
        yield recorder


def remove(sends: Sends, declared: Writes, session: Session) -> str:
    """Remove the writes of the run if the profile says how; why they are still there, or ``""``."""
    if declared.remove is None:
        return ""
    try:
        answer = sends(declared.remove, session)
    except HarnessError as error:
        return f"the writes through the front are still there: {error}"
    if declared.remove.is_answered(answer.status, answer.body):
        return ""
    return f"the writes through the front are still there: {answer.status}"
