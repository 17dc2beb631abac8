"""Open every way to a cluster at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager

from harness.settings import Profile
from harness.transport.netns import enter_network
from harness.transport.protocols import Reach


@contextmanager
def connect(profile: Profile) -> Iterator[Reach]:
    """The ways to a cluster; nothing is contacted before the first call on one of them.

    Enters the profile's network namespace first, so that nothing meant for it leaves by another
    network: call this before other threads exist. Raises ConfigError when that cannot be done.
    """
    if profile.access.network_namespace is not None:
        enter_network(profile.access.network_namespace)
    # These load for a second, which commands that contact nothing should not wait for.
    from harness.transport.ansible import AnsibleFleet
    from harness.transport.kube import ApiKube
    from harness.transport.outside import Network
    from harness.transport.ssh import SshShell

    ssh, machines = profile.access.ssh, profile.cluster().machines
    with (
        closing(SshShell(ssh, machines)) as shell,
        closing(ApiKube(profile.access.kubeconfig, _api_servers(profile))) as kube,
    ):
        fleet = AnsibleFleet(ssh, machines)
        yield Reach(profile=profile, shell=shell, kube=kube, fleet=fleet, outside=Network())


def _api_servers(profile: Profile) -> Sequence[Sequence[str]]:
    """The URLs of the API's servers: as they reach each other, and as the world reaches them."""
    servers = [machine for machine in profile.machines if "server" in machine.roles]
    inside = [str(machine.address) for machine in servers]
    outside = [str(it) for server in servers for it in server.outside_address if it.version == 4]
    port = profile.kubernetes.api_port
    return [[f"https://{it}:{port}" for it in place] for place in (inside, outside)]
