"""The harness's own namespaces, the owner of each, and the volumes of their claims.

A namespace lives as long as its owner renews it: an annotation changes every few seconds. An owner
is gone if the annotation did not change for ``LASTS_S`` while the harness watched, by its monotonic
clock; it never compares the clocks of two computers. If the API does not answer meanwhile, the
watch ends.

If the class of a claim keeps its volume (reclaim policy Retain), the volume stays Released once the
claim is gone, and keeps its space in Ceph. The driver's provisioner removes a Released volume and
its space as soon as its policy is Delete, also later. Deleting the PersistentVolume itself would
lose the space for good.
"""

from __future__ import annotations

import contextlib
import re
import secrets
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from itertools import count

from harness.core.errors import HarnessError, TimedOut
from harness.core.parallel import running
from harness.core.waiting import until
from harness.transport import Kube
from harness.transport.objects import Odd, listed, must, part, text, texts, words

LABELS = {"app.kubernetes.io/managed-by": "cutover"}
SELECTOR = "labelSelector=app.kubernetes.io%2Fmanaged-by%3Dcutover"
PREFIXES = ("cutover-probe-", "cutover-ledger-")
OWNER, RENEWED = "cutover/owner", "cutover/renewed"
RENEW_S = 10.0
LASTS_S = 45.0
_LOOK_EVERY_S = 2.0
# Pods end, volumes are released, and then the namespace is gone.
_GONE_WITHIN_S = 120.0
# The namespaces that this process holds.
_HELD: set[str] = set()
# Namespaces that the harness makes: of a look, and of a ledger.
_SPACES = re.compile(r"cutover-(probe|ledger)-[0-9a-z]+")


def manifest(name: str, owner: str, renewed: str, **known: str) -> dict[str, object]:
    """A harness namespace with the restricted pod security; ``known`` is more metadata."""
    restricted = {"pod-security.kubernetes.io/enforce": "restricted"}
    annotations = {OWNER: owner, RENEWED: renewed}
    metadata = {"name": name, "labels": LABELS | restricted, "annotations": annotations, **known}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}


@contextlib.contextmanager
def renewed(kube: Kube, name: str, owner: str) -> Iterator[None]:
    """Make the namespace, or take it over, and renew it while the body runs."""
    token, stop = secrets.token_hex(4), threading.Event()
    numbers = count(1)

    def renew(**known: str) -> None:
        kube.apply(manifest(name, owner, f"{token}-{next(numbers)}", **known))

    def keep() -> None:
        uid = ""
        while not stop.wait(RENEW_S):
            with contextlib.suppress(HarnessError):  # the API itself may be broken
                uid = uid or (text(_ours(kube).get(name), "uid") or "")
                # With the uid, a deleted namespace is not made again.
                if uid and not stop.is_set():
                    renew(uid=uid)

    _HELD.add(name)
    try:
        renew()
        with running({f"owner of {name}": keep}, stop, within_s=RENEW_S):
            yield
    finally:
        _HELD.discard(name)


def sweep(
    kube: Kube, *, keep: str = "", tell: Callable[[str], object] = str
) -> Mapping[str, str | None]:
    """Remove every harness namespace whose owner is gone, with its claims and their volumes.

    Takes about ``LASTS_S``, plus the time of the removal; no time if there is no such namespace.
    Returns the name of each, and why it is still there; None: it is gone. ``keep`` is an owner
    whose namespaces are kept. Raises TransportError if the API does not list them.
    """
    first: dict[str, tuple[str | None, float]] = {}
    alive: set[str] = set()
    swept: dict[str, str | None] = {}

    def settled() -> bool:
        ours = _ours(kube)
        found = {name: meta for name, meta in ours.items() if not _is_kept(name, meta, keep)}
        now = time.monotonic()
        for name, meta in found.items():
            value = texts(meta, "annotations").get(RENEWED)
            if first.setdefault(name, (value, now))[0] != value:
                alive.add(name)
        waiting = [it for it in found if it not in alive and it not in swept]
        if waiting and len(first) == len(waiting):
            tell(f"watching for {LASTS_S:g} s whether {', '.join(waiting)} is still in use")
        for name in waiting:
            if now - first[name][1] >= LASTS_S or text(found[name], "deletionTimestamp"):
                swept[name] = _remove(kube, name)
        return all(name in swept for name in waiting)

    until(settled, within_s=2 * LASTS_S, what="owners of namespaces", every_s=_LOOK_EVERY_S)
    _wait_gone(kube, swept)
    # A harness without the right to change volumes left none.
    with contextlib.suppress(HarnessError):
        sweep_volumes(kube, list(_ours(kube)))
    return swept


