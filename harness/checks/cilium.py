"""W1-NETWORK, where Cilium is declared: what each agent reports about itself and the others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from harness.checks.findings import Finding, conclude, looks, names, unknown, wanted
from harness.core.model import Case, Verdict
from harness.facts.network import CILIUM, Agent, Controller

# Cilium waits one second longer after each failure in a row (pkg/controller), so n failures take
# about n²/2 s. Ten take about a minute, which a restart of the API server takes too; 35 take ten.
_IN_A_ROW = 10
_MINUTE_S = 60.0


def healthy(case: Case) -> Verdict:
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


CHECKS = {"Cilium is healthy on every node": healthy}
