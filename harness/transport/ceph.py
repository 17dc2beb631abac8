"""Asks Ceph where the profile says so: on machines, or in Rook's toolbox."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from functools import partial
from typing import Protocol, TypeVar
from urllib.parse import quote

from typing_extensions import TypeForm

from harness.core.errors import ConfigError, Garbled, TransportError, Unreachable
from harness.facts import schema
from harness.transport.objects import is_ready, listed, must, part, text
from harness.transport.protocols import Completed, Reach

T = TypeVar("T")

_CONNECT_S = 10


class _Run(Protocol):
    """Runs a program in one place."""

    def __call__(self, argv: Sequence[str], *, within_s: float) -> Completed: ...


def ask_ceph(
    reach: Reach,
    *words: str,
    read: TypeForm[T],
    on: Sequence[str] = (),
    within_s: float = 20.0,
) -> T:
    """What ``ceph WORDS`` answers, as the type ``read``; None without output.

    If Ceph is asked through the machines, the first of ``on`` (of all, if none is named) that
    answers is enough; Rook's Ceph is asked in its toolboxes, first in those on ``on``. The
    places share ``within_s``: a lost machine leaves the later ones their part of it. Raises
    TransportError if no place answers: TimedOut if the only place asked is late.
    """
    argv = ("ceph", "--connect-timeout", str(_CONNECT_S), *words, "--format", "json")
    problems: list[TransportError] = []
    places = _places(reach, on)
    deadline = time.monotonic() + within_s
    for done, (place, run) in enumerate(places):
        share_s = max(0.1, (deadline - time.monotonic()) / (len(places) - done))
        try:
            return _answer(place, run(argv, within_s=share_s), argv, read)
        except TransportError as error:
            problems.append(error)
    if not problems:
        raise ConfigError("there is no machine to ask Ceph on")
    raise problems[-1]


def run_beside_ceph(
    reach: Reach, argv: Sequence[str], *, on: str, within_s: float
) -> tuple[str, Completed]:
    """Run a program that comes with Ceph, on a machine or in Rook's toolbox; also return where."""
    place, run = _places(reach, [on])[0]
    return place, run(argv, within_s=within_s)


def _places(reach: Reach, on: Sequence[str]) -> Sequence[tuple[str, _Run]]:
    """Where Ceph can be asked, and how a program runs there: machines, or Rook's toolboxes."""
    if reach.profile.ceph.through == "toolbox":
        boxes = toolboxes(reach, on)
        return [(f"{space}/{pod}", partial(reach.kube.exec, space, pod)) for space, pod in boxes]
    machines = list(on) or [machine.name for machine in reach.profile.machines]
    return [(machine, partial(reach.shell.run, machine)) for machine in machines]


def toolboxes(reach: Reach, on: Sequence[str] = ()) -> Sequence[tuple[str, str]]:
    """Namespace and name of each ready pod of Rook's toolbox, those on ``on`` first.

    The API calls a pod ready for a while after its machine was lost. TransportError when there is
    none.
    """
    space, label = reach.profile.ceph.toolbox_namespace, reach.profile.ceph.toolbox_label
    found = reach.kube.get(f"/api/v1/namespaces/{space}/pods?labelSelector={quote(label, safe='')}")
    ready = sorted(
        (text(it, "spec", "nodeName") not in on, must(it, "metadata", "name"))
        for it in listed(found, "items")
        if is_ready(part(it, "status"))
    )
    if not ready:
        raise TransportError(
            f"Rook's toolbox is not there: no pod with the label {label} is ready in {space}",
            remedy="deploy Rook's toolbox, or ask Ceph through the machines (ceph.through)",
        )
    return [(space, name) for _, name in ready]


def _answer(place: str, done: Completed, argv: Sequence[str], read: TypeForm[T]) -> T:
    if done.status != 0:
        asked = " ".join(argv[3:-2])
        said = done.stderr.strip()[-300:]
        raise Unreachable(f"{place}: ceph {asked} ended with {done.status}: {said}")
    said = done.stdout.strip() or "null"
    # `tell` prints a word on some releases before its document.
    begins = min((said.index(mark) for mark in "[{" if mark in said), default=0)
    try:
        return schema.read(read, json.loads(said[begins:]))
    except Garbled as error:
        raise Garbled(f"{place}: ceph {' '.join(argv[3:-2])}: {error}") from error
    except ValueError as error:
        raise Garbled(f"{place}: garbled: {said[-200:]!r}") from error
