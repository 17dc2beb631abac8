"""One harness at a time breaks things in a cluster: it holds a Kubernetes Lease meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from harness.errors import Conflict, HarnessError, NotFound, Refused
from harness.journal import utc_text
from harness.transport import Kube

NAME = "cutover-disruption"
_COLLECTION = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases"
_PATH = f"{_COLLECTION}/{NAME}"
# A harness that was killed holds it for so long; the fault's own lease is shorter.
DURATION_S = 45
_RENEW_S = 10.0


@contextmanager
def held(kube: Kube, by: str) -> Iterator[None]:
    """Hold the Lease while the body runs; Refused when somebody else does.

    An API that does not answer meanwhile is no reason to let go: it may be what was broken.
    """
    _take(kube, by)
    stop = threading.Event()

    def renew() -> None:
        while not stop.wait(_RENEW_S):
            with suppress(HarnessError):
                kube.apply(_lease(by))

    thread = threading.Thread(target=renew, name="disruption lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(timeout=_RENEW_S)
        with suppress(HarnessError):  # it ends by itself then
            _let_go(kube, by)


def holder(kube: Kube) -> str | None:
    """Who holds it now; None when nobody does, or when the API does not say."""
    try:
        by, until = _held_by(kube.get(_PATH))
    except HarnessError:
        return None
    return by if until > datetime.now(UTC) else None


def _take(kube: Kube, holder: str) -> None:
    lease = _lease(holder)
    try:
        kube.create(_COLLECTION, lease)
        return
    except Conflict:
        there = kube.get(_PATH)
    by, until = _held_by(there)
    if by != holder and until > datetime.now(UTC):
        raise _refused(by, until)
    version = there["metadata"]["resourceVersion"]
    taken: dict[str, Any] = {**lease, "metadata": {**lease["metadata"], "resourceVersion": version}}
    try:
        kube.apply(taken)
    except Conflict as error:
        raise _refused("somebody who was faster", until) from error


def _let_go(kube: Kube, holder: str) -> None:
    with suppress(NotFound):
        if _held_by(kube.get(_PATH))[0] == holder:
            kube.delete(_PATH)


def _held_by(lease: Mapping[str, Any]) -> tuple[str, datetime]:
    """Who holds it, and until when (UTC)."""
    spec = lease["spec"]
    renewed = datetime.fromisoformat(spec["renewTime"])
    seconds = int(spec.get("leaseDurationSeconds", DURATION_S))
    return str(spec.get("holderIdentity", "")), renewed + timedelta(seconds=seconds)


def _refused(by: str, until: datetime) -> Refused:
    return Refused(
        f"another harness breaks things in this cluster: {by} holds the Lease {NAME} "
        f"until {until:%H:%M:%S} UTC",
        remedy="wait for it; the Lease of a harness that was killed ends by itself",
    )


def _lease(holder: str) -> dict[str, Any]:
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": NAME, "namespace": "kube-system"},
        "spec": {
            "holderIdentity": holder,
            "leaseDurationSeconds": DURATION_S,
            "renewTime": utc_text(datetime.now(UTC)),
        },
    }
