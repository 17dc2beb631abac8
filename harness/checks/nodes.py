"""W1-NODES: the node list is the declared one, and every node works."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from ipaddress import ip_address

from harness.checks.findings import Finding, Seen, conclude, look, understood
from harness.core.model import Case, Machine, Verdict
from harness.facts.kubernetes import NODES, Node
from harness.facts.schema import Unknown

_PRESSURES = ("MemoryPressure", "DiskPressure", "PIDPressure", "NetworkUnavailable")


def _listed(case: Case) -> tuple[Seen[object], Mapping[str, Node | Unknown]]:
    """The nodes by name; one whose object could not be read is a gap of its own."""
    seen = look(case, NODES)
    nodes = seen.only or {}
    return Seen(seen.values, (*seen.unseen, *understood(nodes)[1])), nodes


def _present(case: Case, nodes: Mapping[str, Node | Unknown]) -> Iterator[tuple[Machine, Node]]:
    for machine in case.cluster.machines:
        node = nodes.get(machine.name)
        if isinstance(node, Node):
            yield machine, node


def ready(case: Case) -> Verdict:
    seen, nodes = _listed(case)
    states = {
        machine.name: node.conditions.get("Ready", "absent")
        for machine, node in _present(case, nodes)
    }
    findings = [
        Finding(name, f"expected Ready, seen Ready={state}")
        for name, state in states.items()
        if state != "True"
    ]
    return conclude(
        [*_missing(case, seen, nodes), *findings],
        seen,
        proven=f"all {len(case.cluster.machines)} declared machines are Ready nodes",
        measured={"ready_count": len(states) - len(findings)} if seen.values else {},
        target={"ready_count": len(case.cluster.machines)},
    )


def as_declared(case: Case) -> Verdict:
    seen, nodes = _listed(case)
    findings = [
        Finding(machine.name, f"expected {what} {want}, seen {have}")
        for machine, node in _present(case, nodes)
        for what, want, have in _declarations(case, machine, node)
        if want != have
    ]
    findings += _missing(case, seen, nodes)
    return conclude(
        findings,
        seen,
        proven="every node has its declared address, role and version "
        f"{case.cluster.kubernetes_version}",
    )


def _declarations(case: Case, machine: Machine, node: Node) -> Iterator[tuple[str, str, str]]:
    # A node of two families has one address of each; the profile declares one of them.
    family = ip_address(machine.address).version
    alike = [it for it in node.addresses if ip_address(it).version == family]
    yield "address", machine.address, ", ".join(alike) or "none"
    yield "version", case.cluster.kubernetes_version, node.version
    server = "control-plane" in node.roles
    words = {True: "the control-plane role", False: "no control-plane role"}
    yield "", words[machine.is_server], words[server]


def _missing(case: Case, seen: Seen[object], nodes: Collection[str]) -> list[Finding]:
    if not seen.values:
        return []
    absent = [machine.name for machine in case.cluster.machines if machine.name not in nodes]
    return [Finding(name, "expected a node of this name, seen none") for name in absent]


def no_pressure(case: Case) -> Verdict:
    seen, nodes = _listed(case)
    findings = [
        Finding(machine.name, f"expected no {pressure}, seen {node.conditions[pressure]}")
        for machine, node in _present(case, nodes)
        for pressure in _PRESSURES
        if node.conditions.get(pressure, "False") != "False"
    ]
    findings += _missing(case, seen, nodes)
    return conclude(findings, seen, proven="no node is short of memory, disk or processes")


def no_undeclared_taint(case: Case) -> Verdict:
    seen, nodes = _listed(case)
    findings = []
    for machine, node in _present(case, nodes):
        declared = set(case.cluster.expected_taints.get(machine.name, ()))
        for taint in sorted(set(node.taints) ^ declared):
            says = "declared, but absent" if taint in declared else "present, but not declared"
            findings.append(Finding(machine.name, f"taint {taint} is {says}"))
    findings += _missing(case, seen, nodes)
    return conclude(findings, seen, proven="every node has exactly its declared taints")


def none_unexpected(case: Case) -> Verdict:
    seen, nodes = _listed(case)
    declared = {machine.name for machine in case.cluster.machines}
    findings = [
        Finding(name, "expected only declared machines, seen this node as well")
        for name in sorted(set(nodes) - declared)
    ]
    return conclude(findings, seen, proven="the node list holds the declared machines alone")


CHECKS = {
    "every declared machine is a ready node": ready,
    "every node has its declared address, role and version": as_declared,
    "no node is under pressure": no_pressure,
    "no node has an undeclared taint": no_undeclared_taint,
    "no node is unexpected": none_unexpected,
}
