"""Pods that talk to each other on every ordered pair of machines, to services and to DNS.

One pod stands on each machine, and a service before each pod. The value:

``pairs``       "A → B" → {"small", "large": datagrams that B itself received from A, of those sent;
                "tcp", "bulk", "service": {"value", "took_s"} or {"error"}}, or {"error"}
``names``       machine → {"expected": [address], "resolver": {kind of name: …}, "nameserver":
                {its address: …}, "servers": {address of a pod that serves DNS: … and "on", its
                machine}}, each "value" a list of addresses, or {"error"}
``dns_on``      machines whose pods serve DNS
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any, ClassVar, TypeAlias

from harness.errors import HarnessError
from harness.model import JSON
from harness.probes import pods
from harness.transport import Kube, Reach

_HEADERS = 28  # IPv4 and UDP, beside the payload of the largest datagram
_SMALL = 64
_DNS_PODS = "/api/v1/namespaces/kube-system/pods?labelSelector=k8s-app%3Dkube-dns"
# How long a pod tries for each connection and name; the slowest that passes is judged.
_PATIENCE_S = 8.0

Answers: TypeAlias = Mapping[str, Any]


class PodNetwork:
    """Deploys its own pods, lets them talk, asks the receivers, and removes everything."""

    name: ClassVar[str] = "pod-network"
    within_s: ClassVar[float] = 120.0

    def targets(self, reach: Reach) -> Sequence[str]:
        return [reach.profile.name]

    def observe(self, reach: Reach, target: str) -> JSON:
        machines = [machine.name for machine in reach.profile.machines]
        with pods.namespace(reach.kube) as space:
            servers = _name_servers(reach.kube)
            talk = _Talk(reach, space, _deploy(reach, space, machines), servers)
            said = pods.in_each(talk.ready, talk.in_pod)
            heard = pods.in_each(talk.ready, talk.received)
        return {
            "pairs": {
                f"{one} → {other}": talk.pair(one, other, said, heard)
                for one, other in permutations(machines, 2)
            },
            "names": {machine: talk.names(machine, said) for machine in machines},
            "dns_on": sorted(set(servers.values())),
        }


@dataclass(frozen=True, slots=True)
class _Stage:
    """By machine: addresses of the ready pods, why others are not, addresses of the services."""

    ready: Mapping[str, str]
    late: Mapping[str, str]
    services: Mapping[str, str]


def _deploy(reach: Reach, space: str, machines: Sequence[str]) -> _Stage:
    names = {machine: pods.name_of("pod", machine) for machine in machines}
    for machine, name in names.items():
        # Services first: CoreDNS then knows them long before anybody asks.
        reach.kube.apply(pods.service(space, _service_of(machine), name))
        reach.kube.apply(pods.pod(reach, space, name, machine, "probe"))
    ready, late = pods.addresses_when_ready(reach.kube, space, names, within_s=45.0)
    listed = reach.kube.get(f"/api/v1/namespaces/{space}/services")["items"]
    by_name = {item["metadata"]["name"]: item["spec"]["clusterIP"] for item in listed}
    return _Stage(ready, late, {machine: by_name[_service_of(machine)] for machine in machines})


def _service_of(machine: str) -> str:
    # Not the pod's own name, which its /etc/hosts would resolve without any DNS.
    return pods.name_of("to", machine)


def _name_servers(kube: Kube) -> Mapping[str, str]:
    """The machines of the pods that serve DNS, by the pods' addresses (or names, without one)."""
    return {
        item.get("status", {}).get("podIP") or item["metadata"]["name"]: item["spec"]["nodeName"]
        for item in kube.get(_DNS_PODS)["items"]
        if item["spec"].get("nodeName")
        # A pod that a shutdown of its machine has ended stays in the list, with its address.
        and item.get("status", {}).get("phase") not in ("Failed", "Succeeded")
    }


class _Talk:
    """One round of talk between the pods that are ready."""

    def __init__(self, reach: Reach, space: str, stage: _Stage, servers: Mapping[str, str]) -> None:
        self._servers = servers
        self._kube = reach.kube
        self._kubernetes = reach.profile.kubernetes
        self._space = space
        self._stage = stage
        self._nonce = secrets.token_hex(8)

    @property
    def ready(self) -> Mapping[str, str]:
        return self._stage.ready

    def in_pod(self, machine: str) -> Any:
        """Let the pod on this machine talk to all the others."""
        peers = {peer: ip for peer, ip in self.ready.items() if peer != machine}
        names = self._names_of(machine)
        wanted = {
            "me": machine,
            "nonce": self._nonce,
            "port": pods.PORT,
            "mtu": self._kubernetes.pod_mtu,
            "within_s": _PATIENCE_S,
            "peers": peers,
            "services": {peer: self._stage.services[peer] for peer in peers},
            "names": names,
            "servers": list(self._servers),
        }
        return self._run(machine, "talk", json.dumps(wanted))

    def received(self, machine: str) -> Any:
        """What the pod on this machine received from all the others."""
        return self._run(machine, "report", str(pods.PORT))

    def _run(self, machine: str, role: str, argument: str) -> Any:
        name = pods.name_of("pod", machine)
        return pods.run_script(self._kube, self._space, name, role, argument)

    def _names_of(self, machine: str) -> dict[str, str]:
        """The names of the service before this machine's own pod."""
        short = _service_of(machine)
        return {
            "short name": short,
            "name with namespace": f"{short}.{self._space}",
            "full name": f"{short}.{self._space}.svc.{self._kubernetes.domain}",
        }

    def pair(self, one: str, other: str, said: Answers, heard: Answers) -> JSON:
        """What came of one ordered pair: sent by the one, received by the other."""
        for machine, answers in ((one, said), (other, heard)):
            if problem := self._problem(machine, answers):
                return {"error": f"{machine}: {problem}"}
        spoke: Any = said[one]
        sizes: Any = heard[other].get(f"{self._nonce} {one}", {})
        mtu = self._kubernetes.pod_mtu
        heard_small, heard_large = sizes.get(str(_SMALL), 0), sizes.get(str(mtu - _HEADERS), 0)
        return {
            "small": {"received": heard_small, **spoke["small"][other]},
            "large": {"received": heard_large, "bytes": mtu, **spoke["large"][other]},
            **{kind: spoke[kind][other] for kind in ("tcp", "bulk", "service")},
        }

    def names(self, machine: str, said: Answers) -> JSON:
        """What the names of the machine's own service resolved to, in its pod."""
        if problem := self._problem(machine, said):
            return {"error": problem}
        spoke: Any = said[machine]
        return {
            "expected": [self._stage.services[machine]],
            "resolver": spoke["resolver"],
            "nameserver": spoke["nameserver"],
            "servers": {
                address: {"on": self._servers[address], **answer}
                for address, answer in spoke["server"].items()
            },
        }

    def _problem(self, machine: str, answers: Answers) -> str | None:
        if machine in self._stage.late:
            return self._stage.late[machine]
        answer = answers[machine]
        return str(answer) if isinstance(answer, HarnessError) else None
