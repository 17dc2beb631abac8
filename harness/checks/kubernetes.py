"""W1-API, W1-NODES: the API answers through every server, and every declared node works."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from ipaddress import ip_address

from harness.checks.findings import (
    Finding,
    Seen,
    conclude,
    items,
    joined,
    look,
    looks,
    understood,
    unknown,
    wanted,
)
from harness.core.declared import Machine
from harness.core.model import Case, Verdict
from harness.facts import kubernetes
from harness.facts.host import CERTIFICATES, HOST, KUBECONFIG, CertificateFiles, Owner
from harness.facts.kubernetes import NODES, Certificate, Namespace, Node, Readiness
from harness.facts.schema import Entry, Unknown

_MINUTE_S = 60.0
_DAY_S = 86_400
_PRESSURES = ("MemoryPressure", "DiskPressure", "PIDPressure", "NetworkUnavailable")


def api_ready(case: Case) -> Verdict:
    seen = items(case, kubernetes.READINESS, case.cluster.servers)
    findings = [
        Finding(name, f"expected /readyz to answer 200, seen {_readiness(value)}")
        for name, value in seen.values.items()
        if value.status != 200 or value.failed
    ]
    return conclude(findings, seen, proven="every API server says that it is ready")


def _readiness(value: Readiness) -> str:
    failed = f" with failed checks: {', '.join(value.failed)}" if value.failed else ""
    return f"{_status(value)}{failed}"


def _status(value: Readiness | Namespace) -> str:
    return "its port closed" if value.status == kubernetes.CLOSED else str(value.status)


def answers_everywhere(case: Case) -> Verdict:
    seen = items(case, kubernetes.NAMESPACE, case.cluster.servers)
    findings = [
        Finding(name, f"expected the namespace kube-system, seen {_status(value)}")
        for name, value in seen.values.items()
        if value.status != 200 or not value.uid
    ]
    uids = {name: value.uid for name, value in seen.values.items() if value.uid}
    if len(set(uids.values())) > 1:
        told = ", ".join(f"{name} serves {uid}" for name, uid in uids.items())
        findings.append(Finding("the API", f"expected one cluster, seen several: {told}"))
    return conclude(findings, seen, proven="every server answers for the same cluster")


def certificates_last(case: Case) -> Verdict:
    """Covers the files on each machine and the certificate that each API server shows."""
    target = wanted(case, "certificate_days")
    limit = target["certificate_days"]
    files = items(case, CERTIFICATES, case.cluster.machines)
    shown = items(case, kubernetes.CERTIFICATE, case.cluster.servers)
    findings = [
        unknown(name, f"no certificate matches {pattern}")
        for name, value in files.values.items()
        for pattern in value.unmatched
    ]
    left = list(_days_left(case, files, shown))
    findings += [
        Finding(name, f"expected {limit:g} more days of {what}, seen {days:.0f}")
        for name, what, days in left
        if days < limit
    ]
    return conclude(
        findings,
        joined(files, shown),
        proven=f"every certificate is valid for more than {limit:g} days",
        measured={"certificate_days": min(days for *_, days in left)} if left else {},
        target=target,
    )


def _days_left(
    case: Case, files: Seen[CertificateFiles], shown: Seen[Certificate]
) -> Iterator[tuple[str, str, float]]:
    """Machine, certificate, and the days that it was still valid when it was looked at."""
    for name, value in files.values.items():
        for file in value.files:
            yield name, file.path, (file.not_after - case.of(HOST.name)[name].at) / _DAY_S
    for name, found in shown.values.items():
        text = f"the certificate that the API server shows ({found.subject})"
        yield name, text, (found.not_after - case.of(kubernetes.ENDPOINTS.name)[name].at) / _DAY_S


def anonymous_refused(case: Case) -> Verdict:
    """401: the server refuses a stranger. 403: it lets a stranger in, without any rights."""
    servers = items(case, kubernetes.ANONYMOUS_API, case.cluster.servers)
    kubelets = items(case, kubernetes.ANONYMOUS_KUBELET, case.cluster.machines)
    findings = [
        _let_in(name, what, status)
        for what, part in (("API server", servers), ("kubelet", kubelets))
        for name, status in part.values.items()
        if status != 401
    ]
    return conclude(
        findings,
        joined(servers, kubelets),
        proven="no API server and no kubelet lets a stranger in",
    )


def _let_in(name: str, what: str, status: int) -> Finding:
    text = f"expected the {what} to answer 401 to a stranger, seen {status}"
    if status == 403 or 200 <= status < 300:
        return Finding(name, text)
    # With any other status the server refuses nothing and shows nothing; a proxy may have answered.
    return unknown(name, f"{text}: find out what answers at that address")


def kubeconfigs_private(case: Case) -> Verdict:
    servers = case.cluster.servers
    whole = looks(case, HOST, [machine.name for machine in servers])
    names = {name for entries in whole.values.values() for name in entries}
    parts = {
        name: items(case, Entry(HOST, name, Owner), servers)
        for name in sorted(names)
        if name.startswith(KUBECONFIG)
    }
    findings = [
        Finding(
            machine,
            f"expected {name} closed to others and root's, seen {file.mode} of {file.owner} "
            f"and the group {file.group}",
        )
        for name, part in parts.items()
        for machine, file in part.values.items()
        # RKE2 gives the file to a group by write-kubeconfig-group; 0 is root's own.
        if int(file.mode, 8) & (0o077 if file.group else 0o007) or file.owner != "root"
    ]
    return conclude(
        findings,
        joined(Seen({}, whole.unseen), *parts.values()),
        proven="every kubeconfig is readable by root alone",
    )


def services_available(case: Case) -> Verdict:
    """An unavailable one breaks ``kubectl`` for its group, and the deletion of every namespace."""
    seen = look(case, kubernetes.OBJECTS)
    services = seen.only.services if seen.only else {}
    known, findings = understood(services)
    findings += [
        Finding(name, f"expected Available, seen Available={it.available}: {it.message}")
        for name, it in known.items()
        if it.available != "True"
    ]
    if seen.values and not services:
        findings.append(unknown("the API", "it lists no APIService at all"))
    return conclude(findings, seen, proven=f"all {len(services)} API services are available")


def namespaces_go(case: Case) -> Verdict:
    target = wanted(case, "terminating_minutes")
    limit = target["terminating_minutes"]
    seen = look(case, kubernetes.OBJECTS)
    known, findings = understood(seen.only.terminating if seen.only else {})
    at = case.of(kubernetes.OBJECTS.name)[case.cluster.name].at if seen.values else 0.0
    ages = {name: (at - it.since) / _MINUTE_S for name, it in known.items()}
    # The harness's own come first: `./cutover heal` removes them.
    for name, it in sorted(known.items(), key=lambda it: (not it[1].ours, it[0])):
        if ages[name] > limit:
            whose = " (the harness's own)" if it.ours else ""
            because = f": {'; '.join(it.messages)}" if it.messages else ""
            text = f"expected the namespace{whose} gone within {limit:g} min of its deletion"
            findings.append(Finding(name, f"{text}, seen it after {ages[name]:.0f} min{because}"))
    return conclude(
        findings,
        seen,
        proven="no namespace is stuck in its deletion",
        measured={"terminating_minutes": max([0.0, *ages.values()])} if seen.values else {},
        target=target,
    )


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


def nodes_ready(case: Case) -> Verdict:
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
    "every API service is available": services_available,
    "no namespace is stuck in its deletion": namespaces_go,
    "every API server is ready": api_ready,
    "the API answers through every server": answers_everywhere,
    "every certificate lasts long enough": certificates_last,
    "strangers are refused": anonymous_refused,
    "every kubeconfig is private": kubeconfigs_private,
    "every declared machine is a ready node": nodes_ready,
    "every node has its declared address, role and version": as_declared,
    "no node is under pressure": no_pressure,
    "no node has an undeclared taint": no_undeclared_taint,
    "no node is unexpected": none_unexpected,
}
