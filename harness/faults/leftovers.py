"""Finds what faults left: on machines, on this computer, and in the API. Read only."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence

from harness.core.errors import HarnessError
from harness.core.parallel import in_each
from harness.faults.fault import server_beside
from harness.faults.kinds import drain, slow_api
from harness.faults.model import API
from harness.faults.undo_store import Left, LocalUndoStore, NodeUndoStore
from harness.transport import Reach
from harness.transport.objects import listed, must, text

_OURS = re.compile(r"cutover-([a-z0-9]{4,16})")


def leftovers(reach: Reach) -> tuple[Sequence[Left], Sequence[str]]:
    """What faults left in every place, and the places that did not answer, with the reason."""
    machines = [machine.name for machine in reach.profile.machines]
    told = in_each(machines, lambda machine: NodeUndoStore(reach, machine).left())
    found = [LocalUndoStore().left(), *(it for it in told.values() if isinstance(it, Left))]
    lost = [f"{machine}: {it}" for machine, it in told.items() if isinstance(it, HarnessError)]
    armed = {name for left in found for name in left.armed}
    for look in (_objects, _cordons):
        try:
            found += look(reach, armed)
        except HarnessError as error:
            lost.append(f"{API}: {error}")
    return [it for it in found if not it.is_nothing], lost


def _objects(reach: Reach, armed: Collection[str]) -> Iterator[Left]:
    """Objects with the mark that belong to no fault with an armed undo."""
    strays = []
    for path in slow_api.KEPT:
        for item in listed(reach.kube.get(path), "items"):
            name = must(item, "metadata", "name")
            ours = _OURS.fullmatch(name)
            if ours and ours[1] not in armed:
                strays.append(("DELETE", f"{path}/{name}"))
    yield Left(place=API, strays=tuple(strays))


def _cordons(reach: Reach, armed: Collection[str]) -> Iterator[Left]:
    """Machines that a fault drained; a machine that an operator cordoned has no mark."""
    known = {machine.name for machine in reach.profile.machines}
    for node in listed(reach.kube.get("/api/v1/nodes"), "items"):
        name = must(node, "metadata", "name")
        by = text(node, "metadata", "annotations", drain.MARKED)
        if by is not None and by not in armed and name in known:
            place = server_beside(reach, name).name
            yield Left(place=place, strays=drain.undoing(reach, name))
