"""The pod network: pods that talk to each other, and a network policy that shuts some out.

Each machine has one pod, and each pod has a service. They talk on every ordered pair of machines,
to services and to DNS. For the policy there are a friend and a stranger, before and after.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import ClassVar, TypeAlias, TypeVar

from typing_extensions import TypeForm

from harness.core.errors import HarnessError, TimedOut, Unreachable
from harness.core.model import JSON
from harness.core.parallel import in_each
from harness.core.waiting import until
from harness.facts.network import (
    POD_NETWORK,
    POLICY,
    Clients,
    Datagrams,
    Exchange,
    Names,
    NameServer,
    Pair,
    Policy,
    Talk,
)
from harness.facts.network import PodNetwork as Seen
from harness.facts.schema import Known, Unknown, dump
from harness.probes import pods
from harness.probes.probe import Timing
from harness.transport import Kube, Reach
from harness.transport.objects import listed, must, text

T = TypeVar("T")

_FRIEND, _STRANGER = _CLIENTS = "friend", "stranger"
_ENFORCED_WITHIN_S = 20.0
_HEADERS = 28  # IPv4 and UDP, beside the payload of the largest datagram
_SMALL = 64
_DNS_PODS = "/api/v1/namespaces/kube-system/pods?labelSelector=k8s-app%3Dkube-dns"
# How long a pod tries each connection and name; checks judge the slowest success.
_PATIENCE_S = 8.0
_Answers: TypeAlias = dict[str, Mapping[str, Exchange]]
Answers: TypeAlias = Mapping[str, T | HarnessError]
# How many datagrams a pod received: by their content, and by their size in bytes.
_Received: TypeAlias = dict[str, dict[str, int]]


class PodNetwork:
    """Deploys its own pods, lets them talk, asks the receivers, and removes everything."""

    name: ClassVar[str] = POD_NETWORK.name
    sentence: ClassVar[str] = "pods on every node that talk to each other"
    timing: ClassVar[Timing] = Timing.WHEN_ASKED
    within_s: ClassVar[float] = 120.0

    def targets(self, reach: Reach) -> Sequence[str]:
        return [reach.profile.name]

    def observe(self, reach: Reach, target: str) -> JSON:
        machines = [machine.name for machine in reach.profile.machines]
        with pods.namespace(reach.kube) as space:
            servers = _name_servers(reach.kube)
            talk = _Talk(reach, space, _deploy(reach, space, machines), servers)
            said = in_each(talk.ready, talk.in_pod)
            heard = in_each(talk.ready, talk.received)
        pairs = {
            f"{one} → {other}": talk.pair(one, other, said, heard)
            for one, other in permutations(machines, 2)
        }
        names = {machine: talk.names(machine, said) for machine in machines}
        return dump(Seen(pairs, names, tuple(sorted(set(servers.values())))))


@dataclass(frozen=True, slots=True)
class _Stage:
    """By machine: addresses of the ready pods, why others are not, addresses of the services."""

    ready: Mapping[str, str]
    late: Mapping[str, str]
    services: Mapping[str, str]


def _deploy(reach: Reach, space: str, machines: Sequence[str]) -> _Stage:
    names = {machine: pods.name_of("pod", machine) for machine in machines}
    for machine, name in names.items():
        # Services first, so that CoreDNS knows them long before the first question.
        reach.kube.apply(pods.service(space, _service_of(machine), name))
        reach.kube.apply(pods.pod(reach, space, name, machine, "probe"))
    ready, late = pods.addresses_when_ready(reach.kube, space, names, within_s=45.0)
    made = listed(reach.kube.get(f"/api/v1/namespaces/{space}/services"), "items")
    by_name = {must(it, "metadata", "name"): must(it, "spec", "clusterIP") for it in made}
    return _Stage(ready, late, {machine: by_name[_service_of(machine)] for machine in machines})


def _service_of(machine: str) -> str:
    # Not the pod's own name, because its /etc/hosts resolves that without DNS.
    return pods.name_of("to", machine)


def _name_servers(kube: Kube) -> Mapping[str, str]:
    """The machines of the pods that serve DNS, by the pods' addresses (or names, without one)."""
    return {
        text(item, "status", "podIP") or must(item, "metadata", "name"): machine
        for item in listed(kube.get(_DNS_PODS), "items")
        if (machine := text(item, "spec", "nodeName"))
        # A pod that ended with a shutdown of its machine stays in the list, with its address.
        and text(item, "status", "phase") not in ("Failed", "Succeeded")
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

    def in_pod(self, machine: str) -> Talk:
        """The pod on this machine talks to all others."""
        peers = {peer: ip for peer, ip in self.ready.items() if peer != machine}
        names = self._names_of(machine)
        wanted: JSON = {
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
        return self._run(machine, "talk", wanted, Talk)

    def received(self, machine: str) -> _Received:
        """What the pod on this machine received from all the others."""
        return self._run(machine, "report", str(pods.PORT), _Received)

    def _run(self, machine: str, role: str, argument: JSON, kind: TypeForm[T]) -> T:
        name = pods.name_of("pod", machine)
        return pods.run_script(self._kube, self._space, name, role, argument, kind)

    def _names_of(self, machine: str) -> dict[str, str]:
        """The names of the service of this machine's own pod."""
        short = _service_of(machine)
        return {
            "short name": short,
            "name with namespace": f"{short}.{self._space}",
            "full name": f"{short}.{self._space}.svc.{self._kubernetes.domain}",
        }

    def pair(
        self, one: str, other: str, said: Answers[Talk], heard: Answers[_Received]
    ) -> Pair | Unknown:
        """The result of one ordered pair: sent by the one, received by the other."""
        spoke, received = self._answer(one, said), self._answer(other, heard)
        if isinstance(spoke, Unknown):
            return Unknown(f"{one}: {spoke.error}")
        if isinstance(received, Unknown):
            return Unknown(f"{other}: {received.error}")
        sizes = received.get(f"{self._nonce} {one}", {})
        mtu = self._kubernetes.pod_mtu
        heard_small, heard_large = sizes.get(str(_SMALL), 0), sizes.get(str(mtu - _HEADERS), 0)
        return Pair(
            small=_datagrams(heard_small, None, spoke.small[other]),
            large=_datagrams(heard_large, mtu, spoke.large[other]),
            tcp=spoke.tcp[other],
            bulk=spoke.bulk[other],
            service=spoke.service[other],
        )

    def names(self, machine: str, said: Answers[Talk]) -> Names | Unknown:
        """What the names of the machine's own service resolved to, in its pod."""
        spoke = self._answer(machine, said)
        if isinstance(spoke, Unknown):
            return spoke
        return Names(
            expected=(self._stage.services[machine],),
            resolver=spoke.resolver,
            nameserver=spoke.nameserver,
            servers={
                address: NameServer(
                    on=self._servers[address],
                    value=answer.value if isinstance(answer, Known) else None,
                    error=answer.error if isinstance(answer, Unknown) else None,
                    took_s=answer.took_s,
                )
                for address, answer in spoke.server.items()
            },
        )

    def _answer(self, machine: str, answers: Answers[T]) -> T | Unknown:
        if machine in self._stage.late:
            return Unknown(self._stage.late[machine])
        answer = answers[machine]
        return Unknown(str(answer)) if isinstance(answer, HarnessError) else answer


def _datagrams(received: int, size: int | None, sent: Exchange) -> Datagrams:
    error = sent.error if isinstance(sent, Unknown) else None
    return Datagrams(received=received, bytes=size, took_s=sent.took_s, error=error)


class NetworkPolicy:
    """Shows that both clients connect, then closes the servers to all but the friend."""

    name: ClassVar[str] = POLICY.name
    sentence: ClassVar[str] = "a service that a network policy closes to strangers"
    timing: ClassVar[Timing] = Timing.WHEN_ASKED
    within_s: ClassVar[float] = 120.0

    def targets(self, reach: Reach) -> Sequence[str]:
        return [reach.profile.name]

    def observe(self, reach: Reach, target: str) -> JSON:
        kube = reach.kube
        with pods.namespace(kube) as space:
            servers, late = _deploy_clients(reach, space)
            before = _connect(kube, space, servers, patience_s=8.0)
            kube.apply(_policy(space))
            began = time.monotonic()
            after = _when_denied(kube, space, servers)
            took_s = round(time.monotonic() - began, 1) if _are_shut_out(after) else None
        seen: dict[str, Policy | Unknown] = {machine: Unknown(it) for machine, it in late.items()}
        for machine in servers:
            seen[machine] = Policy(
                before=Clients(*(before[who][machine] for who in _CLIENTS)),
                after=Clients(*(after[who][machine] for who in _CLIENTS)),
                denied_after_s=took_s,
            )
        return dump(seen)


def _deploy_clients(reach: Reach, space: str) -> tuple[dict[str, str], dict[str, str]]:
    """Addresses of the servers by machine, and why others have none; both clients are ready."""
    machines = [machine.name for machine in reach.profile.machines]
    names = {machine: pods.name_of("server", machine) for machine in machines}
    for machine, name in names.items():
        reach.kube.apply(pods.pod(reach, space, name, machine, "server"))
    # On two machines where there are two, so that connections cross between machines.
    for client, machine in ((_FRIEND, machines[0]), (_STRANGER, machines[-1])):
        reach.kube.apply(pods.pod(reach, space, client, machine, client))
    clients = {_FRIEND: _FRIEND, _STRANGER: _STRANGER}
    ready, late = pods.addresses_when_ready(reach.kube, space, names | clients, within_s=45.0)
    for client in clients:
        if client in late:
            raise Unreachable(f"the {client} could not be set up: {late[client]}")
    return {machine: ip for machine, ip in ready.items() if machine in names}, late


def _policy(space: str) -> dict[str, object]:
    friends = {"podSelector": {"matchLabels": {"cutover/role": _FRIEND}}}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "friends-only", "namespace": space},
        "spec": {
            "podSelector": {"matchLabels": {"cutover/role": "server"}},
            "policyTypes": ["Ingress"],
            "ingress": [{"from": [friends]}],
        },
    }


