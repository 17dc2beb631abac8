"""Rook, its Ceph and its CSI drivers: everything that Rook made and manages, from the API."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import ClassVar, TypeVar

from harness.core.declared import RookDeclared
from harness.core.errors import HarnessError, TimedOut
from harness.core.model import JSON
from harness.core.parallel import in_each
from harness.core.waiting import until
from harness.facts import rook as facts
from harness.facts.rook import (
    Container,
    DaemonSet,
    Deployment,
    Drivers,
    Lease,
    Pod,
    PodOfOsd,
    StorageClass,
    Understood,
)
from harness.facts.schema import Part, Unknown, dump
from harness.probes.probe import Timing
from harness.probes.rook_ceph import cluster, conditions, file_system, pools
from harness.probes.rook_monitors import CSI, csi_version, maybe, monitors
from harness.transport import Kube, Reach
from harness.transport.objects import (
    Described,
    Object,
    Odd,
    count,
    described,
    epoch,
    flag,
    listed,
    must,
    name_of,
    text,
    texts,
)

T = TypeVar("T")

_STORAGE = "/apis/storage.k8s.io/v1"
_SECRET = "csi.storage.k8s.io/"
_OVER = ("Failed", "Succeeded")
_OPERATOR = "rook-ceph-operator"
# A CephCluster's phases while its operator reconciles: after its own start, and after a change of
# the object or of a node. It then updates monitors, managers and OSDs, one after the other.
_UNDER_WAY = ("Progressing", "Connecting")
_SETTLED_WITHIN_S = 180.0


class Rook:
    """Lists what Rook made and manages; never reads what a Secret holds.

    It waits until the operator has started and reconciled, for ``_SETTLED_WITHIN_S`` seconds at
    most: meanwhile an intact Rook looks like a broken one.
    """

    name: ClassVar[str] = facts.ROOK.name
    sentence: ClassVar[str] = "Rook, its Ceph and its drivers"
    timing: ClassVar[Timing] = Timing.AT_START
    within_s: ClassVar[float] = _SETTLED_WITHIN_S + 60.0

    def targets(self, reach: Reach) -> Sequence[str]:
        return [reach.profile.name]

    def observe(self, reach: Reach, target: str) -> JSON:
        declared = reach.profile.cluster().rook
        assert declared is not None, "the requirement needs Rook"
        with suppress(TimedOut):  # the check says what is not as it should be
            settled = partial(_is_settled, reach.kube, declared)
            until(settled, within_s=_SETTLED_WITHIN_S, every_s=5.0, what="Rook has reconciled")
        seen = in_each(_LOOKS, lambda item: _LOOKS[item](reach.kube, declared))
        return dump({item: _said(answer) for item, answer in seen.items()})


def _is_settled(kube: Kube, declared: RookDeclared) -> bool:
    """False while the operator starts, or says that it reconciles."""
    try:
        told = cluster(kube, declared).values
        operators = _deployments(kube, declared).values
    except (HarnessError, Odd):  # the looks say so
        return True
    if told and told.phase in _UNDER_WAY and told.conditions.get(told.phase) == "True":
        return False
    operator = operators.get(f"{declared.operator_namespace}/{_OPERATOR}")
    return operator is None or operator.available >= operator.wanted


def _said(answer: Described[T] | HarnessError) -> Understood[T] | Unknown:
    if isinstance(answer, Odd):
        return Unknown(f"not understood: {answer.args[0]}")
    if isinstance(answer, HarnessError):
        return Unknown(str(answer.args[0]))
    return Understood(answer.values, odd=answer.odd or None)


def _all_of(parts: Sequence[Described[dict[str, T]]]) -> Described[dict[str, T]]:
    """Several lists of objects as one."""
    values = {name: value for it in parts for name, value in it.values.items()}
    return Described(values, {name: why for it in parts for name, why in it.odd.items()})


# --- workloads --------------------------------------------------------------------------------


def _spaces(declared: RookDeclared) -> Sequence[str]:
    return tuple(dict.fromkeys((declared.operator_namespace, declared.namespace)))


def _workloads(
    kube: Kube, declared: RookDeclared, kind: str, describe: Callable[[Object], T]
) -> Described[dict[str, T]]:
    paths = [f"/apis/apps/v1/namespaces/{space}/{kind}" for space in _spaces(declared)]
    return _all_of([described(kube.get(path), describe) for path in paths])


def _deployments(kube: Kube, declared: RookDeclared) -> Described[dict[str, Deployment]]:
    return _workloads(kube, declared, "deployments", _deployment)


def _daemon_sets(kube: Kube, declared: RookDeclared) -> Described[dict[str, DaemonSet]]:
    return _workloads(kube, declared, "daemonsets", _daemon_set)


def _is_current(item: Object) -> bool:
    """The counts belong to an older object until its controller has seen this one."""
    return count(item, "status", "observedGeneration") >= count(item, "metadata", "generation")


def _deployment(item: Object) -> Deployment:
    containers = listed(item, "spec", "template", "spec", "containers")
    if not containers:
        raise Odd("it has no containers")
    return Deployment(
        wanted=count(item, "spec", "replicas", default=1),
        available=count(item, "status", "availableReplicas"),
        updated=count(item, "status", "updatedReplicas") if _is_current(item) else 0,
        image=must(containers[0], "image"),
        rook_version=texts(item, "metadata", "labels").get("rook-version"),
    )


def _daemon_set(item: Object) -> DaemonSet:
    updated = count(item, "status", "updatedNumberScheduled")
    return DaemonSet(
        wanted=count(item, "status", "desiredNumberScheduled"),
        ready=count(item, "status", "numberReady"),
        updated=updated if _is_current(item) else 0,
    )


def _pods(kube: Kube, declared: RookDeclared) -> Described[tuple[Pod, ...]]:
    paths = [f"/api/v1/namespaces/{space}/pods" for space in _spaces(declared)]
    found = _all_of([described(kube.get(path), _pod) for path in paths])
    return Described(tuple(found.values.values()), found.odd)


def _pod(item: Object) -> Pod:
    space, labels = must(item, "metadata", "namespace"), texts(item, "metadata", "labels")
    owners = [must(owner, "name") for owner in listed(item, "metadata", "ownerReferences")]
    states = [
        *listed(item, "status", "initContainerStatuses"),
        *listed(item, "status", "containerStatuses"),
    ]
    going = text(item, "metadata", "deletionTimestamp") is not None
    return Pod(
        name=name_of(item) or "",
        of=f"{space}/{owners[0]}" if owners else None,
        machine=text(item, "spec", "nodeName"),
        ready=conditions(item).get("Ready") == "True" and not going,
        over=text(item, "status", "phase") in _OVER,
        ended=text(item, "status", "reason"),
        containers={must(state, "name"): _container(state) for state in states},
        osd=_osd(labels, item) if labels.get("app") == "rook-ceph-osd" else None,
    )


def _container(state: object) -> Container:
    failed = count(state, "state", "terminated", "exitCode") != 0
    end = "state" if failed else "lastState"
    return Container(
        restarts=count(state, "restartCount"),
        waits=text(state, "state", "waiting", "reason"),
        # Between its end and the kubelet's back-off a container neither runs nor waits.
        failed=failed,
        ended=text(state, end, "terminated", "reason"),
        ended_at=epoch(state, end, "terminated", "finishedAt"),
    )


def _osd(labels: Mapping[str, str], pod: Object) -> PodOfOsd:
    """An OSD's number, and the device that Rook tells its containers to use."""
    told = [
        text(variable, "value")
        for container in (
            *listed(pod, "spec", "containers"),
            *listed(pod, "spec", "initContainers"),
        )
        for variable in listed(container, "env")
        if text(variable, "name") == "ROOK_BLOCK_PATH"
    ]
    return PodOfOsd(id=labels.get("ceph-osd-id"), device=told[0] if told else None)


