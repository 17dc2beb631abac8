"""All that Ceph says of itself, asked once, through the first place that gets an answer.

A place is a machine, or Rook's toolbox. The value:

``through``  the place that got an answer; None when no place did
``items``    each {"value"} or {"error"}: see ``ceph_script``, which runs there; here its texts of
             time become seconds since the epoch
``silent``   place → what it said: from there, no monitor answered in time
``lost``     place → why Ceph could not be asked from there
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, ClassVar, TypeAlias

from harness.errors import Garbled, HarnessError, TransportError, Unreachable
from harness.model import JSON
from harness.probes import ceph_script, pods
from harness.transport import Reach
from harness.transport.ceph import toolbox
from harness.transport.remote_script import RemoteScript

SCRIPT = RemoteScript(ceph_script)
# The script's own limits end it before.
_CALL_S = 100.0

Way: TypeAlias = Callable[[], Any]
Report: TypeAlias = "Mapping[str, Any] | HarnessError"


class Ceph:
    """Asks Ceph through one machine, and through the others when that one gets no answer."""

    name: ClassVar[str] = "ceph"
    within_s: ClassVar[float] = 220.0

    def targets(self, reach: Reach) -> Sequence[str]:
        return [reach.profile.name]

    def observe(self, reach: Reach, target: str) -> JSON:
        ways = _ways(reach)
        first, *others = ways
        told = _asked(ways, [first])
        if not _answers(told):
            told |= _asked(ways, others)
        lost = {at: str(said) for at, said in told.items() if isinstance(said, HarnessError)}
        if len(lost) == len(told):
            raise Unreachable(f"Ceph could not be asked: {'; '.join(lost.values())}")
        through, items = next(iter(_answers(told).items()), (None, {}))
        silent = {
            at: f"{said['silent']}; {said['monitor']}"
            for at, said in told.items()
            if isinstance(said, Mapping) and "silent" in said
        }
        return {"through": through, "items": _in_seconds(items), "silent": silent, "lost": lost}


def _asked(ways: Mapping[str, Way], places: Sequence[str]) -> dict[str, Report]:
    return pods.in_each(places, lambda place: _told(place, ways[place]))


def _answers(told: Mapping[str, Report]) -> dict[str, Mapping[str, Any]]:
    """The items of each place that got an answer."""
    return {
        at: said["items"]
        for at, said in told.items()
        if isinstance(said, Mapping) and "items" in said
    }


def _ways(reach: Reach) -> dict[str, Way]:
    """How the script is run in each place where Ceph can be asked."""
    kube = reach.kube
    if reach.profile.ceph.through == "machines":

        def on(machine: str) -> Any:
            return SCRIPT.on(reach.shell, machine, within_s=_CALL_S).value

        return {m.name: partial(on, m.name) for m in reach.profile.machines}
    space, pod = toolbox(reach)
    return {f"{space}/{pod}": lambda: SCRIPT.in_pod(kube, space, pod, within_s=_CALL_S).value}


def _told(place: str, way: Way) -> Mapping[str, Any]:
    """What the script reported; raises TransportError when Ceph could not be asked from there."""
    report = way()
    if not isinstance(report, dict) or not {"items", "silent", "error"} & set(report):
        raise Garbled(f"{place}: the answer of {SCRIPT.name} is garbled: {str(report)[-200:]}")
    if "error" in report:
        raise TransportError(f"{place}: {report['error']}")
    return report


def _in_seconds(items: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(items)
    groups = found.get("placement groups", {}).get("value")
    if groups is not None:
        try:
            found["placement groups"] = {"value": [_group(group) for group in groups]}
        except ValueError as error:
            found["placement groups"] = {"error": f"not understood: {error}"}
    return found


def _group(group: Mapping[str, Any]) -> dict[str, Any]:
    times = ("scrubbed", "deep_scrubbed")
    return {**group, **{time: seconds(group[time]) for time in times}}


def seconds(text: str) -> float:
    """UTC seconds since the epoch of a time as Ceph writes it; ValueError without its zone."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} names no time zone")
    return moment.timestamp()
