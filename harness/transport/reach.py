"""Opens every connection to a cluster, and makes sure that it is the declared cluster."""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from harness.core.errors import ConfigError, Denied, Refused
from harness.settings import Profile
from harness.transport.objects import must
from harness.transport.protocols import Reach

_CLONE_NEWNET = 0x40000000
_OURS = Path("/proc/thread-self/ns/net")
# A cluster has no name of its own; this UID lives exactly as long as the cluster.
_UID_OF = "/api/v1/namespaces/kube-system"


@contextmanager
def connect(profile: Profile) -> Iterator[Reach]:
    """The connections to a cluster; none is opened before its first call.

    Enters the profile's network namespace first, so that nothing meant for it leaves by another
    network: call this before other threads exist. Raises ConfigError when that cannot be done.
    """
    if profile.access.network_namespace is not None:
        enter_network(profile.access.network_namespace)
    # These load for a second, which commands that contact nothing should not wait for.
    from harness.transport.ansible import AnsibleFleet
    from harness.transport.kube import ApiKube
    from harness.transport.network import Network
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


def enter_network(path: Path) -> None:
    """Move this process's network into the namespace at ``path``; does nothing when it is there.

    Only the calling thread moves, and threads that it starts later: call it before any other
    thread or socket exists. ConfigError when the namespace is missing or it is too late to enter,
    Denied without root's rights.
    """
    try:
        wanted = path.stat()
    except OSError as error:
        raise ConfigError(
            f"the network namespace {path} is missing: the lab is not up",
            remedy="./cutover lab up",
        ) from error
    ours = _OURS.stat()
    if (wanted.st_dev, wanted.st_ino) == (ours.st_dev, ours.st_ino):
        return
    this = threading.current_thread()
    others = [thread.name for thread in threading.enumerate() if thread is not this]
    if others:
        raise ConfigError(
            f"too late to enter the network namespace {path}: threads run outside it "
            f"({', '.join(others)})",
            remedy="call enter_network before anything else starts",
        )
    _setns(path)


def _setns(path: Path) -> None:
    # os.setns came with Python 3.12.
    libc = ctypes.CDLL(None, use_errno=True)
    namespace = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if libc.setns(namespace, _CLONE_NEWNET) == 0:
            return
        why = os.strerror(ctypes.get_errno())
    finally:
        os.close(namespace)
    raise Denied(f"cannot enter the network namespace {path}: {why}", remedy="run as root")


def same_cluster(reach: Reach, *, undeclared: bool = False) -> None:
    """Refused if the cluster that answers is not the declared one.

    A profile without a declared cluster is refused too, unless ``undeclared`` allows it.
    """
    profile = reach.profile
    declared = profile.declared_uid()
    if declared is None and undeclared:
        return
    uid = must(reach.kube.get(_UID_OF), "metadata", "uid")
    if uid != declared:
        raise Refused(
            f"{profile.name} is declared to be cluster {declared}, but {uid} answers",
            remedy=f"is {profile.access.kubeconfig} of another cluster? Else correct its uid",
        )
