"""Every workload of the cluster: its template, its pods, and what leads to them.

A template alone does not tell what runs: limits come from a LimitRange and sidecars from a webhook,
which change the pods. Pods alone do not tell either: a CronJob has none for most of the day.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Protocol, TypeAlias

from harness.core.errors import HarnessError
from harness.core.model import JSON
from harness.core.parallel import in_each
from harness.facts.schema import dump
from harness.facts.workloads import WORKLOADS, Container, Privilege, Workload, Workloads
from harness.probes.probe import Timing
from harness.transport import Reach
from harness.transport.objects import (
    Described,
    Object,
    count,
    described,
    flag,
    follows_primary,
    has_account_token,
    is_ready,
    listed,
    matches,
    must,
    part,
    text,
    texts,
    words,
)

_LISTS = {
    "pods": "/api/v1/pods",
    "services": "/api/v1/services",
    "volumes": "/api/v1/persistentvolumes",
    "ReplicaSet": "/apis/apps/v1/replicasets",
    "Deployment": "/apis/apps/v1/deployments",
    "StatefulSet": "/apis/apps/v1/statefulsets",
    "DaemonSet": "/apis/apps/v1/daemonsets",
    "CronJob": "/apis/batch/v1/cronjobs",
    "Job": "/apis/batch/v1/jobs",
    "budgets": "/apis/policy/v1/poddisruptionbudgets",
}
_TEMPLATES = ("Deployment", "StatefulSet", "DaemonSet", "CronJob", "Job")
# A ReplicaSet belongs to a Deployment, and most Jobs to a CronJob.
_OWNED = ("ReplicaSet", "Job")
_HOST = ("hostNetwork", "hostPID", "hostIPC")
_DONE = ("Succeeded", "Failed")

Key: TypeAlias = tuple[str, str, str]  # kind, namespace, name
Claims: TypeAlias = Mapping[tuple[str, str], str]  # namespace and name → a path of a machine


class AllWorkloads:
    """Reads templates, pods, Services, PodDisruptionBudgets and volumes that are host paths."""

    name: ClassVar[str] = WORKLOADS.name
    sentence: ClassVar[str] = "every workload of the cluster"
    timing: ClassVar[Timing] = Timing.AT_START
    within_s: ClassVar[float] = 60.0

    def targets(self, reach: Reach) -> Sequence[str]:
        return [reach.profile.name]

    def observe(self, reach: Reach, target: str) -> JSON:
        answers = in_each(_LISTS, lambda kind: reach.kube.get(_LISTS[kind], within_s=20.0))
        for answer in answers.values():
            if isinstance(answer, HarnessError):
                raise answer
        return dump(_read(answers))


def _read(lists: Mapping[str, object]) -> Workloads:
    """The workloads that the lists of objects describe."""
    volumes = described(lists["volumes"], _host_volume)
    claims = dict(filter(None, volumes.values.values()))
    pods = described(lists["pods"], lambda it: _pod(it, claims))
    services = described(lists["services"], _selected_by_service)
    budgets = described(lists["budgets"], _budget)
    owners = {kind: described(lists[kind], lambda it: _owner(it, "")) for kind in _OWNED}
    templates = {
        kind: described(lists[kind], partial(_template, kind=kind, claims=claims))
        for kind in _TEMPLATES
    }
    of_workload: dict[Key, list[_Pod]] = {}
    for pod in filter(None, pods.values.values()):
        of_workload.setdefault(_top(pod.owner, owners), []).append(pod)
    all_declared = {
        (kind, it.namespace, it.name): it
        for kind, found in templates.items()
        for it in found.values.values()
    }
    declared = {key: it for key, it in all_declared.items() if _top(key, owners) == key}
    found = {
        key: _workload(key, declared.get(key), of_workload.get(key, []), services, budgets)
        for key in sorted({*declared, *of_workload})
    }
    every = (volumes, pods, services, budgets, *owners.values(), *templates.values())
    return Workloads(
        workloads={f"{kind} {space}/{name}": it for (kind, space, name), it in found.items()},
        allowed_evictions={
            name: it.allowed for name, it in budgets.values.items() if it.allowed is not None
        },
        odd={name: why for it in every for name, why in it.odd.items()},
    )


@dataclass(frozen=True, slots=True)
class _Spec:
    """What a pod's specification says, in a pod or in a template."""

    containers: tuple[Container, ...]
    images: tuple[str, ...]
    privileges: tuple[Privilege, ...]
    accounts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Pod:
    namespace: str
    owner: Key
    node: str
    is_ready: bool
    labels: Mapping[str, str]
    spec: _Spec


