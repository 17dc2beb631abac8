"""The restore drill of a profile: who is restored, and the two sides behind their connections."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager

from harness.backup.equality.session import Server
from harness.backup.restore import side
from harness.backup.restore.round_trip import carry_out
from harness.backup.restore.trip import Trip, removed
from harness.core.errors import ConfigError
from harness.facts.restore import RoundTrip
from harness.probes.databases import server_of
from harness.probes.services import ready_pod
from harness.settings import Profile
from harness.settings.restore import Restore, Side, Somewhere
from harness.transport import Reach
from harness.transport.ssh import Tunnels


def customer_of(profile: Profile, name: str | None) -> tuple[Restore, str]:
    """The declared restore, and the customer of that name or the first one; ConfigError if none."""
    declared = profile.restore
    if declared is None:
        raise ConfigError(
            f"the profile {profile.name} declares no restore",
            remedy="say in `restore:` how a backup is made and where it is restored; contabo.yaml "
            "shows how",
        )
    chosen = name or next(iter(declared.customers))
    if chosen not in declared.customers:
        raise ConfigError(
            f"the profile {profile.name} has no customer {chosen} to restore",
            remedy=f"its customers are {', '.join(declared.customers)}",
        )
    return declared, chosen


def restore_elsewhere(
    reach: Reach,
    customer: str | None,
    tell: Callable[[str], object],
    hide: Callable[[str], object],
    on_begin: Callable[[], object],
) -> RoundTrip:
    """Make a customer's round trip; Refused or ConfigError before anything is touched.

    ``hide`` gets the passwords; ``on_begin`` is called before anything is made.
    """
    with _trip(reach, customer, tell, on_begin) as trip:
        for one in (trip.source, trip.target):
            hide(one.server.password)
        return carry_out(trip)


def remove_restored(reach: Reach, customer: str, tell: Callable[[str], object]) -> Sequence[str]:
    """Remove what a killed restore of this customer left at the target; what stays, and why."""
    with _trip(reach, customer, tell) as trip:
        return tuple(removed(trip))


@contextmanager
def _trip(
    reach: Reach,
    customer: str | None,
    tell: Callable[[str], object],
    on_begin: Callable[[], object] = bool,
) -> Iterator[Trip]:
    declared, name = customer_of(reach.profile, customer)
    machines = reach.profile.cluster().machines
    with closing(Tunnels(reach.profile.access.ssh, machines)) as tunnels:
        yield Trip(
            name=name,
            customer=declared.customers[name],
            declared=declared,
            source=_side(reach, tunnels, declared.source),
            target=_side(reach, tunnels, declared.target),
            tell=tell,
            on_begin=on_begin,
        )


def _side(reach: Reach, tunnels: Tunnels, declared: Side) -> side.Side:
    server = server_of(reach, tunnels, declared.server)
    return side_at(reach, declared, server, declared.backups)


def side_at(reach: Reach, declared: Somewhere, server: Server, folder: str) -> side.Side:
    """The side whose commands run on a declared machine, or in the first ready pod; NotProven."""
    if declared.machine is not None:
        return side.Side(shell=reach.shell, place=declared.machine, server=server, backups=folder)
    assert declared.namespace is not None
    assert declared.selector is not None
    pod = ready_pod(reach.kube, declared.namespace, declared.selector)
    shell = side.PodShell(reach.kube)
    place = f"{declared.namespace}/{pod}"
    return side.Side(shell=shell, place=place, server=server, backups=folder)
