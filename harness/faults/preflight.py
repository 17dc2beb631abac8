"""The preflight checks before the first fault of a run, and before each fault."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress

from harness.core.errors import HarnessError, NotProven, Refused, TimedOut, TransportError
from harness.core.parallel import in_each
from harness.core.waiting import until
from harness.faults import disruption_lock
from harness.faults.budget import ClusterState, refusal
from harness.faults.cluster_state import current_state, pod_margins, swarm_margins
from harness.faults.commands import server_beside
from harness.faults.fault import Fault
from harness.faults.kinds import kubernetes, slow_api
from harness.faults.model import API
from harness.faults.undo_store import Left, LocalUndoStore, NodeUndoStore, undo_store_at
from harness.probes import owned
from harness.probes.permissions import Permission
from harness.settings import Profile
from harness.transport import Reach
from harness.transport.objects import listed, must, text
from harness.transport.reach import same_cluster

_LEASES = "leases"
_COORDINATION = "coordination.k8s.io"
_FLOWS = "flowcontrol.apiserver.k8s.io"
_OBJECTS = ("get", "list", "create", "delete")
_LEVELS = "/debug/api_priority_and_fairness/dump_priority_levels"

# Leases: the disruption lock, and the heartbeats of nodes. Nodes and pods: to observe a fault's
# effect. Controllers of pods: to count the wanted replicas. Pods again: to kill them. Stats: to
# measure the usage of a machine. Flow schemas: to slow one account down, and to remove leftovers.
# Exec and services: to back a customer up, and to restore it, in pods.
# Undo needs no permission: machines run it as root.
DISRUPTION: tuple[Permission, ...] = (
    *(Permission(verb, _LEASES, _COORDINATION) for verb in ("get", "create", "patch", "delete")),
    *(Permission(verb, "nodes") for verb in ("get", "list")),
    *(Permission(verb, "pods") for verb in ("get", "list", "delete")),
    Permission("get", "nodes/proxy"),
    *(Permission(verb, "pods/exec") for verb in ("get", "create")),
    Permission("get", "services"),
    # Where the volume of PostgreSQL's primary is.
    *(Permission("get", it) for it in ("persistentvolumeclaims", "persistentvolumes")),
    Permission("list", "poddisruptionbudgets", "policy"),
    *(Permission("list", kind, "apps") for kind in ("replicasets", "statefulsets", "daemonsets")),
    Permission("list", _LEASES, _COORDINATION),
    Permission("get", "serviceaccounts"),
    *(Permission(verb, "flowschemas", _FLOWS) for verb in _OBJECTS),
    *(Permission(verb, "prioritylevelconfigurations", _FLOWS) for verb in _OBJECTS),
    Permission("get", _LEVELS),
)
# The steady state covers nodes and storage; pods of the last faulted machine may start later.
PODS_WITHIN_S = 60.0
# Time for placement groups to peer and for leaders to be elected.
SUMS_WITHIN_S = 10.0
_OURS = re.compile(r"cutover-([a-z0-9]{4,16})")


def may_disrupt(profile: Profile, *, allowed: bool) -> None:
    """Raise Refused unless the command and the profile both allow faults. Contacts no machine."""
    if not allowed:
        raise Refused(
            "this command breaks or changes what is there: it needs --allow-disruption",
            remedy="its --help says what it does, and ./cutover plan DRILL what a drill would do; "
            "then add --allow-disruption",
        )
    if not profile.allow_disruption:
        raise Refused(
            f"the profile {profile.name} does not allow disruption",
            remedy="its owner sets `allow_disruption: true` in it",
        )
    if profile.declared_uid() is None:
        raise Refused(
            f"the profile {profile.name} does not say which cluster it means",
            remedy="set `uid:` to the UID of its namespace kube-system: "
            "kubectl get namespace kube-system -o jsonpath={.metadata.uid}",
        )


@contextmanager
def permitted(
    reach: Reach, holder: str, *, allowed: bool, progress: Callable[[str], object] = str
) -> Iterator[disruption_lock.DisruptionLock]:
    """Allow faults in the body: the cluster is the right one, locked, and without leftovers.

    Refused otherwise. The lock holds as long as the Lease is not lost.
    """
    may_disrupt(reach.profile, allowed=allowed)
    same_cluster(reach)
    with disruption_lock.held(reach.kube, holder, progress) as lock:
        nothing_left(reach)
        for name, trouble in owned.sweep(reach.kube, keep=holder, tell=progress).items():
            progress(f"{name}, whose harness is gone: {trouble or 'removed'}")
        yield lock


@contextmanager
def permitted_back(
    reach: Reach, holder: str, *, allowed: bool, progress: Callable[[str], object] = str
) -> Iterator[disruption_lock.DisruptionLock]:
    """Allow to bring the traffic back: also beside leftovers, and if the API does not answer.

    The new platform may be what is broken. Refused if another harness holds the lock.
    """
    may_disrupt(reach.profile, allowed=allowed)
    with ExitStack() as stack:
        try:
            lock = stack.enter_context(disruption_lock.held(reach.kube, holder, progress))
        except TransportError as error:
            progress(f"going back without the disruption lock: {error}")
            lock = disruption_lock.DisruptionLock(reach.kube, holder)
        yield lock


def nothing_left(reach: Reach) -> None:
    """Refused while a fault is active, or while leftovers of an earlier fault remain."""
    found, lost = leftovers(reach)
    if lost:
        raise Refused(
            f"cannot check for leftovers of earlier faults: {'; '.join(lost)}",
            remedy="every machine must answer before a fault is injected: ./cutover doctor",
        )
    if found:
        words = [
            f"{left.place}: {', '.join(left.armed.values()) or 'leftovers named cutover-*'}"
            for left in found
        ]
        raise Refused(
            f"an earlier fault is still there: {'; '.join(words)}", remedy="./cutover heal"
        )


def affordable(reach: Reach, lock: disruption_lock.DisruptionLock, fault: Fault) -> None:
    """Refused when the fault cannot be injected here, leaves too little, or the lock is lost."""
    lock.confirm()
    _must_be_possible(reach, fault)
    try:
        why = _shortage(reach, fault, current_state(reach)) or _too_few_pods(reach, fault)
    except NotProven as doubt:
        why = str(doubt)
    if why is not None:
        raise _too_much(fault, why)


def survivable(reach: Reach, faults: Sequence[Fault]) -> None:
    """Raise Refused when a fault cannot be injected, or the quorums cannot survive it.

    Runs before the wait for the steady state. On a degraded cluster the command therefore fails
    at once, and the message names the quorum that is too small.
    """
    for fault in faults:
        _must_be_possible(reach, fault)
    shortages: list[Refused] = []

    def enough() -> bool:
        try:
            now = current_state(reach)
            found = [(it, _shortage(reach, it, now)) for it in faults]
        except (NotProven, TransportError) as doubt:  # the quorums are not known
            shortages[:] = [_too_much(it, str(doubt)) for it in faults]
            return not faults
        shortages[:] = [_too_much(fault, why) for fault, why in found if why is not None]
        return not shortages

    with suppress(TimedOut):
        until(enough, within_s=SUMS_WITHIN_S, what="enough of everything", every_s=2.0)
    if shortages:
        raise shortages[0]


def _shortage(reach: Reach, fault: Fault, now: ClusterState) -> str | None:
    """The quorums, copies and parts of the Swarm of which the fault would leave too few."""
    few = [refusal(now, fault.machine, fault.blast_radius)]
    few += [str(it) for it in swarm_margins(reach, fault) if not it.holds]
    return "; ".join(it for it in few if it) or None


def _must_be_possible(reach: Reach, fault: Fault) -> None:
    """Refused when the fault cannot be injected here, or its place cannot store the undo."""
    place, _ = fault.undo(reach)
    missing = undo_store_at(reach, place).missing()
    if missing:
        raise Refused(
            f"{fault.name} of {fault.target}: {place} cannot keep the undo, it has no "
            f"{' and no '.join(missing)}",
            remedy=f"install {', '.join(missing)} there; ./cutover doctor lists what is missing",
        )
    why = fault.refuse(reach)
    if why is not None:
        raise Refused(f"{fault.name} of {fault.target}: {why}")


def _too_much(fault: Fault, why: str) -> Refused:
    return Refused(
        f"{fault.name} of {fault.target} is more than the cluster can lose now: {why}",
        remedy="repair that first: ./cutover gate 4; to take the last ready pod, set "
        "`even_all` in the drill's `with:`, or in `drills:` of the profile; if the Swarm "
        "may be lost, set `accept_swarm_loss`",
    )


def _too_few_pods(reach: Reach, fault: Fault) -> str | None:
    """Why the machine's pods may not be lost now. Waits, since pods of the last fault may start."""
    few: list[str] = []

    def enough() -> bool:
        few[:] = [str(it) for it in pod_margins(reach, fault) if not it.holds]
        return not few

    with suppress(TimedOut):
        until(enough, within_s=PODS_WITHIN_S, what="enough pods", every_s=2.0)
    return "; ".join(few) or None