@dataclass(frozen=True, slots=True)
class _Template:
    namespace: str
    name: str
    wanted: int
    ready: int
    is_settled: bool
    not_updated: int
    labels: Mapping[str, str]
    spec: _Spec


@dataclass(frozen=True, slots=True)
class _Selected:
    """What a Service or a PodDisruptionBudget selects in its namespace.

    ``allowed`` are the evictions that a budget allows; None if it moves with a primary.
    """

    namespace: str
    selector: Object | None
    allowed: int | None = None

    def selects(self, pods: Iterable[_Labelled]) -> bool:
        return any(
            it.namespace == self.namespace and matches(self.selector, it.labels) for it in pods
        )


class _Labelled(Protocol):
    """A pod, or the template of one."""

    @property
    def namespace(self) -> str: ...

    @property
    def labels(self) -> Mapping[str, str]: ...


def _workload(
    key: Key,
    template: _Template | None,
    pods: Sequence[_Pod],
    services: Described[dict[str, _Selected]],
    budgets: Described[dict[str, _Selected]],
) -> Workload:
    kind, space, name = key
    ready = [pod for pod in pods if pod.is_ready]
    specs = [*(pod.spec for pod in pods), *((template.spec,) if template else ())]
    labelled: Sequence[_Labelled] = pods or ([template] if template else [])
    return Workload(
        kind=kind,
        namespace=space,
        name=name,
        wanted=template.wanted if template else len(pods),
        ready=template.ready if template else len(ready),
        is_settled=template.is_settled if template else True,
        not_updated=template.not_updated if template else 0,
        machines=tuple(sorted({pod.node for pod in ready})),
        containers=specs[0].containers,
        images=tuple(sorted({image for spec in specs for image in spec.images})),
        services=_selecting(services, labelled),
        budgets=_selecting(budgets, labelled),
        overlapping=_overlapping(budgets, labelled),
        privileges=_once(privilege for spec in specs for privilege in spec.privileges),
        accounts=tuple(sorted({account for spec in specs for account in spec.accounts})),
    )


def _selecting(
    found: Described[dict[str, _Selected]], pods: Sequence[_Labelled]
) -> tuple[str, ...]:
    return tuple(name for name, it in found.values.items() if it.selects(pods))


def _overlapping(
    budgets: Described[dict[str, _Selected]], pods: Sequence[_Labelled]
) -> tuple[str, ...]:
    """The budgets that select one pod together."""
    of_each = (_selecting(budgets, [pod]) for pod in pods)
    return tuple(sorted({name for found in of_each if len(found) > 1 for name in found}))


def _once(privileges: Iterable[Privilege]) -> tuple[Privilege, ...]:
    return tuple(dict.fromkeys(privileges))


def _top(key: Key, owners: Mapping[str, Described[dict[str, Key]]]) -> Key:
    """The owner of a ReplicaSet or Job; any other owner itself."""
    kind, space, name = key
    if kind not in owners:
        return key
    above = owners[kind].values.get(f"{space}/{name}")
    return key if above is None or not above[0] else above


def _owner(item: object, alone: str) -> Key:
    """The controller of an object; of the kind ``alone`` and its own name without one.

    A static pod belongs to its node, which is no workload.
    """
    space, name = must(item, "metadata", "namespace"), must(item, "metadata", "name")
    for it in listed(item, "metadata", "ownerReferences"):
        if flag(it, "controller") and must(it, "kind") != "Node":
            return must(it, "kind"), space, must(it, "name")
    return alone, space, name


def _pod(item: Object, claims: Claims) -> _Pod | None:
    if text(item, "status", "phase") in _DONE:
        return None
    space = must(item, "metadata", "namespace")
    return _Pod(
        namespace=space,
        owner=_owner(item, "Pod"),
        node=text(item, "spec", "nodeName") or "",
        is_ready=is_ready(part(item, "status"))
        and text(item, "metadata", "deletionTimestamp") is None,
        labels=texts(item, "metadata", "labels"),
        spec=_spec(part(item, "spec"), space, claims),
    )


