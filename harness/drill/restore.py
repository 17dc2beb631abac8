"""The restore drill of a profile: who is restored, and the two sides behind their connections."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

from harness.backup.restore import side
from harness.backup.restore.round_trip import carry_out
from harness.backup.restore.trip import Trip
from harness.core.errors import ConfigError, NotProven
from harness.facts.restore import RoundTrip
from harness.probes.databases import server_of
from harness.probes.services import pods_of
from harness.settings import Profile
from harness.settings.restore import Restore, Side
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
) -> RoundTrip:
    """Make a customer's round trip; Refused or ConfigError before anything is touched.

    ``hide`` gets the passwords.
    """
    declared, name = customer_of(reach.profile, customer)
    machines = reach.profile.cluster().machines
    with closing(Tunnels(reach.profile.access.ssh, machines)) as tunnels:
        trip = Trip(
            name=name,
            customer=declared.customers[name],
            declared=declared,
            source=_side(reach, tunnels, declared.source),
            target=_side(reach, tunnels, declared.target),
            tell=tell,
        )
        for one in (trip.source, trip.target):
            hide(one.server.password)
        return carry_out(trip)


def _side(reach: Reach, tunnels: Tunnels, declared: Side) -> side.Side:
    server = server_of(reach, tunnels, declared.server)
    if declared.machine is not None:
        return side.Side(
            shell=reach.shell, place=declared.machine, server=server, backups=declared.backups
        )
    assert declared.namespace is not None
    assert declared.selector is not None
    pods = pods_of(reach.kube, declared.namespace, declared.selector)
    ready = next((pod for pod, is_up in sorted(pods.items()) if is_up), None)
    if ready is None:
        raise NotProven(f"no pod of {declared.namespace} with {declared.selector} is ready")
    return side.Side(
        shell=side.PodShell(reach.kube),
        place=f"{declared.namespace}/{ready}",
        server=server,
        backups=declared.backups,
    )
