"""Asks Ceph where the profile says so: on machines, or in Rook's toolbox."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TypeVar
from urllib.parse import quote

from typing_extensions import TypeForm

from harness.core.errors import ConfigError, Garbled, TransportError, Unreachable
from harness.facts import schema
from harness.transport.objects import is_ready, listed, must, part
from harness.transport.protocols import Completed, Reach

T = TypeVar("T")

_CONNECT_S = 10


def ask_ceph(
    reach: Reach,
    *words: str,
    read: TypeForm[T],
    on: Sequence[str] = (),
    within_s: float = 20.0,
) -> T:
    """What ``ceph WORDS`` answers, as the type ``read``; None without output.

    If Ceph is asked through the machines, the first of ``on`` (of all, if none is named) that
    answers is enough; Rook's Ceph is asked in its toolbox. Raises TransportError if no place
    answers: TimedOut if the only place asked is late.
    """
    argv = ("ceph", "--connect-timeout", str(_CONNECT_S), *words, "--format", "json")
    machines = list(on) or [machine.name for machine in reach.profile.machines]
    problems: list[TransportError] = []
    for machine in machines[:1] if reach.profile.ceph.through == "toolbox" else machines:
        try:
            place, done = run_beside_ceph(reach, argv, on=machine, within_s=within_s)
            return _answer(place, done, argv, read)
        except TransportError as error:
            problems.append(error)
    if not problems:
        raise ConfigError("there is no machine to ask Ceph on")
    raise problems[-1]


def run_beside_ceph(
    reach: Reach, argv: Sequence[str], *, on: str, within_s: float
) -> tuple[str, Completed]:
    """Run a program that comes with Ceph, on a machine or in Rook's toolbox; also return where."""
    if reach.profile.ceph.through == "toolbox":
        space, pod = toolbox(reach)
        return f"{space}/{pod}", reach.kube.exec(space, pod, argv, within_s=within_s)
    return on, reach.shell.run(on, argv, within_s=within_s)


def toolbox(reach: Reach) -> tuple[str, str]:
    """Namespace and name of a ready pod of Rook's toolbox; TransportError when there is none."""
    space, label = reach.profile.ceph.toolbox_namespace, reach.profile.ceph.toolbox_label
    found = reach.kube.get(f"/api/v1/namespaces/{space}/pods?labelSelector={quote(label, safe='')}")
    pods = listed(found, "items")
    ready = sorted(must(it, "metadata", "name") for it in pods if is_ready(part(it, "status")))
    if not ready:
        raise TransportError(
            f"Rook's toolbox is not there: no pod with the label {label} is ready in {space}",
            remedy="deploy Rook's toolbox, or ask Ceph through the machines (ceph.through)",
        )
    return space, ready[0]


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
