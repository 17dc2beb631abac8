"""Where names of the old platform lead, and Services that lead out of the cluster."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address
from typing import ClassVar

from harness.core.errors import NotProven
from harness.core.model import JSON
from harness.facts.old_names import OLD_NAMES, OLD_ROUTES, Alias, Name, OldNames, Routes
from harness.facts.schema import dump
from harness.probes.probe import Timing
from harness.probes.scripts import names_script, pod_script
from harness.settings import Profile
from harness.settings.services import Swarm
from harness.transport import Reach
from harness.transport.objects import count, listed, must, part, text
from harness.transport.remote_script import RemoteScript

SCRIPT = RemoteScript(pod_script, names_script)
_DNS = "/api/v1/namespaces/kube-system/services?labelSelector=k8s-app%3Dkube-dns"
_SERVICES = "/api/v1/services"
_SLICES = "/apis/discovery.k8s.io/v1/endpointslices"
_OF_SERVICE = "kubernetes.io/service-name"


class NamesOfOldPlatform:
    """Asks each machine, and the cluster's DNS, where the declared names lead."""

    name: ClassVar[str] = OLD_NAMES.name
    sentence: ClassVar[str] = "where the names of the old platform lead"
    timing: ClassVar[Timing] = Timing.AT_START
    within_s: ClassVar[float] = 60.0

    def targets(self, reach: Reach) -> Sequence[str]:
        return [machine.name for machine in reach.profile.machines]

    def observe(self, reach: Reach, target: str) -> JSON:
        swarm = _declared(reach.profile)
        names = _names(reach, target, swarm.known_hosts, swarm)
        return dump(OldNames(old=_old(reach.profile), names=names))


class RoutesToOldPlatform:
    """Reads all Services and EndpointSlices for those that lead to no pod."""

    name: ClassVar[str] = OLD_ROUTES.name
    sentence: ClassVar[str] = "where Services without pods lead"
    timing: ClassVar[Timing] = Timing.AT_START
    within_s: ClassVar[float] = 60.0

    def targets(self, reach: Reach) -> Sequence[str]:
        return [reach.profile.name]

    def observe(self, reach: Reach, target: str) -> JSON:
        swarm = _declared(reach.profile)
        aliases = {
            _full_name(it): must(it, "spec", "externalName")
            for it in listed(reach.kube.get(_SERVICES), "items")
            if text(it, "spec", "type") == "ExternalName"
        }
        asked = reach.profile.machines[0].name
        seen = _names(reach, asked, tuple(dict.fromkeys(aliases.values())), swarm)
        routes = Routes(
            old=_old(reach.profile),
            ports=swarm.published_ports,
            aliases={it: Alias(name=name, seen=seen[name]) for it, name in aliases.items()},
            endpoints=_without_pods(reach.kube.get(_SLICES)),
        )
        return dump(routes)


def _declared(profile: Profile) -> Swarm:
    if profile.swarm is None:
        raise NotProven(
            f"the profile {profile.name} does not say what the old platform was",
            remedy="keep `swarm:` in the profile, also when the Swarm is gone",
        )
    return profile.swarm


def _old(profile: Profile) -> tuple[str, ...]:
    """The old platform's addresses: those of all machines, from inside and outside."""
    return tuple(
        dict.fromkeys(
            str(address)
            for machine in profile.machines
            for address in (machine.address, *machine.outside_addresses)
        )
    )


def _names(reach: Reach, machine: str, names: Sequence[str], swarm: Swarm) -> dict[str, Name]:
    """Where names lead, as a machine and the cluster's DNS see them."""
    if not names:
        return {}
    found = listed(reach.kube.get(_DNS), "items")
    if not found:
        raise NotProven("no Service of kube-system has the label k8s-app=kube-dns")
    server = must(found[0], "spec", "clusterIP")
    ports = list(swarm.published_ports)
    asked = SCRIPT.on(
        reach.shell, machine, list(names), server, ports, within_s=50.0, read=dict[str, Name]
    )
    return asked.value


def _without_pods(slices: object) -> dict[str, tuple[str, ...]]:
    """The endpoints that are no pods', by the Service that leads to them."""
    found: dict[str, list[str]] = {}
    for one in listed(slices, "items"):
        addresses = [
            str(address)
            for it in listed(one, "endpoints")
            if text(it, "targetRef", "kind") != "Pod"
            for address in listed(it, "addresses")
        ]
        ports = [count(port, "port") for port in listed(one, "ports")]
        places = [_place(address, port) for address in addresses for port in ports]
        if places:
            space = must(one, "metadata", "namespace")
            labels = part(one, "metadata", "labels")
            service = labels.get(_OF_SERVICE) or must(one, "metadata", "name")
            found.setdefault(f"{space}/{service}", []).extend(places)
    return {name: tuple(sorted(set(places))) for name, places in found.items()}


def _place(address: str, port: int) -> str:
    try:
        is_ipv6 = ip_address(address).version == 6
    except ValueError:  # a slice of host names
        is_ipv6 = False
    return f"[{address}]:{port}" if is_ipv6 else f"{address}:{port}"


def _full_name(item: object) -> str:
    return f"{must(item, 'metadata', 'namespace')}/{must(item, 'metadata', 'name')}"