# --- CSI --------------------------------------------------------------------------------------


def _storage_class(kube: Kube, declared: RookDeclared) -> Described[StorageClass | None]:
    item = maybe(kube, f"{_STORAGE}/storageclasses/{declared.storage_class}")
    if item is None:
        return Described(None)
    parameters = texts(item, "parameters")
    secrets = {
        f"{parameters.get(f'{key}-namespace', '')}/{name}"
        for key, name in _secret_names(parameters).items()
    }
    value = StorageClass(
        provisioner=must(item, "provisioner"),
        parameters={key: parameters.get(key) for key in ("clusterID", "fsName", "pool")},
        expands=flag(item, "allowVolumeExpansion"),
        reclaims=text(item, "reclaimPolicy") or "Delete",
        secrets={name: _is_there(kube, name) for name in sorted(secrets)},
    )
    return Described(value)


def _secret_names(parameters: Mapping[str, str]) -> Mapping[str, str]:
    """The secrets that a storage class names, by what they are for."""
    end = "-secret-name"
    return {
        key.removesuffix("-name"): name
        for key, name in parameters.items()
        if key.startswith(_SECRET) and key.endswith(end)
    }


def _is_there(kube: Kube, secret: str) -> bool:
    space, _, name = secret.partition("/")
    return bool(space and name) and kube.exists(f"/api/v1/namespaces/{space}/secrets/{name}")


