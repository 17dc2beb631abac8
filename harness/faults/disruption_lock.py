"""One harness at a time breaks things in a cluster: it holds a Kubernetes Lease meanwhile.

No two computers' clocks are compared, as in client-go's leader election: the Lease of another
harness has ended if it did not change for its whole duration while we watched, by our own
monotonic clock. What it says of the time is for people to read.

An API that does not answer is no reason to let go: it may be what was broken. But the Lease ends by
itself then, and another harness may take it: a harness that does not find its own again has lost
it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from harness.errors import Conflict, HarnessError, NotFound, Refused, TimedOut, TransportError
from harness.facts.schema import read
from harness.record.journal import utc_text
from harness.transport import Kube
from harness.waiting import until

NAME = "cutover-disruption"
_COLLECTION = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases"
_PATH = f"{_COLLECTION}/{NAME}"
# A harness that was killed holds it for so long; the fault's own lease is shorter.
DURATION_S = 45
RENEW_S = 10.0
# The longest duration that is waited for; a harness writes DURATION_S.
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
    """A Lease as the API has it: whatever its holder's clock says, a renewal changes it."""

    metadata: _Metadata
    spec: _Spec

    @property
    def holder(self) -> str:
        return self.spec.holderIdentity or ""


class DisruptionLock:
    """The Kubernetes Lease that lets one harness break things. Safe to use from several threads."""

    def __init__(self, kube: Kube, by: str) -> None:
        self._kube = kube
        self._by = by
        self._renewing = threading.Lock()
        self._lost = ""
        self._on_lost: list[Callable[[str], object]] = []

    def renew(self) -> None:
        """Renew the Lease; Refused once it was lost, TransportError without an answer."""
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
                f"nobody says whether the Lease {NAME} is still ours: {silent}",
                remedy="the API must answer before anything is broken: ./cutover doctor",
            ) from silent

    @contextmanager
    def on_lost(self, tell: Callable[[str], object]) -> Iterator[None]:
        """Call ``tell`` with the reason when the lock is lost before or during the body."""
        self._on_lost.append(tell)
        if self._lost:
            tell(self._lost)
        try:
            yield
        finally:
            self._on_lost.remove(tell)


@contextmanager
def held(kube: Kube, by: str, progress: Callable[[str], object] = str) -> Iterator[DisruptionLock]:
    """Hold the Lease while the body runs; Refused when another harness does.

    Whether a harness that took it before still lives is watched for as long as its Lease lasts, at
    most: ``progress`` is told that we wait.
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
                continue  # the API may be what is broken

    thread = threading.Thread(target=renew, name="disruption lease", daemon=True)
    thread.start()
    try:
        yield lock
    finally:
        stop.set()
        thread.join(timeout=RENEW_S)
        with suppress(HarnessError):  # it ends by itself then
            _let_go(kube, by)


def _take(kube: Kube, by: str, progress: Callable[[str], object]) -> None:
    try:
        kube.create(_COLLECTION, _manifest(by))
        return
    except Conflict:
        pass
    try:
        there = _ended(kube, by, progress)
    except NotFound:  # its holder has let go meanwhile
        there = None
    try:
        if there is None:
            kube.create(_COLLECTION, _manifest(by))
        else:
            kube.apply(_manifest(by, there))
    except Conflict as error:
        raise Refused(_words("a harness that was faster"), remedy=_REMEDY) from error


def _ended(kube: Kube, by: str, progress: Callable[[str], object]) -> _Lease:
    """The Lease that is there, and that may be taken; Refused while its holder lives."""
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
        except TransportError:  # not seen to be renewed: taking it fails then if it was
            return False

    with suppress(TimedOut):
        until(renewed, within_s=lasts_s, what="a renewal", every_s=_LOOK_EVERY_S)
        raise Refused(_words(other), remedy=_REMEDY)
    return there


def _renew(kube: Kube, by: str) -> str | None:
    """Begin our Lease anew, unless it changed meanwhile; why it is no longer ours, or None."""
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
    return f"another harness breaks things in this cluster: {other} holds the Lease {NAME}"


def _manifest(by: str, there: _Lease | None = None) -> dict[str, object]:
    """The Lease as it is to be; in the place of one that is ``there``, and has not changed."""
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
