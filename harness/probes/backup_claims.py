"""Claims that hold backups: the shared one with its contents, and any other."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from fnmatch import fnmatchcase
from typing import ClassVar

from harness.core.errors import HarnessError, NotProven, ScriptFailed, TransportError
from harness.core.model import JSON
from harness.core.notices import removed_afterwards
from harness.facts import backups as facts
from harness.facts.backups import Claim, Layout
from harness.facts.schema import Item, Known, Unknown, dump
from harness.probes import pods
from harness.probes.probe import Timing
from harness.probes.scripts import layout_script
from harness.settings import Backups
from harness.transport import Kube, Reach
from harness.transport.objects import Object, Odd, described, listed, must, quantity, text, texts
from harness.transport.remote_script import RemoteScript

_SCRIPT = RemoteScript(layout_script)
_READY_WITHIN_S = 60.0
_AT = "/backups"
_PREFIX = "cutover-probe-backups-"
_LIVES_S = 300
_SWITCHES = frozenset(("", "true", "false", "yes", "no", "on", "off", "enabled", "disabled"))


class BackupClaims:
    """Lists claims, and looks into the declared one from a pod that mounts it read-only."""

    name: ClassVar[str] = facts.BACKUP_CLAIMS.name
    sentence: ClassVar[str] = "the claims that hold backups, and what lies in the shared one"
    timing: ClassVar[Timing] = Timing.WHEN_ASKED
    within_s: ClassVar[float] = 150.0

    def targets(self, reach: Reach) -> Sequence[str]:
        return [reach.profile.name]

    def observe(self, reach: Reach, target: str) -> JSON:
        backups = reach.profile.backups
        if backups is None:
            raise NotProven("the profile declares no claim for backups (backups)")
        claimed = reach.kube.get("/api/v1/persistentvolumeclaims")
        seen = described(claimed, lambda item: _claim(item, backups))
        claims = tuple(it for it in seen.values.values() if it is not None)
        ours = [it for it in claims if _is_declared(it.namespace, it.name, backups)]
        layout = _layout(reach, backups, ours[0]) if ours else None
        return dump(facts.BackupClaims(claims=claims, odd=seen.odd, layout=layout))


def _is_declared(space: str | None, name: str, backups: Backups) -> bool:
    return (space, name) == (backups.namespace, backups.claim)


def _claim(item: Object, backups: Backups) -> Claim | None:
    space, name = text(item, "metadata", "namespace"), must(item, "metadata", "name")
    why = _betrayed(name, texts(item, "metadata", "labels"), backups)
    if not why and not _is_declared(space, name, backups):
        return None
    asked = text(item, "spec", "resources", "requests", "storage")
    size = text(item, "status", "capacity", "storage") or asked
    if size is None:
        raise Odd("it says no size")
    return Claim(
        namespace=space,
        name=name,
        modes=tuple(str(mode) for mode in listed(item, "spec", "accessModes")),
        bytes=quantity(size),
        phase=text(item, "status", "phase") or "Pending",
        why=why,
    )


def _betrayed(name: str, labels: Mapping[str, str], backups: Backups) -> str:
    """The name, or the label, that says what the claim is for; nothing when none does."""
    told = [
        f"{key}={value}" for key, value in sorted(labels.items()) if _tells(key, value, backups)
    ]
    return next(
        (it for it in (name, *told) if any(fnmatchcase(it.lower(), p) for p in backups.words)), ""
    )


def _tells(key: str, value: str, backups: Backups) -> bool:
    """True if a label says what the claim holds.

    A tool's mark, or a switch such as ``backup=true``, says what to do with the claim instead.
    """
    domain = key.rpartition("/")[0].lower()
    of_a_tool = any(domain == tool or domain.endswith(f".{tool}") for tool in backups.tools)
    return not of_a_tool and value.lower() not in _SWITCHES


def _layout(reach: Reach, backups: Backups, claim: Claim) -> Item[Layout]:
    if claim.phase != "Bound":
        return Unknown(f"the claim is {claim.phase}: it cannot be looked into")
    try:
        with _reader(reach, backups) as pod:
            kube, space, asked = reach.kube, backups.namespace, (_AT, backups.active)
            told = _SCRIPT.in_pod(kube, space, pod, *asked, within_s=25.0, read=Layout)
        return Known(told.value)
    except ScriptFailed as error:
        return Unknown(f"listing it as user {backups.reader}: {error}")
    except HarnessError as error:
        return Unknown(str(error))


@contextlib.contextmanager
def _reader(reach: Reach, backups: Backups) -> Iterator[str]:
    """A pod in the claim's namespace, as a mount requires; it is deleted afterwards."""
    kube, space = reach.kube, backups.namespace
    _sweep(kube, space)
    name = f"{_PREFIX}{secrets.token_hex(4)}"
    path = f"/api/v1/namespaces/{space}/pods/{name}"
    with removed_afterwards(f"the pod {space}/{name}", lambda: kube.delete(path)):
        kube.apply(_pod(reach, backups, name))
        _, late = pods.addresses_when_ready(kube, space, {name: name}, _READY_WITHIN_S)
        if late:
            raise TransportError(late[name])
        yield name


def _pod(reach: Reach, backups: Backups, name: str) -> Mapping[str, object]:
    """The scheduler places the pod, because a claim may be bound to some machines only."""
    mount = {"name": "backups", "mountPath": _AT, "readOnly": True}
    claimed = {"claimName": backups.claim, "readOnly": True}
    return pods.pod(
        reach,
        backups.namespace,
        name,
        "",
        "reader",
        container={"volumeMounts": [mount]},
        spec={
            "activeDeadlineSeconds": _LIVES_S,
            "volumes": [{"name": "backups", "persistentVolumeClaim": claimed}],
        },
        security={"runAsUser": backups.reader, "runAsGroup": backups.reader},
    )


def _sweep(kube: Kube, space: str) -> None:
    """Remove the pods of a killed harness."""
    for left in listed(kube.get(f"/api/v1/namespaces/{space}/pods?{pods.SELECTOR}"), "items"):
        name, made = must(left, "metadata", "name"), must(left, "metadata", "creationTimestamp")
        age_s = time.time() - datetime.fromisoformat(made).timestamp()
        if name.startswith(_PREFIX) and age_s > _LIVES_S:
            kube.delete(f"/api/v1/namespaces/{space}/pods/{name}")
