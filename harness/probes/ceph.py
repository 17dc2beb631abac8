"""What Ceph reports about itself, asked once, through the first place that gets an answer.

A place is a machine, or Rook's toolbox. ``ceph_script`` runs there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import ClassVar, TypeAlias

from harness.core.errors import Garbled, HarnessError, TransportError, Unreachable
from harness.core.model import JSON
from harness.core.parallel import in_each
from harness.facts.ceph import (
    CEPH,
    PLACEMENT_GROUPS,
    STAMPED_GROUPS,
    Answers,
    CephReport,
    PlacementGroup,
    Said,
    Silence,
    StampedGroup,
)
from harness.facts.schema import Items, Known, Unknown, dump, read
from harness.probes.probe import Timing
from harness.probes.scripts import ceph_script
from harness.transport import Reach
from harness.transport.ceph import toolboxes
from harness.transport.remote_script import RemoteScript

SCRIPT = RemoteScript(ceph_script)
# The script's own limits end it earlier.
_CALL_S = 100.0

Way: TypeAlias = Callable[[], Answers | Silence | Unknown]
Told: TypeAlias = Mapping[str, Answers | Silence | HarnessError]


class Ceph:
    """Asks Ceph through one machine, and through the others if that one gets no answer."""

    name: ClassVar[str] = CEPH.name
    sentence: ClassVar[str] = "what Ceph says of itself"
    timing: ClassVar[Timing] = Timing.AT_START
    within_s: ClassVar[float] = 220.0

    def targets(self, reach: Reach) -> Sequence[str]:
        return [reach.profile.name]

    def observe(self, reach: Reach, target: str) -> JSON:
        return dump(look(reach))


def look(reach: Reach) -> CephReport:
    """What Ceph reports now; raises Unreachable if no place could ask it."""
    ways = _ways(reach)
    first, *others = ways
    told = _asked(ways, [first])
    if not _answers(told):
        told = {**told, **_asked(ways, others)}
    lost = {at: str(said) for at, said in told.items() if isinstance(said, HarnessError)}
    if len(lost) == len(told):
        raise Unreachable(f"Ceph could not be asked: {'; '.join(lost.values())}")
    through, items = next(iter(_answers(told).items()), (None, {}))
    silent = {
        at: f"{said.silent}; {said.monitor}"
        for at, said in told.items()
        if isinstance(said, Silence)
    }
    return CephReport(through=through, items=_in_seconds(items), silent=silent, lost=lost)


def _asked(ways: Mapping[str, Way], places: Sequence[str]) -> Told:
    return in_each(places, lambda place: _told(place, ways[place]))


def _answers(told: Told) -> dict[str, Items]:
    """The items of each place that got an answer."""
    return {at: said.items for at, said in told.items() if isinstance(said, Answers)}


def _ways(reach: Reach) -> dict[str, Way]:
    """How to run the script in each place where Ceph can be asked."""
    kube = reach.kube
    if reach.profile.ceph.through == "machines":

        def on(machine: str) -> Answers | Silence | Unknown:
            return SCRIPT.on(reach.shell, machine, within_s=_CALL_S, read=Said).value

        return {m.name: partial(on, m.name) for m in reach.profile.machines}

    def inside(space: str, pod: str) -> Answers | Silence | Unknown:
        return SCRIPT.in_pod(kube, space, pod, within_s=_CALL_S, read=Said).value

    return {f"{space}/{pod}": partial(inside, space, pod) for space, pod in toolboxes(reach)}


def _told(place: str, way: Way) -> Answers | Silence:
    """What the script reported; raises TransportError when Ceph could not be asked from there."""
    said = way()
    if isinstance(said, Unknown):
        raise TransportError(f"{place}: {said.error}")
    return said


def _in_seconds(items: Items) -> Items:
    """The items with the times of the placement groups in UTC seconds."""
    found = items.get(PLACEMENT_GROUPS.name)
    if not isinstance(found, Known):
        return items
    try:
        groups = [_group(group) for group in read(STAMPED_GROUPS.kind, found.value)]
    except (ValueError, Garbled) as error:
        return {**items, PLACEMENT_GROUPS.name: Unknown(f"not understood: {error}")}
    return {**items, PLACEMENT_GROUPS.name: Known(groups)}


def _group(group: StampedGroup) -> PlacementGroup:
    return PlacementGroup(
        id=group.id,
        state=group.state,
        acting=group.acting,
        scrubbed=seconds(group.scrubbed),
        deep_scrubbed=seconds(group.deep_scrubbed),
    )


def seconds(text: str) -> float:
    """UTC seconds since the epoch of a time as Ceph writes it; ValueError without its zone."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} names no time zone")
    return moment.timestamp()
