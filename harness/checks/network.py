"""W1-NETWORK: pods reach pods and services from every machine, and a policy denies.

Where Cilium is declared, each agent reports itself and the others healthy.

One missing route breaks every exchange that needs a reply, in both directions. What a receiver
itself saw is one-way, so it names the broken direction. An exchange that fails across a broken
direction is a consequence and does not count against another pair.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import permutations

from harness.checks.findings import Finding, Seen, conclude, look, looks, names, unknown, wanted
from harness.core.model import Case, Verdict
from harness.facts.network import (
    CILIUM,
    POD_NETWORK,
    POLICY,
    Agent,
    Controller,
    Datagrams,
    Names,
    Pair,
)
from harness.facts.schema import Unknown

_NOT_LOOKED = Unknown("no pod looked")
# Cilium waits one second longer after each failure in a row (pkg/controller), so n failures take
# about n²/2 s. Ten take about a minute, which a restart of the API server takes too; 35 take ten.
_IN_A_ROW = 10
_MINUTE_S = 60.0


def _pairs(case: Case) -> Seen[Pair]:
    """The result of each declared ordered pair."""
    whole = look(case, POD_NETWORK)
    seen = whole.only.pairs if whole.only else {}
    values, unseen = {}, list(whole.unseen)
    for one, other in permutations([machine.name for machine in case.cluster.machines], 2):
        pair = f"{one} → {other}"
        found = seen.get(pair, _NOT_LOOKED)
        if isinstance(found, Pair):
            values[pair] = found
        elif whole.values:
            unseen.append(unknown(pair, found.error))
    return Seen(values, tuple(unseen))


def _arrives(found: Pair) -> bool:
    return found.small.received > 0


def _back(pair: str) -> str:
    one, _, other = pair.partition(" → ")
    return f"{other} → {one}"


def _exchangeable(pairs: Seen[Pair]) -> Iterator[tuple[str, Pair]]:
    """The pairs that are open in both directions, as far as one-way datagrams tell."""
    for pair, found in pairs.values.items():
        back = pairs.values.get(_back(pair))
        if _arrives(found) and back is not None and _arrives(back):
            yield pair, found


def pods_reach_pods(case: Case) -> Verdict:
    target = wanted(case, "pair_s")
    pairs = _pairs(case)
    findings = [
        Finding(pair, f"expected datagrams to arrive, seen none{_because(found.small)}")
        for pair, found in pairs.values.items()
        if not _arrives(found)
    ]
    slowest = [0.0]
    for pair, found in _exchangeable(pairs):
        tcp = found.tcp
        if isinstance(tcp, Unknown):
            findings.append(Finding(pair, f"expected a TCP connection, seen {tcp.error}"))
            continue
        slowest.append(tcp.took_s)
        if tcp.took_s > target["pair_s"]:
            text = f"expected an answer within {target['pair_s']:g} s, seen {tcp.took_s:.1f} s"
            findings.append(Finding(pair, text))
    return conclude(
        findings,
        pairs,
        proven=f"all {len(pairs.values)} ordered pairs of nodes reach each other",
        measured={"pair_s": max(slowest)} if len(slowest) > 1 else {},
        target=target,
    )


def _because(found: Datagrams) -> str:
    return "" if found.error is None else f" ({found.error})"


def full_packets_pass(case: Case) -> Verdict:
    pairs = _pairs(case)
    findings = [
        Finding(
            pair,
            f"expected unfragmented packets of {found.large.bytes} bytes to arrive, "
            f"seen none{_because(found.large)}",
        )
        for pair, found in pairs.values.items()
        if _arrives(found) and not found.large.received
    ]
    narrow = {finding.where for finding in findings}
    findings += [
        Finding(pair, f"expected 1 MiB over TCP, seen {found.bulk.error}")
        for pair, found in _exchangeable(pairs)
        if isinstance(found.bulk, Unknown) and not {pair, _back(pair)} & narrow
    ]
    return conclude(
        [*findings, *_closed(pairs)],
        pairs,
        proven=f"packets of {case.cluster.pod_mtu} bytes and transfers of 1 MiB arrive whole",
    )


def _closed(pairs: Seen[Pair]) -> list[Finding]:
    """The pairs on which nothing arrives at all; no other check can judge them."""
    return [
        unknown(pair, "no datagram of any size arrives here")
        for pair, found in pairs.values.items()
        if not _arrives(found)
    ]


def pods_reach_services(case: Case) -> Verdict:
    pairs = _pairs(case)
    findings = [
        Finding(pair, f"expected the service to answer, seen {found.service.error}")
        for pair, found in _exchangeable(pairs)
        if isinstance(found.service, Unknown)
    ]
    return conclude(
        [*findings, *_closed(pairs)],
        pairs,
        proven="from every node, the services before the pods of all others answer",
    )


def _names(case: Case) -> Iterator[tuple[str, Names | Unknown]]:
    """The addresses that the names resolved to, by machine."""
    seen = look(case, POD_NETWORK).only
    for machine in case.cluster.machines:
        if seen is not None:
            yield machine.name, seen.names.get(machine.name, _NOT_LOOKED)


def names_resolve(case: Case) -> Verdict:
    whole, pairs = look(case, POD_NETWORK), _pairs(case)
    dns_on = whole.only.dns_on if whole.only else ()
    findings: list[Finding] = []
    for machine, found in _names(case):
        if isinstance(found, Unknown):
            findings.append(unknown(machine, found.error))
        elif consequence := _cut_off_from_dns(machine, dns_on, pairs):
            if wrong := list(_unresolved(machine, found)):
                findings.append(unknown(machine, f"{wrong[0].says}; {consequence}"))
        else:
            findings += _unresolved(machine, found)
    return conclude(
        findings, whole, proven="short names, names with a namespace and full names resolve"
    )


def name_server_answers(case: Case) -> Verdict:
    """At least one name server on the judged machines answers every pod there.

    The pods are asked directly, not through the service: it sends questions to a silent one until
    that is removed.
    """
    machines = [machine.name for machine in case.cluster.machines]
    findings: list[Finding] = []
    for machine, found in _names(case):
        if isinstance(found, Unknown):
            findings.append(unknown(machine, found.error))
            continue
        told = {at: it for at, it in found.servers.items() if it.on in machines}
        if not any(it.value == found.expected for it in told.values()):
            said = "; ".join(f"{at}: {it.error or _list(it.value)}" for at, it in told.items())
            text = f"expected a name server on {', '.join(machines)} to answer, seen"
            findings.append(Finding(machine, f"{text} {said or 'none there'}"))
    return conclude(
        findings,
        look(case, POD_NETWORK),
        proven="a name server answers the pods of every machine",
    )


def _list(addresses: Sequence[str] | None) -> str:
    return ", ".join(addresses or ()) or "no address"


def _unresolved(machine: str, found: Names) -> Iterator[Finding]:
    want = _list(found.expected)
    if not found.nameserver:
        yield Finding(machine, "expected a name server in the pod's resolv.conf, seen none")
    by_name_server = ((f"the name server {at}", it) for at, it in found.nameserver.items())
    by_resolver = ((f"the {kind}", it) for kind, it in found.resolver.items())
    for who, answer in (*by_name_server, *by_resolver):
        have = answer.error if isinstance(answer, Unknown) else _list(answer.value)
        if have != want:
            yield Finding(machine, f"expected {who} to give {want}, seen {have}")


def _cut_off_from_dns(machine: str, dns_on: Sequence[str], pairs: Seen[Pair]) -> str | None:
    """Why names may fail here although DNS itself is well, when that is so."""
    for server in dns_on:
        for pair in (f"{machine} → {server}", f"{server} → {machine}"):
            if pair in pairs.values and not _arrives(pairs.values[pair]):
                return f"{pair} is closed, and DNS is served on {server}"
    return None


def policy_denies(case: Case) -> Verdict:
    """A friend connects throughout; a stranger connects before the policy, and never after."""
    whole = look(case, POLICY)
    seen = whole.only or {}
    findings: list[Finding] = []
    for machine in [machine.name for machine in case.cluster.machines] if whole.values else ():
        found = seen.get(machine, Unknown("no server ran there"))
        if isinstance(found, Unknown):
            findings.append(unknown(machine, found.error))
            continue
        before = (("friend", found.before.friend), ("stranger", found.before.stranger))
        refused = [f"{who}: {it.error}" for who, it in before if isinstance(it, Unknown)]
        if refused:
            why = f"without any policy the server there did not answer ({'; '.join(refused)})"
            findings.append(unknown(machine, why))
            continue
        if not isinstance(found.after.stranger, Unknown):
            findings.append(Finding(machine, "expected the stranger shut out, seen it connect"))
        if isinstance(found.after.friend, Unknown):
            error = found.after.friend.error
            findings.append(Finding(machine, f"expected the friend to connect, seen {error}"))
    return conclude(
        findings, whole, proven="a denied connection fails on every node, an allowed one works"
    )


def cilium_healthy(case: Case) -> Verdict:
    target = wanted(case, "controller_minutes")
    seen = looks(case, CILIUM, [machine.name for machine in case.cluster.machines])
    findings: list[Finding] = []
    failing_s = [0.0]
    for machine, found in seen.values.items():
        if not isinstance(found, Agent) or not found.ready:
            seen_there = f"{found.pod} not ready" if found.pod else "no agent at all"
            findings.append(Finding(machine, f"expected a ready Cilium agent, seen {seen_there}"))
        elif "cilium" not in found.parts:
            findings.append(unknown(machine, "Cilium's status does not tell the agent's state"))
        else:
            at = case.of(CILIUM.name)[machine].at
            findings += [Finding(machine, it) for it in _unwell(found)]
            findings += [Finding(machine, it) for it in _failing(found, at, target)]
            findings += _reached(machine, found, len(case.cluster.machines))
            failing_s += [_failing_s(it, at) for it in found.controllers]
    agents = {name: it for name, it in seen.values.items() if isinstance(it, Agent)}
    unprobed = [name for name, it in agents.items() if it.health == "Disabled"]
    reaches = f"its health probes are disabled on {names(unprobed)}" if unprobed else ""
    return conclude(
        findings,
        seen,
        proven="the Cilium agent is ready and well on every node; "
        f"{reaches or 'each agent reaches all nodes'}",
        measured={"controller_minutes": max(failing_s) / _MINUTE_S} if seen.values else {},
        target=target,
    )


def _unwell(found: Agent) -> Iterator[str]:
    for part, it in found.parts.items():
        if it.state not in ("Ok", "Disabled"):
            yield f"expected {part} Ok, seen {it.state}: {it.message}"


def _failing(found: Agent, at: float, target: Mapping[str, float]) -> Iterator[str]:
    """Controllers that have failed for a long time; a healthy agent has short failures."""
    for it in found.controllers:
        never, since_s = it.last_success is None, _failing_s(it, at)
        if since_s <= target["controller_minutes"] * _MINUTE_S:
            continue
        minutes = f"{since_s / _MINUTE_S:.0f} min"
        last = f"no success ever, for about {minutes}" if never else f"{minutes} without one"
        yield (
            f"expected the controller {it.name} to succeed within "
            f"{target['controller_minutes']:g} min, seen {it.failures} failures in a row and "
            f"{last}: {it.message}"
        )


def _failing_s(controller: Controller, at: float) -> float:
    """Seconds for which a controller has failed; 0 for short failures.

    Cilium does not say when a controller started. If it has never succeeded, the number of its
    failures says for how long it has failed.
    """
    failures, last = controller.failures, controller.last_success
    if failures < _IN_A_ROW:
        return 0.0
    return float(failures**2 / 2 if last is None else at - last)


def _reached(machine: str, found: Agent, nodes: int) -> Iterator[Finding]:
    """What is wrong with Cilium's own probes of each node; a new agent knows too few nodes."""
    if found.health == "Disabled":
        return
    reachable = found.reachable
    if found.health not in ("Ok", None):
        yield Finding(machine, f"expected Cilium's health probes Ok, seen {found.health}")
    elif reachable is None:
        yield unknown(machine, "Cilium does not say how many nodes its health probes reach")
    elif reachable.nodes < max(nodes, reachable.of):
        text = f"expected {max(nodes, reachable.of)} nodes reachable, seen {reachable.nodes}"
        yield Finding(machine, f"{text} (cilium-health status names them)")


CHECKS = {
    "pods reach pods on every ordered pair of nodes": pods_reach_pods,
    "full-sized packets pass between pods": full_packets_pass,
    "pods reach services": pods_reach_services,
    "names resolve in pods": names_resolve,
    "a name server answers the pods of every machine": name_server_answers,
    "a network policy that denies really denies": policy_denies,
    "Cilium is healthy on every node": cilium_healthy,
}
