"""The databases of the old and the new platform, compared row by row through SSH tunnels."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import closing
from typing import ClassVar

from harness.backup.equality.compare import compared
from harness.backup.equality.session import Server
from harness.core.errors import NotProven
from harness.core.model import JSON
from harness.facts.databases import DATABASES, Compared
from harness.facts.schema import dump
from harness.probes.probe import Timing
from harness.settings.databases import DatabaseServer
from harness.transport import Reach
from harness.transport.objects import must
from harness.transport.ssh import Tunnels


class Databases:
    """Compares every database of both sides; reads only."""

    name: ClassVar[str] = DATABASES.name
    sentence: ClassVar[str] = "every database of the old and the new platform"
    # It reads every row, on machines whose speed other probes measure.
    timing: ClassVar[Timing] = Timing.ALONE
    within_s: ClassVar[float] = 12 * 3600.0

    def targets(self, reach: Reach) -> Sequence[str]:
        return [reach.profile.name]

    def observe(self, reach: Reach, target: str) -> JSON:
        return dump(compare(reach))


def compare(
    reach: Reach, databases: Collection[str] = (), tell: Callable[[str], object] = lambda _: None
) -> dict[str, Compared]:
    """Compare the declared servers; NotProven or a TransportError if one cannot be asked."""
    declared = reach.profile.equality
    if declared is None:
        raise NotProven("the profile declares no databases", remedy="declare `equality:`")
    machines = reach.profile.cluster().machines
    with closing(Tunnels(reach.profile.access.ssh, machines)) as tunnels:
        source, target = (
            server_of(reach, tunnels, it) for it in (declared.source, declared.target)
        )
        return compared(source, target, databases or declared.databases, tell=tell)


def server_of(reach: Reach, tunnels: Tunnels, declared: DatabaseServer) -> Server:
    """A server behind a socket file of a tunnel; ConfigError without its password."""
    machine, address = declared.machine, str(declared.address)
    if declared.service is not None:
        space, _, name = declared.service.partition("/")
        found = reach.kube.get(f"/api/v1/namespaces/{space}/services/{name}")
        address = must(found, "spec", "clusterIP")
        machine = reach.profile.cluster().servers[0].name
    assert machine is not None
    socket = tunnels.unix_forward(machine, address, declared.port)
    return Server(str(socket.parent), declared.port, declared.user, declared.password())