def _template(item: Object, kind: str, claims: Claims) -> _Template:
    space = must(item, "metadata", "namespace")
    above = ("spec", "jobTemplate", "spec") if kind == "CronJob" else ("spec",)
    status, template = part(item, "status"), part(item, *above, "template")
    if kind == "DaemonSet":
        wanted, ready = (count(status, it) for it in ("desiredNumberScheduled", "numberAvailable"))
    elif kind in ("CronJob", "Job"):
        wanted = ready = 0
    else:
        wanted, ready = (
            count(item, "spec", "replicas", default=1),
            count(status, "availableReplicas"),
        )
    return _Template(
        namespace=space,
        name=must(item, "metadata", "name"),
        wanted=wanted,
        ready=ready,
        is_settled=kind in ("CronJob", "Job")
        or count(status, "observedGeneration") >= count(item, "metadata", "generation"),
        not_updated=_not_updated(item, kind, wanted),
        labels=texts(template, "metadata", "labels"),
        spec=_spec(part(template, "spec"), space, claims),
    )


def _not_updated(item: Object, kind: str, wanted: int) -> int:
    """The pods that a rollout has still to replace, as ``kubectl rollout status`` counts them.

    Until then old pods keep the numbers of a Deployment full, even if no new one ever starts. With
    OnDelete, and below the partition of a StatefulSet, old pods stay on purpose.
    """
    spec, status = part(item, "spec"), part(item, "status")
    if text(spec, "updateStrategy", "type") == "OnDelete":
        return 0
    if kind == "Deployment":
        updated = count(status, "updatedReplicas")
        return max(wanted, count(status, "replicas")) - updated
    if kind == "StatefulSet":
        kept = count(spec, "updateStrategy", "rollingUpdate", "partition")
        return max(0, wanted - kept - count(status, "updatedReplicas"))
    if kind == "DaemonSet":
        return max(0, wanted - count(status, "updatedNumberScheduled"))
    return 0


def _spec(spec: Object, space: str, claims: Claims) -> _Spec:
    containers = [
        it
        for kind in ("containers", "initContainers", "ephemeralContainers")
        for it in listed(spec, kind)
    ]
    paths = [_path(it, space, claims) for it in listed(spec, "volumes")]
    privileges = [Privilege(kind) for kind in _HOST if flag(spec, kind)]
    privileges += [Privilege("hostPath", path) for path in paths if path is not None]
    for one in containers:
        name, context = must(one, "name"), part(one, "securityContext")
        if flag(context, "privileged"):
            privileges.append(Privilege("privileged", container=name))
        for added in words(context, "capabilities", "add"):
            privileges.append(Privilege("capability", added.removeprefix("CAP_"), name))
    account = text(spec, "serviceAccountName") or "default"
    return _Spec(
        containers=(
            *(_container(it, spec) for it in listed(spec, "containers")),
            *(
                _container(it, spec, is_sidecar=True)
                for it in listed(spec, "initContainers")
                if text(it, "restartPolicy") == "Always"
            ),
        ),
        images=tuple(must(it, "image") for it in containers),
        privileges=_once(privileges),
        accounts=(account,) if has_account_token(spec) else (),
    )


def _container(item: object, pod: Object, *, is_sidecar: bool = False) -> Container:
    def resources(kind: str) -> tuple[str, ...]:
        return tuple(sorted({*part(item, "resources", kind), *part(pod, "resources", kind)}))

    return Container(
        name=must(item, "name"),
        requests=resources("requests"),
        limits=resources("limits"),
        has_ports=bool(listed(item, "ports")),
        has_readiness=bool(part(item, "readinessProbe")),
        is_sidecar=is_sidecar,
    )


def _path(volume: object, space: str, claims: Claims) -> str | None:
    """The path of the machine that a volume is; None if it is none."""
    own = text(volume, "hostPath", "path")
    claim = text(volume, "persistentVolumeClaim", "claimName")
    return own or (None if claim is None else claims.get((space, claim)))


def _host_volume(item: Object) -> tuple[tuple[str, str], str] | None:
    """A PersistentVolume's claim and its path, if that is a path of a machine."""
    path = text(item, "spec", "hostPath", "path") or text(item, "spec", "local", "path")
    claim = part(item, "spec", "claimRef")
    if path is None or not claim:
        return None
    return (must(claim, "namespace"), must(claim, "name")), path


def _selected_by_service(item: Object) -> _Selected:
    """What a Service selects; one without a selector leads to no pods by itself."""
    labels = texts(item, "spec", "selector")
    return _Selected(
        must(item, "metadata", "namespace"), {"matchLabels": labels} if labels else None
    )


def _budget(item: Object) -> _Selected:
    """What a PodDisruptionBudget selects, and the evictions that it allows now."""
    spec = part(item, "spec")
    selector = None if spec.get("selector") is None else part(spec, "selector")
    matches(selector, {})  # Odd here, where the budget is named
    return _Selected(
        must(item, "metadata", "namespace"),
        selector,
        None if follows_primary(selector) else count(item, "status", "disruptionsAllowed"),
    )
