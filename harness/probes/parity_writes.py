"""Requests that write, sent once to the old and once to the new platform, and compared.

The old platform is never sent one twice: it would make a second invoice. So noise cannot be told
here, and whatever differs on purpose (an id, a time) has to be named by a rule. Both sides get the
same texts; each side's own answers give the names that later requests use there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

from harness.core.errors import ConfigError, HarnessError, NotProven, TransportError
from harness.core.interrupts import uninterrupted
from harness.core.names import Names, document_of, is_secret, kept
from harness.facts.parity import Compared, Difference, Sent, Sides, Writes
from harness.facts.schema import Item, attempt
from harness.probes.parity import asked, differences_of, must_be_routed
from harness.settings.parity import ParityRequest, SentRequest, WebAddress
from harness.transport import ExternalClient, Reach
from harness.transport.protocols import Response

_REFUSED, _BROKEN = 400, 500
_GONE = (404, 410)


@dataclass
class _Side:
    """One platform, and the names that its answers gave."""

    outside: ExternalClient
    front: WebAddress
    writes: Mapping[str, ParityRequest]
    is_new: bool
    names: Names
    hide: Callable[[str], object]
    sent: list[str] = field(default_factory=list)

    @property
    def recorded(self) -> Sent:
        """What a record holds of it."""
        return Sent(requests=[*self.sent], names=self.names.recorded)

    def write(self, name: str, note: Callable[[], object]) -> tuple[Response, float]:
        """Send a request that writes; what it makes is to be removed, unless it is refused.

        A platform that breaks (5xx), or gives no answer, may have made it all the same. ``note``
        records that before it is sent, and again with what its answer gave.
        """
        request = self.writes[name]
        self.sent.append(name)
        note()
        answer, took_ms = self._send(request)
        if _REFUSED <= answer.status < _BROKEN:
            self.sent.remove(name)
        for key, value in kept(document_of(answer.body), request.keep).items():
            self.names.keep(key, value)
            if is_secret(key):
                self.hide(str(value))
        note()
        return answer, took_ms

    def _send(self, request: SentRequest) -> tuple[Response, float]:
        names = self.names
        if not names.knows(request.names()):
            missing = ", ".join(sorted(it for it in request.names() if not names.knows([it])))
            raise NotProven(f"no answer gave {missing}, which it uses; look for {names.customer}")
        headers = {key: names.text(it) for key, it in request.headers.items()}
        told = {"path": names.text(request.path), "headers": headers}
        filled = request.model_copy(update={**told, "body": names.fill(request.body)})
        host = (request.new_host or request.host) if self.is_new else request.host
        return asked(self.outside, filled, self.front, host)

    def remove(self) -> Iterator[str]:
        """Send the removing requests, the newest first; what failed, in words."""
        where = "new" if self.is_new else "old"
        made = [it for name in self.sent for it in self.writes[name].removes]
        for request in reversed(made):
            words = f"{request.method} {request.path} on the {where} platform"
            try:
                answer, _ = self._send(request)
            except HarnessError as error:
                yield f"{words}: {error}"
                continue
            if answer.status >= _REFUSED and answer.status not in _GONE:
                yield f"{words}: status {answer.status}"


def compare_writes(
    reach: Reach,
    tell: Callable[[str], object],
    hide: Callable[[str], object],
    note: Callable[[Sides], object],
) -> Writes:
    """Send each declared request that writes to both platforms, in order; then remove what is left.

    ``note`` records the customer before anything is made, and all that is sent. Ctrl-C ends it
    early; the removal follows all the same. ConfigError if none is declared.
    """
    declared = reach.profile.parity
    if declared is None or not declared.writes:
        raise ConfigError(
            f"the profile {reach.profile.name} declares no request that writes",
            remedy="declare one in `parity.requests`, with `writes: true`",
        )
    names = Names()
    hide(names.password)
    old = _Side(reach.outside, declared.old, declared.writes, False, names, hide)
    new = _Side(reach.outside, declared.new, declared.writes, True, names.copy(), hide)

    def note_sides() -> None:
        note({"old": old.recorded, "new": new.recorded})

    found: dict[str, Item[Compared]] = {}
    by_hand = False
    try:
        for name in declared.writes:
            tell(f"{name}: once to each platform")
            found[name] = attempt(partial(_compared, old, new, name, note_sides))
    except KeyboardInterrupt:
        by_hand = True
    finally:
        with uninterrupted():
            left = tuple(it for side in (new, old) for it in side.remove())
    return Writes(found, left, by_hand)


def remove_written(reach: Reach, sides: Sides) -> tuple[str, ...]:
    """Remove what a killed run's requests made on both platforms, by its record; what is left.

    A record has no secret: what cannot be removed without one is named.
    """
    return tuple(it for side, sent in sides.items() for it in _removed(reach, side, sent))


def _removed(reach: Reach, side: Literal["old", "new"], sent: Sent) -> Iterator[str]:
    declared, names = reach.profile.parity, Names(sent["names"])
    writes = {} if declared is None else declared.writes
    for name in sent["requests"]:
        if name not in writes:
            where = f"look for {names.customer} on the {side} platform"
            yield f"the profile declares no request {name} that writes: {where}"
    if declared is not None:
        front = declared.new if side == "new" else declared.old
        known = [it for it in sent["requests"] if it in writes]
        yield from _Side(reach.outside, front, writes, side == "new", names, str, known).remove()


def _compared(old_side: _Side, new_side: _Side, name: str, note: Callable[[], object]) -> Compared:
    """Both answers; TransportError if the old platform gives none: the new one is not asked."""
    old, old_ms = old_side.write(name, note)
    must_be_routed(old, old_side.writes[name])
    new: Response | None = None
    new_ms: float | None = None
    try:
        new, new_ms = new_side.write(name, note)
        differences = differences_of(old, new)
    except TransportError as error:
        differences = [Difference("answer", f"status {old.status}", str(error))]
    return Compared(
        statuses=tuple(it.status for it in (old, new) if it is not None),
        noise=(),
        differences=tuple(differences),
        old_ms=old_ms,
        new_ms=new_ms,
        old_bytes=len(old.body),
        new_bytes=None if new is None else len(new.body),
    )