def leftovers(reach: Reach) -> tuple[Sequence[Left], Sequence[str]]:
    """What faults left in every place, and the places that did not answer, with the reason."""
    machines = [machine.name for machine in reach.profile.machines]
    told = in_each(machines, lambda machine: NodeUndoStore(reach, machine).left())
    found = [LocalUndoStore().left(), *(it for it in told.values() if isinstance(it, Left))]
    lost = [f"{machine}: {it}" for machine, it in told.items() if isinstance(it, HarnessError)]
    armed = {name for left in found for name in left.armed}
    for look in (_stray_objects, _stray_cordons):
        try:
            found += look(reach, armed)
        except HarnessError as error:
            lost.append(f"{API}: {error}")
    return [it for it in found if not it.is_nothing], lost


def _stray_objects(reach: Reach, armed: Collection[str]) -> Iterator[Left]:
    """Objects with the mark that belong to no fault with an armed undo."""
    commands = []
    for path in slow_api.KEPT:
        for item in listed(reach.kube.get(path), "items"):
            name = must(item, "metadata", "name")
            ours = _OURS.fullmatch(name)
            if ours and ours[1] not in armed:
                commands.append(("DELETE", f"{path}/{name}"))
    yield Left(place=API, leftovers=tuple(commands))


def _stray_cordons(reach: Reach, armed: Collection[str]) -> Iterator[Left]:
    """Machines that a fault drained; a machine that an operator cordoned has no mark."""
    known = {machine.name for machine in reach.profile.machines}
    for node in listed(reach.kube.get("/api/v1/nodes"), "items"):
        name = must(node, "metadata", "name")
        by = text(node, "metadata", "annotations", kubernetes.DRAINED_BY)
        if by is not None and by not in armed and name in known:
            place = server_beside(reach, name).name
            yield Left(place=place, leftovers=kubernetes.undoing(reach, name))