def _driver_names(kube: Kube, declared: RookDeclared) -> Described[dict[str, str]]:
    """The declared names or, if Rook has another prefix, the only existing names."""
    if declared.driver_prefix is not None:
        return Described({kind: declared.driver(kind) for kind in declared.drivers})
    registered = _names(kube.get(f"{_STORAGE}/csidrivers")).values
    names = {}
    for kind in declared.drivers:
        ours, end = declared.driver(kind), f".{kind}.csi.ceph.com"
        others = [name for name in registered if name.endswith(end)]
        names[kind] = others[0] if ours not in registered and len(others) == 1 else ours
    return Described(names)


def _drivers(kube: Kube, declared: RookDeclared) -> Described[Drivers]:
    version, space = csi_version(kube), declared.operator_namespace
    registered = _names(kube.get(f"{_STORAGE}/csidrivers"))
    here = f"{CSI}/{version}/namespaces/{space}/drivers"
    objects = _names(maybe(kube, here) if version else None)
    leaders = _leaders(kube, space, _driver_names(kube, declared).values.values())
    nodes = described(
        kube.get(f"{_STORAGE}/csinodes"),
        lambda item: tuple(sorted(must(it, "name") for it in listed(item, "spec", "drivers"))),
    )
    value = Drivers(
        registered=tuple(sorted(registered.values)),
        objects=tuple(sorted(name.rpartition("/")[2] for name in objects.values)),
        machines=nodes.values,
        leaders=leaders.values,
    )
    return Described(value, {**registered.odd, **objects.odd, **nodes.odd, **leaders.odd})


def _names(found: object) -> Described[Mapping[str, bool]]:
    return described(found, lambda _: True)


def _leaders(
    kube: Kube, space: str, drivers: Iterable[str]
) -> Described[Mapping[str, Lease | None]]:
    """The lease of each driver's provisioner; the sidecar names it after the driver."""
    values: dict[str, Lease | None] = {}
    odd = {}
    for driver in drivers:
        name = driver.replace(".", "-")
        item = maybe(kube, f"/apis/coordination.k8s.io/v1/namespaces/{space}/leases/{name}")
        try:
            values[driver] = None if item is None else _lease(item)
        except Odd as error:
            odd[f"Lease {space}/{name}"] = f"not understood: {error}"
    return Described(values, odd)


def _lease(item: object) -> Lease:
    return Lease(
        holder=text(item, "spec", "holderIdentity") or "",
        renewed_at=epoch(item, "spec", "renewTime"),
        lasts_s=count(item, "spec", "leaseDurationSeconds") or None,
    )


def _look(
    item: Part[T], look: Callable[[Kube, RookDeclared], Described[T]]
) -> tuple[str, Callable[[Kube, RookDeclared], Described[object]]]:
    """An item's name and the function that looks at it, which gives the item's type."""
    return item.name, look


_LOOKS = dict(
    (
        _look(facts.DEPLOYMENTS, _deployments),
        _look(facts.DAEMON_SETS, _daemon_sets),
        _look(facts.PODS, _pods),
        _look(facts.CLUSTER, cluster),
        _look(facts.MONITORS, monitors),
        _look(facts.FILE_SYSTEM, file_system),
        _look(facts.POOLS, pools),
        _look(facts.STORAGE_CLASS, _storage_class),
        _look(facts.DRIVER_NAMES, _driver_names),
        _look(facts.DRIVERS, _drivers),
    )
)
