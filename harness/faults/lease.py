"""One harness at a time breaks things in a cluster: it holds a Kubernetes Lease meanwhile.

An API that does not answer is no reason to let go: it may be what was broken. But the Lease ends by
itself then, and another harness may take it: whoever does not find its own again has lost it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
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
RENEW_S = 10.0
_REMEDY = "wait for it; the Lease of a harness that was killed ends by itself"


class Hold:
    """A Lease that was taken. Safe to use from several threads."""

    def __init__(self, kube: Kube, by: str) -> None:
        self._kube = kube
        self._by = by
        self._renewing = threading.Lock()
        self._lost = ""
        self._alarms: list[Callable[[str], object]] = []

    def renew(self) -> None:
        """Begin it anew. Refused when it was lost, which stays so; TransportError for silence."""
        with self._renewing:
            if not self._lost:
                self._lost = _renew(self._kube, self._by) or ""
                for alarm in [*self._alarms] if self._lost else ():
                    alarm(self._lost)
            if self._lost:
                raise Refused(self._lost, remedy=_REMEDY)

    def confirm(self) -> None:
        """Begin it anew before something is broken. Refused unless it is ours for certain."""
        try:
            self.renew()
        except Refused:
            raise
        except HarnessError as silent:
            raise Refused(
                f"nobody says whether the Lease {NAME} is still ours: {silent}",
                remedy="the API must answer before anything is broken: ./cutover doctor",
            ) from silent

    @contextmanager
    def warning(self, alarm: Callable[[str], object]) -> Iterator[None]:
        """Tell ``alarm`` why, when it is lost while the body runs or was before."""
        self._alarms.append(alarm)
        if self._lost:
            alarm(self._lost)
        try:
            yield
        finally:
            self._alarms.remove(alarm)


@contextmanager
def held(kube: Kube, by: str) -> Iterator[Hold]:
    """Hold the Lease while the body runs; Refused when somebody else does."""
    _take(kube, by)
    hold = Hold(kube, by)
    stop = threading.Event()

    def renew() -> None:
        while not stop.wait(RENEW_S):
            try:
                hold.renew()
            except Refused:
                return
            except HarnessError:
                continue  # the API may be what is broken

    thread = threading.Thread(target=renew, name="disruption lease", daemon=True)
    thread.start()
    try:
        yield hold
    finally:
        stop.set()
        thread.join(timeout=RENEW_S)
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
    try:
        kube.create(_COLLECTION, _lease(holder))
        return
    except Conflict:
        there = kube.get(_PATH)
    by, until = _held_by(there)
    if by != holder and until > datetime.now(UTC):
        raise Refused(_words(by, until), remedy=_REMEDY)
    try:
        kube.apply(_lease(holder, there))
    except Conflict as error:
        raise Refused(_words("somebody who was faster", until), remedy=_REMEDY) from error


def _renew(kube: Kube, holder: str) -> str | None:
    """Begin our Lease anew, unless it changed meanwhile; why it is no longer ours, or None."""
    try:
        there = kube.get(_PATH)
    except NotFound:
        return f"the Lease {NAME} is gone: another harness may have held it meanwhile"
    by, until = _held_by(there)
    if by != holder:
        return _words(by, until)
    try:
        kube.apply(_lease(holder, there))
    except Conflict:
        by, until = _held_by(kube.get(_PATH))
        if by == holder:
            raise
        return _words(by, until)
    return None


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


def _words(by: str, until: datetime) -> str:
    return (
        f"another harness breaks things in this cluster: {by} holds the Lease {NAME} "
        f"until {until:%H:%M:%S} UTC"
    )


def _lease(holder: str, there: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The Lease as it is to be; in the place of one that is ``there``, and has not changed."""
    metadata = {"name": NAME, "namespace": "kube-system"}
    if there is not None:
        metadata["resourceVersion"] = there["metadata"]["resourceVersion"]
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": metadata,
        "spec": {
            "holderIdentity": holder,
            "leaseDurationSeconds": DURATION_S,
            "renewTime": utc_text(datetime.now(UTC)),
        },
    }
