"""Calls from inside the pods of services: what each calls by name, and a read of its database.

The commands run in a ready pod of the caller itself. Its DNS configuration, network policies,
labels and sidecars are therefore those that its own calls meet; a pod beside it, with other labels,
would prove the names alone. What this does not prove: that the caller's configuration has these
names. An image without python3 connects with nc or bash instead, and can read nothing.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from harness.core.declared_platform import ServiceDeclared
from harness.core.errors import NotProven, ScriptNotRun
from harness.core.model import JSON
from harness.core.names import pointed
from harness.core.parallel import in_each
from harness.facts.schema import Item, Known, Unknown, attempt, dump
from harness.facts.services import CALLS, Call, Caller, Read
from harness.probes.probe import Timing
from harness.probes.scripts import calls_script
from harness.probes.services import declared_services, ready_pod
from harness.settings.services import DatabaseRead, Services
from harness.transport import Kube, Reach
from harness.transport.remote_script import RemoteScript

_SCRIPT = RemoteScript(calls_script)
_WITHIN_S = 60.0
_EXCERPT = 200
# A shell's exit status if it may not run a program (126) or does not find it (127).
_NOT_RUN = (126, 127)
# As often as the script asks for a name: each connection asks again.
_CONNECT = f"""
connect() {{
  if command -v nc >/dev/null; then nc -z -w 5 "$1" "$2"
  elif command -v bash >/dev/null; then timeout 5 bash -c ': >"/dev/tcp/$0/$1"' "$1" "$2"
  else return 127; fi
}}
for number in {" ".join(map(str, range(calls_script.ASKED)))}; do connect "$1" "$2" || exit; done
"""


class ServiceCalls:
    """Has a pod of each declared caller connect to what it calls, and read its database."""

    name: ClassVar[str] = CALLS.name
    sentence: ClassVar[str] = "the calls of every service from its own pods"
    timing: ClassVar[Timing] = Timing.AT_START
    within_s: ClassVar[float] = 180.0

    def targets(self, reach: Reach) -> Sequence[str]:
        return [reach.profile.name]

    def observe(self, reach: Reach, target: str) -> JSON:
        declared = declared_services(reach)
        look = partial(_caller, reach.kube, declared)
        return dump(in_each(declared.callers, lambda name: attempt(partial(look, name))))


@dataclass(frozen=True)
class _Result:
    """What ``calls_script`` says of one call."""

    error: str | None
    status: int | None
    body: str
    took_ms: float


def _caller(kube: Kube, declared: Services, name: str) -> Caller:
    """The calls of one service; NotProven if none of its pods can make them."""
    caller, space = declared.callers[name], declared.namespace
    pod = ready_pod(kube, space, caller.selector)
    called = [declared.names[it].declared(it) for it in caller.calls]
    asked: list[JSON] = [{"host": it.name, "port": it.port, "path": None} for it in called]
    if caller.reads is not None:
        own = declared.names[name].declared(name)
        asked.append({"host": own.name, "port": own.port, "path": caller.reads.path})
    try:
        in_pod = partial(_SCRIPT.in_pod, kube, space, pod, asked, within_s=_WITHIN_S)
        found = in_pod(read=list[_Result]).value
    except ScriptNotRun as why:
        calls = {it.was: attempt(partial(_connected, kube, space, pod, it)) for it in called}
        return Caller(pod, calls, None if caller.reads is None else Unknown(str(why)))
    seen = {
        it.was: Known(Call(result.error, result.took_ms))
        for it, result in zip(called, found, strict=False)
    }
    return Caller(pod, seen, None if caller.reads is None else _read(caller.reads, found[-1]))


def _read(asked: DatabaseRead, found: _Result) -> Item[Read]:
    """What of the answer is declared: its status, its words, and some of its fields."""
    fields: dict[str, str] = {}
    with suppress(ValueError, RecursionError):
        document = json.loads(found.body)
        for pointer in asked.has:
            with suppress(LookupError):
                fields[pointer] = json.dumps(pointed(document, pointer))
    return Known(
        Read(
            error=found.error,
            status=found.status,
            says=asked.says in found.body,
            fields=fields,
            excerpt=found.body[:_EXCERPT],
            took_ms=found.took_ms,
        )
    )


def _connected(kube: Kube, space: str, pod: str, called: ServiceDeclared) -> Call:
    """A connection by the programs that small images have; NotProven without any."""
    command = ("sh", "-c", _CONNECT, "sh", called.name, str(called.port))
    done = kube.exec(space, pod, command, within_s=_WITHIN_S)
    if done.status in _NOT_RUN:
        raise NotProven(f"{pod} has neither python3 nor nc nor bash to connect with")
    said = f"{done.stdout}{done.stderr}".strip()[-_EXCERPT:]
    return Call(None if done.status == 0 else said or f"no connection (status {done.status})", None)
