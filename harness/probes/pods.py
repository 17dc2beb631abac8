"""The harness's own pods, in a namespace that is always deleted afterwards."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TypeAlias, TypeVar

from typing_extensions import TypeForm

from harness.core.errors import TimedOut, TransportError
from harness.core.model import JSON
from harness.core.notices import removed_afterwards
from harness.core.waiting import until
from harness.facts.schema import Answered, Failed, Known, Unknown, attempt
from harness.probes import owned
from harness.probes.scripts import pod_script
from harness.transport import Kube, Reach
from harness.transport.objects import is_ready as is_ready
from harness.transport.objects import listed, must, part, text
from harness.transport.remote_script import RemoteScript

T = TypeVar("T")

# An object as it is applied.
Manifest: TypeAlias = dict[str, object]

PORT = 8642
_SCRIPT = RemoteScript(pod_script)
_OURS = owned.LABELS
SELECTOR = owned.SELECTOR
_PREFIX = "cutover-probe-"
_UNPRIVILEGED = 65534


@contextlib.contextmanager
def namespace(kube: Kube, *, claims: bool = False, for_pods: bool = True) -> Iterator[str]:
    """A namespace for one look; it is deleted afterwards, also when the look fails.

    With ``claims``, the volumes of its claims are removed too, and those of looks that were killed.
    A namespace that is not ``for_pods`` is there at once, however slow the cluster is.
    """
    if claims:
        found = listed(kube.get(f"/api/v1/namespaces?{SELECTOR}"), "items")
        owned.sweep_volumes(kube, [must(it, "metadata", "name") for it in found])
    name = f"{_PREFIX}{secrets.token_hex(4)}"
    with namespace_named(kube, name, claims=claims, for_pods=for_pods):
        yield name


@contextlib.contextmanager
def namespace_named(
    kube: Kube,
    name: str,
    owner: str = "",
    *,
    claims: bool = False,
    for_pods: bool = True,
) -> Iterator[str]:
    """A namespace of that name with the restricted pod security; it is always deleted afterwards.

    ``owner`` is the run that may take it over if this harness is killed.
    """

    def remove() -> None:
        try:
            if claims:
                owned.give_back_volumes(kube, name)
        finally:
            kube.delete(f"/api/v1/namespaces/{name}")

    with (
        removed_afterwards(f"the namespace {name}", remove),
        owned.renewed(kube, name, owner),
    ):
        # Pods are refused until the controller has given the namespace its service account.
        if for_pods:
            until(
                lambda: listed(kube.get(f"/api/v1/namespaces/{name}/serviceaccounts"), "items"),
                within_s=15.0,
                what=f"a service account in the namespace {name}",
            )
        yield name


def is_ours(labels: Mapping[str, str]) -> bool:
    """True if an object with these labels belongs to the harness."""
    return all(labels.get(key) == value for key, value in _OURS.items())


def pod(
    reach: Reach,
    space: str,
    name: str,
    machine: str,
    role: str,
    *,
    container: Mapping[str, object] = {},
    spec: Mapping[str, object] = {},
    security: Mapping[str, object] = {},
) -> Manifest:
    """A pod that serves ``pod_script``, placed on one machine without the scheduler.

    Without a machine, the scheduler places it. For the other arguments see ``spec_of``.
    """
    placed = {"nodeName": machine, "tolerations": [{"operator": "Exists"}]} if machine else {}
    labels = _OURS | {"cutover/pod": name, "cutover/role": role}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": space, "labels": labels},
        "spec": spec_of(reach, container, {**placed, **spec}, security),
    }


def spec_of(
    reach: Reach,
    container: Mapping[str, object],
    spec: Mapping[str, object],
    security: Mapping[str, object] = {},
) -> Manifest:
    """The spec of a small pod that meets the restricted pod security standard.

    The fields of ``container``, ``spec`` and the pod's ``security`` context replace the usual ones.
    """
    usual = {
        "name": "probe",
        "image": reach.profile.kubernetes.probe_image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python3", "-u", "-c", _SCRIPT.text, "serve", str(PORT)],
        "readinessProbe": {"tcpSocket": {"port": PORT}, "periodSeconds": 1},
        "resources": resources("128Mi"),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
    }
    return {
        "containers": [{**usual, **container}],
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": 1,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _UNPRIVILEGED,
            "runAsGroup": _UNPRIVILEGED,
            "seccompProfile": {"type": "RuntimeDefault"},
            **security,
        },
        **spec,
    }


def resources(memory: str) -> Manifest:
    """Requests and limits of a small container; ``memory`` is its limit."""
    requests = {"cpu": "10m", "memory": "32Mi"}
    return {"requests": requests, "limits": {"cpu": "500m", "memory": memory}}


def name_of(role: str, machine: str) -> str:
    """A name for an object that belongs to a machine, as a DNS label."""
    return f"{role}-{machine.replace('.', '-')}"


def service(space: str, name: str, pod_name: str, **spec: object) -> Manifest:
    """A service for one pod; the fields of ``spec`` replace the usual ones."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": space, "labels": _OURS},
        "spec": {
            "selector": {"cutover/pod": pod_name},
            "ports": [{"name": "tcp", "port": PORT, "protocol": "TCP"}],
            **spec,
        },
    }