def sweep_beside(kube: Kube, *, keep: str = "") -> None:
    """Do the same in a background thread, as far as the API allows; a run does not wait for it."""

    def work() -> None:
        with contextlib.suppress(HarnessError):
            sweep(kube, keep=keep)

    threading.Thread(target=work, name="sweep", daemon=True).start()


def _ours(kube: Kube) -> dict[str, object]:
    """What the API says of each harness namespace, by name."""
    found = listed(kube.get(f"/api/v1/namespaces?{SELECTOR}"), "items")
    metas = {must(it, "metadata", "name"): part(it, "metadata") for it in found}
    return {name: meta for name, meta in metas.items() if name.startswith(PREFIXES)}


def _is_kept(name: str, meta: object, keep: str) -> bool:
    owner = texts(meta, "annotations").get(OWNER)
    return name in _HELD or bool(keep and owner == keep)


def _remove(kube: Kube, name: str) -> str | None:
    """Delete a namespace with the volumes of its claims; return why that failed."""
    try:
        give_back_volumes(kube, name)
        kube.delete(f"/api/v1/namespaces/{name}")
    except HarnessError as error:
        return str(error).partition("\n")[0]
    return None


def _wait_gone(kube: Kube, swept: dict[str, str | None]) -> None:
    going = [name for name, trouble in swept.items() if trouble is None]
    if not going:
        return
    with contextlib.suppress(TimedOut):
        until(
            lambda: not set(going) & set(_ours(kube)),
            within_s=_GONE_WITHIN_S,
            what="they are gone",
            every_s=_LOOK_EVERY_S,
        )
        return
    for name in set(going) & set(_ours(kube)):
        swept[name] = f"it is deleted, and still there after {_GONE_WITHIN_S:g} s"


def give_back_volumes(kube: Kube, space: str) -> None:
    """Make every volume of a namespace's claims go with its claim; raises TransportError."""
    for volume in _of(kube, space.__eq__):
        _set_delete(kube, volume)


def give_back_volume(kube: Kube, name: str) -> None:
    """Make one Released volume go; raises TransportError."""
    _set_delete(kube, kube.get(f"/api/v1/persistentvolumes/{name}"))


def sweep_volumes(kube: Kube, spaces: Collection[str]) -> None:
    """Remove the volumes that killed looks have left.

    These are Released, and their claim was in a harness namespace that is not in ``spaces``, the
    names of those that still exist.
    """
    for volume in _of(kube, lambda it: bool(_SPACES.fullmatch(it)) and it not in spaces):
        if text(volume, "status", "phase") == "Released":
            _set_delete(kube, volume)


def volume_of_claim(kube: Kube, space: str, claim: str) -> str | None:
    """The phase and policy of a claim's volume; None without a volume."""
    for volume in _of(kube, space.__eq__):
        if text(volume, "spec", "claimRef", "name") == claim:
            return f"{text(volume, 'status', 'phase')}, reclaim policy {_policy(volume)}"
    return None


def volume_modes(kube: Kube, space: str) -> dict[str, list[str]]:
    """The access modes of the volumes of a namespace's claims, by claim, bound to it or not."""
    return {
        must(volume, "spec", "claimRef", "name"): words(volume, "spec", "accessModes")
        for volume in _of(kube, space.__eq__)
    }


def _of(kube: Kube, ours: Callable[[str], bool]) -> Iterator[object]:
    """The volumes of claims in these namespaces; volumes of other claims are not read further."""
    for volume in listed(kube.get("/api/v1/persistentvolumes"), "items"):
        try:
            space = text(volume, "spec", "claimRef", "namespace")
        except Odd:
            continue
        if space and ours(space):
            yield volume


def _policy(volume: object) -> str | None:
    return text(volume, "spec", "persistentVolumeReclaimPolicy")


def _set_delete(kube: Kube, volume: object) -> None:
    if _policy(volume) == "Retain":
        kube.apply(
            {
                "apiVersion": "v1",
                "kind": "PersistentVolume",
                "metadata": {"name": must(volume, "metadata", "name")},
                "spec": {"persistentVolumeReclaimPolicy": "Delete"},
            }
        )