def _connect(kube: Kube, space: str, servers: Mapping[str, str], patience_s: float) -> _Answers:
    """Results of connections from friend and stranger, by client and server's machine."""
    wanted: JSON = {
        "me": "client",
        "nonce": "none",
        "port": pods.PORT,
        "mtu": 576,
        "within_s": patience_s,
        "peers": {},
        "services": servers,
        "names": {},
        "servers": [],
    }

    def from_client(client: str) -> Mapping[str, Exchange]:
        return pods.run_script(kube, space, client, "talk", wanted, Talk).service

    answers: _Answers = {}
    for client, answer in in_each(_CLIENTS, from_client).items():
        if isinstance(answer, HarnessError):
            raise answer
        answers[client] = answer
    return answers


def _are_shut_out(answers: _Answers) -> bool:
    return all(isinstance(answer, Unknown) for answer in answers[_STRANGER].values())


def _when_denied(kube: Kube, space: str, servers: Mapping[str, str]) -> _Answers:
    """The connections once the stranger is denied everywhere, or the last results."""
    last: _Answers = {}

    def denied() -> bool:
        last.update(_connect(kube, space, servers, patience_s=1.0))
        return _are_shut_out(last)

    # The last answers show a stranger that still connects.
    with contextlib.suppress(TimedOut):
        until(denied, within_s=_ENFORCED_WITHIN_S, what="the stranger shut out", every_s=1.0)
    return last
