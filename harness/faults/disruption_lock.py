"""Lets one harness at a time inject faults in a cluster: it holds a Kubernetes Lease meanwhile.

The harness compares no clocks of two computers, as in client-go's leader election. The Lease of
another harness has ended if it does not change for its whole duration, by the watching harness's
own monotonic clock. ``renewTime`` is only for people to read.

A harness keeps the lock when the API does not answer: the fault may be the cause. The Lease ends by
itself then, and another harness may take it. A harness that finds its Lease gone or taken has lost
the lock.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from harness.core.errors import Conflict, HarnessError, NotFound, Refused, TimedOut, TransportError
from harness.core.parallel import running
from harness.core.waiting import until
from harness.facts.schema import read
from harness.record.journal import utc_text
from harness.transport import Kube

NAME = "cutover-disruption"
_COLLECTION = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases"
_PATH = f"{_COLLECTION}/{NAME}"
# A killed harness still holds the Lease for this long; the fault's own lease is shorter.
DURATION_S = 45
RENEW_S = 10.0
# The longest duration that the harness waits for; a harness writes DURATION_S.
_LONGEST_S = 300
_LOOK_EVERY_S = 1.0
_REMEDY = "wait for it; the Lease of a harness that was killed ends by itself"


@dataclass(frozen=True, slots=True)
class _Metadata:
    resourceVersion: str = ""  # noqa: N815 (as the API names it)


@dataclass(frozen=True, slots=True)
class _Spec:
    holderIdentity: str | None = None  # noqa: N815
    leaseDurationSeconds: int | None = None  # noqa: N815
    renewTime: str | None = None  # noqa: N815


@dataclass(frozen=True, slots=True)
class _Lease:
    """A Lease as the API reports it; every renewal changes its resource version."""

    metadata: _Metadata
    spec: _Spec

    @property
    def holder(self) -> str:
        return self.spec.holderIdentity or ""


class DisruptionLock:
    """The Kubernetes Lease that lets one harness inject faults. Safe to use from many threads."""

    def __init__(self, kube: Kube, by: str) -> None:
        self._kube = kube
        self._by = by
        self._renewing = threading.Lock()
        self._lost = ""
        self._on_lost: list[Callable[[str], object]] = []

    def renew(self) -> None:
        """Renew the Lease; Refused once it is lost, TransportError without an answer."""
        with self._renewing:
            if not self._lost:
                self._lost = _renew(self._kube, self._by) or ""
                for tell in [*self._on_lost] if self._lost else ():
                    tell(self._lost)
            if self._lost:
                raise Refused(self._lost, remedy=_REMEDY)

    def confirm(self) -> None:
        """Renew the Lease before an injection. Refused unless this harness certainly holds it."""
        try:
            self.renew()
        except Refused:
            raise
        except HarnessError as silent:
            raise Refused(
                f"it is unknown whether this harness still holds the Lease {NAME}: {silent}",
                remedy="the API must answer before a fault is injected: ./cutover doctor",
            ) from silent

    @contextmanager
    def on_lost(self, tell: Callable[[str], object]) -> Iterator[None]:
        """Call ``tell`` with the reason if the lock is lost before or during the body."""
        self._on_lost.append(tell)
        if self._lost:
            tell(self._lost)
        try:
            yield
        finally:
            self._on_lost.remove(tell)


@contextmanager
def held(kube: Kube, by: str, progress: Callable[[str], object] = str) -> Iterator[DisruptionLock]:
    """Hold the Lease while the body runs; Refused when another harness holds it.

    If another harness took it before, watch for at most the duration of its Lease whether it still
    renews it. ``progress`` is told about the wait.
    """
    _take(kube, by, progress)
    lock = DisruptionLock(kube, by)
    stop = threading.Event()

    def renew() -> None:
        while not stop.wait(RENEW_S):
            try:
                lock.renew()
            except Refused:
                return
            except HarnessError:
                continue  # the fault may affect the API

    try:
        with running({"disruption lease": renew}, stop, within_s=RENEW_S):
            yield lock
    finally:
        with suppress(HarnessError):  # the Lease ends by itself then
            _let_go(kube, by)


def _take(kube: Kube, by: str, progress: Callable[[str], object]) -> None:
    try:
        kube.create(_COLLECTION, _manifest(by))
        return
    except Conflict:
        pass
    try:
        there = _ended(kube, by, progress)
    except NotFound:  # its holder has deleted it meanwhile
        there = None
    try:
        if there is None:
            kube.create(_COLLECTION, _manifest(by))
        else:
            kube.apply(_manifest(by, there))
    except Conflict as error:
        raise Refused(_words("a harness that took it first"), remedy=_REMEDY) from error


def _ended(kube: Kube, by: str, progress: Callable[[str], object]) -> _Lease:
    """The existing Lease, once it may be taken; Refused while its holder renews it."""
    there = _now(kube)
    other = there.holder
    if other in ("", by):
        return there
    lasts_s = float(there.spec.leaseDurationSeconds or DURATION_S)
    if lasts_s > _LONGEST_S:
        raise Refused(
            f"{_words(other)}, for {lasts_s:g} s: no harness writes that",
            remedy=f"if none runs: kubectl --namespace=kube-system delete lease {NAME}",
        )
    progress(
        f"{other} holds the Lease {NAME}: watching for {lasts_s:g} s whether it still renews it"
    )

    def renewed() -> bool:
        try:
            return _now(kube) != there
        except NotFound:
            raise
        except TransportError:  # no renewal seen; if there was one, taking the Lease fails
            return False

    with suppress(TimedOut):
        until(renewed, within_s=lasts_s, what="a renewal", every_s=_LOOK_EVERY_S)
        raise Refused(_words(other), remedy=_REMEDY)
    return there


def _renew(kube: Kube, by: str) -> str | None:
    """Renew the Lease unless it changed meanwhile; why this harness has lost it, or None."""
    try:
        there = _now(kube)
    except NotFound:
        return f"the Lease {NAME} is gone: another harness may have held it meanwhile"
    if there.holder != by:
        return _words(there.holder)
    try:
        kube.apply(_manifest(by, there))
    except Conflict:
        other = _now(kube).holder
        if other == by:
            raise
        return _words(other)
    return None


def _let_go(kube: Kube, by: str) -> None:
    with suppress(NotFound):
        if _now(kube).holder == by:
            kube.delete(_PATH)


def _now(kube: Kube) -> _Lease:
    return read(_Lease, kube.get(_PATH))


def _words(other: str) -> str:
    return f"another harness injects faults in this cluster: {other} holds the Lease {NAME}"


def _manifest(by: str, there: _Lease | None = None) -> dict[str, object]:
    """The Lease to write; it replaces ``there`` only if that has not changed."""
    metadata = {"name": NAME, "namespace": "kube-system"}
    if there is not None:
        metadata["resourceVersion"] = there.metadata.resourceVersion
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": metadata,
        "spec": {
            "holderIdentity": by,
            "leaseDurationSeconds": DURATION_S,
            "renewTime": utc_text(datetime.now(UTC)),
        },
    }
