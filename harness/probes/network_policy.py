"""Servers, a friend and a stranger, before and after a policy that admits only friends."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from typing import ClassVar, TypeAlias

from harness.core.errors import HarnessError, TimedOut, Unreachable
from harness.core.model import JSON
from harness.core.parallel import in_each
from harness.core.waiting import until
from harness.facts.network import POLICY, Clients, Exchange, Policy, Talk
from harness.facts.schema import Unknown, dump
from harness.probes import pods
from harness.probes.probe import Timing
from harness.transport import Kube, Reach

_FRIEND, _STRANGER = _CLIENTS = "friend", "stranger"
_ENFORCED_WITHIN_S = 20.0

_Answers: TypeAlias = dict[str, Mapping[str, Exchange]]


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
            servers, late = _deploy(reach, space)
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


def _deploy(reach: Reach, space: str) -> tuple[dict[str, str], dict[str, str]]:
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
