"""The same requests to both platforms: each to the old one twice, to the new one once.

What differs between two answers of the old platform is noise. Everything that a client sees is
compared: status, headers, cookies with their attributes, and the body, JSON by its fields and other
text by its lines. Redirects are not followed.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from difflib import SequenceMatcher
from functools import partial
from hashlib import sha256
from typing import ClassVar

from harness.core.errors import NotProven, TransportError
from harness.core.model import JSON
from harness.core.names import is_secret
from harness.core.parallel import in_each
from harness.facts.parity import PARITY, Compared, Difference
from harness.facts.schema import attempt, dump
from harness.probes.probe import Timing
from harness.settings.parity import Parity, ParityRequest, SentRequest, WebAddress
from harness.transport import ExternalClient, Reach
from harness.transport.protocols import EntryPoint, Response

_WITHIN_S = 10.0
_AT_ONCE = 4
_MOST_DIFFERENCES = 40
_MOST_CHARS = 400
_NOTHING = "nothing"
# Traefik's own answer to a request that none of its routers takes.
_UNROUTED = (404, b"404 page not found")
# Of one connection, not of the answer (RFC 9110, section 7.6.1), or said by the body itself.
_UNCOMPARED = frozenset(
    {
        *("connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding"),
        *("upgrade", "date", "content-length", "set-cookie"),
    }
)


class ParityRequests:
    """Sends each declared request that reads to both platforms, and compares the answers."""

    name: ClassVar[str] = PARITY.name
    sentence: ClassVar[str] = "the answers of both platforms to the same requests"
    timing: ClassVar[Timing] = Timing.AT_START
    within_s: ClassVar[float] = 120.0

    def targets(self, reach: Reach) -> Sequence[str]:
        return [reach.profile.name]

    def observe(self, reach: Reach, target: str) -> JSON:
        declared = reach.profile.parity
        if declared is None:
            raise NotProven("the profile declares no requests", remedy="declare `parity:`")
        look = partial(_compared, reach.outside, declared)
        return dump(
            in_each(
                declared.reads,
                lambda name: attempt(partial(look, declared.reads[name])),
                at_once=_AT_ONCE,
            )
        )


def _compared(outside: ExternalClient, declared: Parity, request: ParityRequest) -> Compared:
    """Ask old, new, old again; raises TransportError if the old platform does not answer."""
    ask = partial(asked, outside, request)
    old, old_ms = ask(declared.old, request.host)
    must_be_routed(old, request)
    new: Response | None = None
    new_ms: float | None = None
    try:
        new, new_ms = ask(declared.new, request.new_host or request.host)
        differences = differences_of(old, new)
    except TransportError as error:
        differences = [Difference("answer", f"status {old.status}", str(error))]
    again, _ = ask(declared.old, request.host)
    return Compared(
        statuses=tuple(it.status for it in (old, new, again) if it is not None),
        noise=tuple(differences_of(old, again)),
        differences=tuple(differences),
        old_ms=old_ms,
        new_ms=new_ms,
        old_bytes=len(old.body),
        new_bytes=None if new is None else len(new.body),
    )


def asked(
    outside: ExternalClient, request: SentRequest, front: WebAddress, host: str
) -> tuple[Response, float]:
    """One answer, and how long it took in milliseconds; NotProven for one that is too long."""
    entry = EntryPoint(front.scheme, front.number)
    body = None if request.body is None else json.dumps(request.body).encode()
    kind = {} if body is None else {"Content-Type": "application/json"}
    headers = {"Accept-Encoding": "identity", **kind, **request.headers}
    begun = time.monotonic()
    answer = outside.request(
        request.method,
        host,
        request.path,
        at=str(front.address),
        entry=entry,
        headers=headers,
        body=body,
        within_s=_WITHIN_S,
    )
    took_ms = round((time.monotonic() - begun) * 1000, 1)
    if not answer.is_whole:
        raise NotProven(f"{host}{request.path}: an answer of more than 1 MiB is not compared")
    return answer, took_ms


def must_be_routed(old: Response, request: ParityRequest) -> None:
    """Raise NotProven if the old platform's ingress knows no service for a request.

    The new platform's ingress answers an unknown host with the same words: equal answers would
    prove nothing but a mistake in the profile, unless that is what the request is about.
    """
    if not request.unrouted and (old.status, old.body.strip()) == _UNROUTED:
        raise NotProven(
            f"its ingress has no route for {request.host}{request.path} (404 page not found)",
            remedy="correct its host and path in the profile (parity), or say `unrouted: true`",
        )


def differences_of(old: Response, other: Response) -> list[Difference]:
    """Where two answers differ, at most ``_MOST_DIFFERENCES`` places and one that counts the rest.

    The order: status, headers, cookies, body.
    """
    found = [
        Difference(at, _shown(at, one), _shown(at, two))
        for at, one, two in (
            *_of_values("status", str(old.status), str(other.status)),
            *_of_fields("header", _headers(old), _headers(other)),
            *_of_fields("cookie", _cookies(old), _cookies(other)),
            *_of_bodies(old.body, other.body),
        )
    ]
    if len(found) > _MOST_DIFFERENCES:
        rest = f"{len(found) - _MOST_DIFFERENCES} more differences"
        return [*found[:_MOST_DIFFERENCES], Difference("body", rest, rest)]
    return found


Place = tuple[str, str, str]


def _of_values(at: str, old: str, other: str) -> Iterator[Place]:
    if old != other:
        yield at, old, other


def _of_fields(what: str, old: Mapping[str, str], other: Mapping[str, str]) -> Iterator[Place]:
    for name in sorted({*old, *other}):
        yield from _of_values(f"{what} {name}", old.get(name, _NOTHING), other.get(name, _NOTHING))


def _headers(answer: Response) -> dict[str, str]:
    """The header fields that are compared; several of one name are joined, as RFC 9110 allows."""
    found: dict[str, str] = {}
    for field, value in answer.headers:
        name = field.lower()
        if name not in _UNCOMPARED:
            found[name] = f"{found[name]}, {value}" if name in found else value
    return found


def _cookies(answer: Response) -> dict[str, str]:
    """Each cookie's attributes, in order; its value and its end are of one session.

    That it has no value is compared: such a cookie takes a session away (RFC 6265, section 3.1).
    """
    found: dict[str, str] = {}
    for field, value in answer.headers:
        if field.lower() == "set-cookie":
            pair, *attributes = (part.strip() for part in value.split(";"))
            told = sorted(
                "Expires" if it.lower().startswith("expires=") else it for it in attributes if it
            )
            name, _, content = pair.partition("=")
            emptied = [] if content.strip('"') else ["no value"]
            said = "; ".join([*emptied, *told]) or "no attributes"
            found[name] = f"{found[name]}, {said}" if name in found else said
    return found


def _of_bodies(old: bytes, other: bytes) -> Iterator[Place]:
    if old == other:
        return
    with suppress(ValueError, RecursionError):
        yield from list(_of_json("body ", json.loads(old), json.loads(other)))
        return
    try:
        lines, others = old.decode().splitlines(), other.decode().splitlines()
    except UnicodeDecodeError:
        yield "body", f"{len(old)} bytes", f"{len(other)} other bytes"
        return
    yield from _of_lines(lines, others)
    if lines == others:
        yield "body", "these line ends", "other line ends"


def _of_json(at: str, old: object, other: object) -> Iterator[Place]:
    """The fields that differ, by JSON pointer (RFC 6901)."""
    if isinstance(old, dict) and isinstance(other, dict):
        for key in sorted({*old, *other}):
            below = f"{at}/{key.replace('~', '~0').replace('/', '~1')}"
            if key in old and key in other:
                yield from _of_json(below, old[key], other[key])
            else:
                yield below, _written(old, key), _written(other, key)
    elif isinstance(old, list) and isinstance(other, list):
        for number in range(max(len(old), len(other))):
            below = f"{at}/{number}"
            if number < min(len(old), len(other)):
                yield from _of_json(below, old[number], other[number])
            else:
                yield below, _item(old, number), _item(other, number)
    # In Python 1 == True and 1 == 1.0, which a client may take for different answers.
    elif type(old) is not type(other) or old != other:
        yield at, json.dumps(old, sort_keys=True), json.dumps(other, sort_keys=True)


def _written(known: Mapping[str, object], key: str) -> str:
    return json.dumps(known[key], sort_keys=True) if key in known else _NOTHING


def _item(known: Sequence[object], number: int) -> str:
    return json.dumps(known[number], sort_keys=True) if number < len(known) else _NOTHING


def _of_lines(old: Sequence[str], other: Sequence[str]) -> Iterator[Place]:
    """The lines that differ; changed lines of equal number one by one."""
    for kind, at, end, other_at, other_end in SequenceMatcher(
        None, old, other, autojunk=False
    ).get_opcodes():
        if kind == "equal":
            continue
        if end - at == other_end - other_at:
            for offset in range(end - at):
                yield f"body line {at + offset + 1}", old[at + offset], other[other_at + offset]
        else:
            gone, come = "\n".join(old[at:end]), "\n".join(other[other_at:other_end])
            yield f"body line {at + 1}", gone or _NOTHING, come or _NOTHING


def _shown(at: str, text: str) -> str:
    """A text as a journal may have it: short, and no secret; two that differ still differ."""
    digest = sha256(text.encode()).hexdigest()[:12]
    if is_secret(at) and text != _NOTHING:
        return f"a secret (sha256 {digest})"
    return text if len(text) <= _MOST_CHARS else f"{text[:_MOST_CHARS]}… (sha256 {digest})"
