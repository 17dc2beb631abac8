"""Writes through the front, as customers send them, for the ledger.

Either platform may answer a write, and both must show it afterwards: what a change of the share
loses or doubles is counted. The writes of other kinds go to the new platform's services, past the
front.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from functools import partial
from math import inf
from pathlib import Path

from harness.core.errors import (
    HarnessError,
    NeverSent,
    NotListening,
    NotProven,
    TimedOut,
    in_a_line,
)
from harness.core.names import names_in
from harness.core.waiting import until
from harness.facts.shift import Window
from harness.ledger.checker import Found
from harness.ledger.recorder import Recorder
from harness.ledger.writers.protocol import seal, unsealed
from harness.move.answers import Answer, newest, window
from harness.move.client import Client
from harness.move.session import Account
from harness.settings.shift import Writes
from harness.transport.protocols import Response

KIND = "front"
# The harness reads so much of an answer; what is longer would be taken for lost writes.
_MOST_BYTES = 1024 * 1024
# A platform that has not answered a write for so long does not store it any more.
_LATE_S = 30.0
# So many writes of one writer are read at once: Odoo's answer has some 70 bytes for each.
_BLOCK = 1000


@dataclass
class Written:
    """What all writers of a run have sent: how many writes each, by its number, and the answers.

    ``on_the_way`` are the writers whose write has no answer yet; ``unanswered_at`` is when the
    newest write was given up without one (monotonic seconds).
    """

    sent: Counter[int] = field(default_factory=Counter)
    answers: list[Answer] = field(default_factory=list)
    on_the_way: set[int] = field(default_factory=set)
    unanswered_at: float = -inf

    @property
    def is_settled(self) -> bool:
        """True once a platform has stored what it has not answered, as far as it still will."""
        return not self.on_the_way and time.monotonic() - self.unanswered_at >= _LATE_S

    def settle(self, tell: Callable[[str], object]) -> None:
        """Wait until all is stored that still will be."""
        if not self.is_settled:
            tell(f"waiting up to {2 * _LATE_S:g} s for writes that got no answer")
        with suppress(TimedOut):
            until(lambda: self.is_settled, within_s=2 * _LATE_S, what="writes without an answer")

    def seen(self, most: int = 0) -> Window:
        """The answers so far, or at most so many of the newest, by the side that gave them."""
        return window(newest(self.answers, most))


@dataclass(frozen=True)
class FrontWrites:
    """The writes of one run through the front, by the declared requests.

    Each is a text: the begin that all of this run have, the writer, the number of its block, its
    own number and the seal.
    """

    client: Client
    declared: Writes
    run: str
    written: Written = field(default_factory=Written)

    @property
    def begin(self) -> str:
        return begin_of(self.run)

    def recording(
        self, accounts: Sequence[Account], *, folder: Path, rate_per_s: float
    ) -> AbstractContextManager[Recorder]:
        """Record writes, a writer an account; the body starts when one is there."""
        writers = [FrontWriter(self, account, number) for number, account in enumerate(accounts)]
        recorder = Recorder({KIND: writers}, folder=folder, run=self.run, rate_per_s=rate_per_s)
        return recorder.running()


class FrontWriter:
    """One writer of them; ``name`` is ``front/0``, ``front/1`` …."""

    def __init__(self, writes: FrontWrites, account: Account, number: int) -> None:
        self.name = f"{KIND}/{number}"
        self._writes = writes
        self._account = account
        self._number = number

    def send(self, seq: int) -> None:
        self._writes.written.sent[self._number] = seq + 1
        begin, sealed = self._writes.begin, seal(self._writes.run, self.name, seq)
        text = f"{begin}-{self._number}-{seq // _BLOCK}-{seq}-{sealed}"
        try:
            self._stay_logged_in()
        except HarnessError as error:
            why = f"{self.name} could not log in anew: {in_a_line(error)}"
            raise NeverSent(why) from error
        answer = self._answer({"writes": begin, "write": text})
        if not self._is_good(answer):
            raise NotProven(f"{self.name}: answered {answer.status}: {answer.body[:200]!r}")

    def _answer(self, texts: Mapping[str, str]) -> Response:
        asked, written = self._writes.declared.send, self._writes.written
        written.on_the_way.add(self._number)
        try:
            return self._writes.client.noted(
                partial(self._writes.client.ask, asked, self._account.session, texts),
                self._note,
                is_good=self._is_good,
                expected=asked.status,
            )
        except NotListening as error:
            raise NeverSent(str(error)) from error
        except HarnessError:
            written.unanswered_at = time.monotonic()
            raise
        finally:
            written.on_the_way.discard(self._number)

    def _is_good(self, answer: Response) -> bool:
        return self._writes.declared.send.is_answered(answer.status, answer.body)

    def _note(self, answer: Answer) -> None:
        # A session that came of age meanwhile is renewed next: the platform has not failed.
        if answer.error is None or not self._account.is_of_age:
            self._writes.written.answers.append(answer)

    def read(self) -> Iterator[Found]:
        """Every write, as often as it is there; NotProven unless all can be read."""
        form, asked = _form(self._writes.begin), self._writes.declared.read
        for part in self._parts():
            self._stay_logged_in()
            answer = self._writes.client.ask(asked, self._account.session, {"writes": part})
            for found in form.finditer(_whole(answer, self._writes.declared, self.name)):
                # A platform may show more than it was asked for: that belongs to another part.
                if found[0].startswith(part):
                    who, seq, sealed = found.groups()
                    yield from unsealed(self._writes.run, f"{KIND}/{who}", int(seq), sealed)

    def _parts(self) -> Iterator[str]:
        """The begins of the texts that are read at once: of each block, or of all writes."""
        begin, asked = self._writes.begin, self._writes.declared.read
        if "writes" not in names_in([asked.path, asked.body]):
            yield begin
            return
        for number, count in sorted(self._writes.written.sent.items()):
            for block in range(-(-count // _BLOCK)):
                yield f"{begin}-{number}-{block}-"

    def _stay_logged_in(self) -> None:
        if self._account.is_of_age:
            self._account.renew(self._writes.written.answers.append)

    def abandon(self) -> None:
        """Each request has its own deadline, and a connection of its own."""

    def close(self) -> None:
        """No connection stays open between two writes."""


def begin_of(run: str) -> str:
    """The begin of the texts of a run's writes."""
    return f"cutover-{hashlib.sha256(run.encode()).hexdigest()[:8]}"