def addresses_when_ready(
    kube: Kube, space: str, names: Mapping[str, str], within_s: float
) -> tuple[dict[str, str], dict[str, str]]:
    """Addresses of the pods that became ready in time, and why the others did not.

    ``names`` are pod names by a key of the caller's; the answers have the same keys.
    """
    seen: dict[str, object] = {}

    def all_ready() -> bool:
        there = listed(kube.get(f"/api/v1/namespaces/{space}/pods"), "items")
        seen.update({must(item, "metadata", "name"): part(item, "status") for item in there})
        return all(is_ready(seen.get(name)) for name in names.values())

    # A pod that is not ready by then is reported below, by name.
    with contextlib.suppress(TimedOut):
        until(all_ready, within_s=within_s, what=f"the pods in {space} ready")
    ready = {k: must(seen[name], "podIP") for k, name in names.items() if is_ready(seen.get(name))}
    events = warnings(kube, space) if len(ready) < len(names) else {}
    late = {
        key: f"its pod was not ready within {within_s:g} s: "
        f"{events.get(name) or _state(seen.get(name))}"
        for key, name in names.items()
        if key not in ready
    }
    return ready, late


def _state(status: object) -> str:
    for container in listed(status, "containerStatuses"):
        for state in part(container, "state").values():
            if reason := text(state, "reason"):
                return f"{reason} {text(state, 'message') or ''}".strip()
    phase = text(status, "phase") or "no such pod"
    return f"{phase}, and its machine reports no state" if phase == "Pending" else phase


def warnings(kube: Kube, space: str) -> dict[str, str]:
    """The first warning about each object of a namespace, by name; later ones follow from it."""
    try:
        told = kube.get(f"/api/v1/namespaces/{space}/events?fieldSelector=type%3DWarning")
    except TransportError:
        return {}
    first: dict[str, str] = {}
    for event in listed(told, "items"):
        name = must(event, "involvedObject", "name")
        first.setdefault(name, text(event, "message") or "")
    return first


def run_script(
    kube: Kube, space: str, name: str, role: str, argument: JSON, kind: TypeForm[T]
) -> T:
    """The answer of ``pod_script`` in one pod."""
    return _SCRIPT.in_pod(kube, space, name, role, argument, within_s=25.0, read=kind).value


def eventually(
    look: Callable[[], T], within_s: float, unless: Callable[[], bool] = lambda: False
) -> Answered[T] | Failed:
    """The first answer and how long it took to come, or the last error, within some seconds.

    ``unless`` ends the wait earlier.
    """
    began = time.monotonic()
    found: list[Known[T] | Unknown] = []

    def answered() -> bool:
        found[:] = [attempt(look)]
        return isinstance(found[0], Known) or unless()

    with contextlib.suppress(TimedOut):
        until(answered, within_s=within_s, what="an answer")
    took_s = round(time.monotonic() - began, 1)
    (last,) = found
    if isinstance(last, Known):
        return Answered(last.value, took_s)
    return Failed(last.error, took_s)
