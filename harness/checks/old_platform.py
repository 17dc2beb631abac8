"""W9-SWARM-GONE: no machine is in a Swarm, runs its containers, or listens for it."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address

from harness.checks.findings import Finding, Seen, conclude, looks, names, unknown, wanted
from harness.core.model import Case, Verdict
from harness.facts.edge import Socket
from harness.facts.old_platform import REMAINS, Remains

_KEY = "remains_count"
_OUT = "inactive"
# Programs that listen for a Swarm and for its services.
_DOCKER = ("dockerd", "docker-proxy")
# The port of Docker's overlay networks, which the kernel listens on.
_VXLAN = 4789


def _seen(case: Case) -> Seen[Remains]:
    return looks(case, REMAINS, [machine.name for machine in case.cluster.machines])


def swarm_is_gone(case: Case) -> Verdict:
    """No machine is a node of a Swarm, runs a container of one, or comes back into one.

    A Docker that is only stopped joins its Swarm again when it starts, so it has to leave first. So
    does one that is removed and installed again: `apt remove` leaves the node's keys, and a
    manager's copy of every secret, on the disk.
    """
    seen = _seen(case)
    findings = [it for name, found in seen.values.items() for it in _of_docker(name, found)]
    return _concluded(case, seen, findings, "no machine is in a Swarm, or comes back into one")


def _of_docker(name: str, found: Remains) -> Iterator[Finding]:
    if found.why:
        yield unknown(name, f"its Docker did not answer: {found.why}")
    if found.state not in (None, _OUT):
        yield Finding(name, f"expected no node of a Swarm, seen its Docker {found.state} in one")
    elif found.comes_back and not found.installed:
        says = "expected no Swarm on its disk, seen its keys and state without a Docker"
        yield Finding(
            name, f"{says}: one that is installed again joins it (rm -r /var/lib/docker/swarm)"
        )
    elif found.comes_back:
        says = "expected Docker to have left its Swarm, seen that it would join it again"
        yield Finding(name, f"{says} (docker swarm leave --force)")
    if found.services:
        yield Finding(
            name, f"expected no container of a Swarm, seen some of {names(found.services)}"
        )


def ports_are_closed(case: Case) -> Verdict:
    """Docker listens at no address that another machine reaches, for itself or for a container.

    The port of its overlay networks is the kernel's, which does not say whose: it counts unless a
    VXLAN device of the machine has that port, as those of other pod networks do.
    """
    seen = _seen(case)
    findings = []
    for name, found in seen.values.items():
        ports = [
            f"{it.port}/{it.protocol} ({it.program})"
            for it in found.sockets
            if not _is_local(it) and _is_dockers(it, found)
        ]
        if ports:
            says = f"expected no port of Docker that listens, seen {names(dict.fromkeys(ports))}"
            findings.append(Finding(name, says))
    return _concluded(case, seen, findings, "no machine has a port of Docker that listens")


def _is_dockers(it: Socket, found: Remains) -> bool:
    of_overlay = it.protocol == "udp" and it.port == _VXLAN and it.program == "the kernel"
    return it.program in _DOCKER or (of_overlay and _VXLAN not in found.vxlan)


def _is_local(it: Socket) -> bool:
    return it.device == "lo" or ip_address(it.address).is_loopback


def _concluded(case: Case, seen: Seen[Remains], findings: list[Finding], proven: str) -> Verdict:
    target = wanted(case, _KEY)
    measured = {_KEY: float(len(findings))} if seen.values else {}
    if not case.cluster.machines:
        findings.append(unknown("the profile", "it declares no machine"))
    return conclude(findings, seen, proven=proven, measured=measured, target=target)


CHECKS = {
    "no machine is in a Swarm": swarm_is_gone,
    "no port of Docker listens": ports_are_closed,
}
