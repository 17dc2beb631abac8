"""W7-SERVICES, W7-NODOCKER: services up, spread and within limits; pods that keep to themselves."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase

from harness.checks.findings import Finding, Seen, conclude, failed, look, names, unknown, wanted
from harness.checks.scheduling import is_from
from harness.core.declared import PrivilegesDeclared
from harness.core.model import Case, Verdict
from harness.facts.workloads import WORKLOADS, Container, Privilege, Workload, Workloads

_NONE = Workloads(workloads={}, allowed_evictions={})
_SOCKET = "docker.sock"
# What a container may add under the Pod Security Standard "baseline". Source: Kubernetes
# documentation, "Pod Security Standards".
_BASELINE = frozenset(
    {
        *("AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD"),
        *("NET_BIND_SERVICE", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"),
    }
)
_WITHOUT_SERVICE = ("CronJob", "Job")


def _seen(case: Case) -> tuple[Seen[Workloads], Workloads, list[Finding]]:
    """Every workload, and a gap for each object that is not understood."""
    seen = look(case, WORKLOADS)
    found = seen.only or _NONE
    gaps = [unknown(name, why) for name, why in found.odd.items()]
    if seen.values and not found.workloads:
        gaps.append(unknown(case.cluster.name, "it has no workload that is understood"))
    return seen, found, gaps


def _services(case: Case, found: Workloads) -> tuple[dict[str, Workload], list[Finding]]:
    """The workloads that serve in the namespace of the services; a gap if there is none."""
    space = case.cluster.services_namespace
    served = {
        name: it
        for name, it in found.workloads.items()
        if it.namespace == space and it.kind not in _WITHOUT_SERVICE
    }
    if served or not found.workloads:
        return served, []
    where = f"the namespace {space}" if space else "the profile"
    return {}, [unknown(where, "no workload is in the namespace of the services")]


def up_and_spread(case: Case) -> Verdict:
    """Each service has all its replicas, all of its newest declaration, on two machines or more.

    A single replica is on one machine.
    A workload with 0 replicas is stopped on purpose; that a service which others call is there is
    judged by its name.
    """
    seen, found, findings = _seen(case)
    served, gaps = _services(case, found)
    for name, it in served.items():
        if not it.is_settled:
            says = "its controller has not acted on the newest declaration yet"
            findings.append(Finding(name, says))
        elif it.ready < it.wanted:
            says = f"expected {it.wanted} replicas that are ready, seen {it.ready}"
            findings.append(Finding(name, says))
        elif it.not_updated > 0:
            says = f"its rollout is not over: {it.not_updated} of its pods are still to be replaced"
            findings.append(Finding(name, f"{says}, and the old ones hide that no new one starts"))
        elif it.wanted >= 2 and len(it.machines) < 2:
            on = names(it.machines or ("no machine",))
            says = f"expected its {it.wanted} replicas on at least two machines, seen all on {on}"
            findings.append(Finding(name, says))
    running = sum(it.wanted > 0 for it in served.values())
    return conclude(
        [*findings, *gaps],
        seen,
        proven=f"{running} of {len(served)} services run, each with all its replicas",
    )


def within_limits(case: Case) -> Verdict:
    """Each container requests processor and memory, has a memory limit, and says when it is ready.

    A limit of processor is not asked for: it slows a service down while the machine is idle. A
    container is asked for its readiness if a Service leads to it: it declares ports, or no
    container of its pod does. Native sidecars count, and are asked for it only if they have ports.
    """
    seen, found, findings = _seen(case)
    served, gaps = _services(case, found)
    for name, it in served.items():
        for container in it.containers:
            missing = [*_missing(container, it)]
            if missing:
                says = f"container {container.name} has no {names(missing)}"
                findings.append(Finding(name, says))
    total = sum(len(it.containers) for it in served.values())
    return conclude(
        [*findings, *gaps],
        seen,
        proven=f"{total} containers of {len(served)} services have requests, limits and checks",
    )


def _missing(container: Container, of: Workload) -> Iterator[str]:
    for resource, word in (("cpu", "processor"), ("memory", "memory")):
        if resource not in container.requests:
            yield f"request of {word}"
    if "memory" not in container.limits:
        yield "memory limit"
    mains = [it for it in of.containers if not it.is_sidecar]
    is_only = container in mains and not any(it.has_ports for it in mains)
    listens = container.has_ports or is_only
    if of.services and listens and not container.has_readiness:
        yield "readiness probe"


def pinned(case: Case) -> Verdict:
    """Each image is named by its digest, and none is from a registry in the Swarm.

    A tag may mean another image tomorrow; the Swarm's registry ends with the Swarm.
    """
    seen, found, findings = _seen(case)
    served, gaps = _services(case, found)
    findings += [
        Finding(name, f"expected an image by its digest (NAME@sha256:…), seen {image}")
        for name, it in served.items()
        for image in it.images
        if "@sha256:" not in image
    ]
    findings += [
        Finding(name, f"expected no image of a registry in the Swarm, seen {image}")
        for name, it in served.items()
        for image in it.images
        if is_from(image, case.cluster.swarm_registries)
    ]
    return conclude(
        [*findings, *gaps], seen, proven=f"{len(served)} services have images by their digests"
    )


def can_be_moved(case: Case) -> Verdict:
    """Draining a machine waits for each service of several replicas, and is not stopped by one.

    Without a PodDisruptionBudget a drain may evict all replicas at once; one that allows no
    eviction while all replicas are ready stops every drain. So do two that select the same pod:
    the API then answers 500 to its eviction, whatever each of them allows.
    """
    seen, found, findings = _seen(case)
    served, gaps = _services(case, found)
    for name, it in served.items():
        if it.wanted >= 2 and it.services and not it.budgets:
            says = f"expected a PodDisruptionBudget for its {it.wanted} replicas, seen none"
            findings.append(Finding(name, says))
        if it.wanted and it.overlapping:
            says = "select the same pod, which the API then never evicts: no drain ends"
            findings.append(Finding(name, f"PodDisruptionBudgets {names(it.overlapping)} {says}"))
        if it.wanted and it.ready >= it.wanted:
            findings += [
                Finding(name, f"PodDisruptionBudget {budget} allows no eviction: no drain ends")
                for budget in it.budgets
                if found.allowed_evictions.get(budget) == 0
            ]
    return conclude(
        [*findings, *gaps], seen, proven=f"a drain moves each of {len(served)} services"
    )


def no_docker(case: Case) -> Verdict:
    """No workload mounts the Docker socket: who has it has the machine."""
    key = "undeclared_count"
    seen, found, gaps = _seen(case)
    findings = [
        Finding(name, f"expected no Docker socket in a pod, seen {it.value}")
        for name, workload in found.workloads.items()
        for it in workload.privileges
        if _is_socket(it)
    ]
    return conclude(
        [*findings, *gaps],
        seen,
        proven=f"none of {len(found.workloads)} workloads has the Docker socket",
        measured={key: failed(findings)} if seen.values else {},
        target=wanted(case, key),
    )


def _is_socket(privilege: Privilege) -> bool:
    return privilege.kind == "hostPath" and privilege.value.rstrip("/").endswith(f"/{_SOCKET}")


def only_declared_privileges(case: Case) -> Verdict:
    """No workload has more of its machine than the profile declares.

    Judged are host paths, also through a volume of type hostPath or local, the namespaces of the
    machine, privileged containers, and capabilities beyond the Pod Security Standard "baseline".
    """
    key = "undeclared_count"
    seen, found, gaps = _seen(case)
    declared = case.cluster.privileges
    undeclared = {
        name: [it for it in workload.privileges if not _is_allowed(it, workload, declared)]
        for name, workload in found.workloads.items()
    }
    findings = [
        Finding(name, f"it has {names(map(str, those))}, which the profile does not declare")
        for name, those in undeclared.items()
        if those
    ]
    unused = [
        f"{it.namespace}/{it.workloads}"
        for it in declared
        if not any(_is_of(workload, it) for workload in found.workloads.values())
    ]
    but = f"; declared for no workload: {names(unused)}" if unused else ""
    return conclude(
        [*findings, *gaps],
        seen,
        proven=f"{len(found.workloads)} workloads have only what is declared of machines{but}",
        measured={key: failed(findings)} if seen.values else {},
        target=wanted(case, key),
    )


def _is_of(workload: Workload, declared: PrivilegesDeclared) -> bool:
    return fnmatchcase(workload.namespace, declared.namespace) and fnmatchcase(
        workload.name, declared.workloads
    )


def _is_allowed(
    privilege: Privilege, workload: Workload, declared: tuple[PrivilegesDeclared, ...]
) -> bool:
    """Whether a privilege is usual for any pod, or declared; the Docker socket never is."""
    if _is_socket(privilege):
        return False
    if privilege.kind == "capability" and privilege.value in _BASELINE:
        return True
    return any(_covers(it, privilege) for it in declared if _is_of(workload, it))


def _covers(declared: PrivilegesDeclared, privilege: Privilege) -> bool:
    if declared.everything:
        return True
    if privilege.kind == "hostPath":
        return any(fnmatchcase(privilege.value, it) for it in declared.host_paths)
    word = privilege.value if privilege.kind == "capability" else privilege.kind
    return word in declared.may


CHECKS = {
    "every service is up and spread over the machines": up_and_spread,
    "every container has requests, limits and checks": within_limits,
    "every image is named by its digest": pinned,
    "a machine can be drained without stopping a service": can_be_moved,
    "no pod has the Docker socket": no_docker,
    "no pod has more of its machine than is declared": only_declared_privileges,
}