def _form(begin: str) -> re.Pattern[str]:
    """The form of the texts with this begin: the writer, the number and the seal of each."""
    return re.compile(rf"{begin}-(\d+)-\d+-(\d+)-([0-9a-f]*)")


def remove(client: Client, declared: Writes, account: Account, begin: str) -> str:
    """Remove the writes with this begin if the profile says how; why they are still there.

    Nothing, ``""``, only if the platform shows none of them: its answer to a removal is a claim.
    """
    texts = {"writes": begin}
    told = "the profile declares no `shift.writes.remove:`"
    try:
        account.log_in()
        if declared.remove is not None:
            answer = client.ask(declared.remove, account.session, texts)
            told = f"the removal was answered {answer.status}"
        left = client.ask(declared.read, account.session, texts)
        if not _form(begin).search(_whole(left, declared, account.who)):
            return ""
    except HarnessError as error:
        told = in_a_line(error)
    return f"writes through the front are still there, texts that begin with {begin}: {told}"


def _whole(answer: Response, declared: Writes, who: str) -> str:
    """The text of an answer to ``read:``; NotProven unless it is one, and whole."""
    if not declared.read.is_answered(answer.status, answer.body):
        raise NotProven(f"{who}: the writes were not read: {answer.status}: {answer.body[:200]!r}")
    if len(answer.body) >= _MOST_BYTES:
        raise NotProven(f"{who}: what was read is longer than {_MOST_BYTES} bytes, and cut")
    return answer.body.decode(errors="replace")
