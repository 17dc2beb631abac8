"""Claims that hold backups: the shared one with what lies in it, and any other.

The value:

``claims``  every claim that is the declared one, or whose name or labels say backup: {"namespace",
            "name", "modes", "bytes": as bound, or as requested before, "phase", "why"}
``odd``     such claims that could not be understood: "namespace/name" → why
``layout``  {"value": see ``layout_script``} or {"error"}, or None without the declared claim
"""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any, ClassVar

from harness.errors import HarnessError, NotProven, ScriptFailed, TransportError
from harness.model import JSON
from harness.notices import removed_afterwards
from harness.probes import pods
from harness.probes.objects import Odd, described, listed, must, quantity, text, texts
from harness.probes.probe import Timing
from harness.probes.scripts import layout_script
from harness.settings import Backups
from harness.transport import Kube, Reach
from harness.transport.remote_script import RemoteScript

_SCRIPT = RemoteScript(layout_script)
_READY_WITHIN_S = 60.0
_AT = "/backups"
_PREFIX = "cutover-probe-backups-"
_LIVES_S = 300
_SWITCHES = frozenset(("", "true", "false", "yes", "no", "on", "off", "enabled", "disabled"))


class BackupClaims:
    """Lists claims, and looks into the declared one from a pod that mounts it read-only."""

    name: ClassVar[str] = "backup-claims"
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
        claims = [it for it in seen.values.values() if it is not None]
        ours = [it for it in claims if _is_declared(it, backups)]
        layout = _layout(reach, backups, ours[0]) if ours else None
        return {"claims": claims, "odd": dict(seen.odd), "layout": layout}


def _is_declared(claim: Mapping[str, Any], backups: Backups) -> bool:
    return (claim["namespace"], claim["name"]) == (backups.namespace, backups.claim)


def _claim(item: Mapping[str, Any], backups: Backups) -> dict[str, Any] | None:
    space, name = text(item, "metadata", "namespace"), must(item, "metadata", "name")
    claim = {"namespace": space, "name": name}
    why = _betrayed(name, texts(item, "metadata", "labels"), backups)
    if not why and not _is_declared(claim, backups):
        return None
    asked = text(item, "spec", "resources", "requests", "storage")
    size = text(item, "status", "capacity", "storage") or asked
    if size is None:
        raise Odd("it says no size")
    return claim | {
        "modes": [str(mode) for mode in listed(item, "spec", "accessModes")],
        "bytes": quantity(size),
        "phase": text(item, "status", "phase") or "Pending",
        "why": why,
    }


def _betrayed(name: str, labels: Mapping[str, str], backups: Backups) -> str:
    """The name, or the label, that says what the claim is for; nothing when none does."""
    told = [
        f"{key}={value}" for key, value in sorted(labels.items()) if _tells(key, value, backups)
    ]
    return next(
        (it for it in (name, *told) if any(fnmatchcase(it.lower(), p) for p in backups.words)), ""
    )


def _tells(key: str, value: str, backups: Backups) -> bool:
    """Does a label say what the claim holds? A tool's mark and a switch, ``backup=true``, do not:
    they say what is to be done with the claim."""
    domain = key.rpartition("/")[0].lower()
    of_a_tool = any(domain == tool or domain.endswith(f".{tool}") for tool in backups.tools)
    return not of_a_tool and value.lower() not in _SWITCHES


def _layout(reach: Reach, backups: Backups, claim: Mapping[str, Any]) -> dict[str, Any]:
    if claim["phase"] != "Bound":
        return {"error": f"the claim is {claim['phase']}: it cannot be looked into"}
    try:
        with _reader(reach, backups) as pod:
            told = _SCRIPT.in_pod(
                reach.kube, backups.namespace, pod, _AT, backups.active, within_s=25.0
            )
        return {"value": told.value}
    except ScriptFailed as error:
        return {"error": f"listing it as user {backups.reader}: {error}"}
    except HarnessError as error:
        return {"error": str(error)}


@contextlib.contextmanager
def _reader(reach: Reach, backups: Backups) -> Iterator[str]:
    """A pod beside the claim, which must be in its namespace; it is deleted afterwards."""
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


def _pod(reach: Reach, backups: Backups, name: str) -> dict[str, Any]:
    made = pods.pod(reach, backups.namespace, name, "", "reader")
    spec = made["spec"]
    # Whichever machine the scheduler finds: a claim may be bound to some of them only.
    del spec["nodeName"], spec["tolerations"]
    spec["activeDeadlineSeconds"] = _LIVES_S
    spec["securityContext"] |= {"runAsUser": backups.reader, "runAsGroup": backups.reader}
    spec["volumes"] = [
        {
            "name": "backups",
            "persistentVolumeClaim": {"claimName": backups.claim, "readOnly": True},
        }
    ]
    mount = {"name": "backups", "mountPath": _AT, "readOnly": True}
    spec["containers"][0]["volumeMounts"] = [mount]
    return made


def _sweep(kube: Kube, space: str) -> None:
    """Remove what a harness left that was killed."""
    for left in kube.get(f"/api/v1/namespaces/{space}/pods?{pods.SELECTOR}")["items"]:
        meta = left["metadata"]
        age_s = time.time() - datetime.fromisoformat(meta["creationTimestamp"]).timestamp()
        if meta["name"].startswith(_PREFIX) and age_s > _LIVES_S:
            kube.delete(f"/api/v1/namespaces/{space}/pods/{meta['name']}")
