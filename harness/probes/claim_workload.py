"""Pods on every machine that mount the same claims, and what they write and read there."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Generic, TypeVar

from typing_extensions import TypeForm

from harness.core.errors import Garbled, HarnessError, TimedOut, TransportError
from harness.core.model import JSON
from harness.core.parallel import in_each
from harness.core.waiting import until
from harness.facts.claims import (
    Answer,
    Bound,
    Churned,
    Claim,
    Compared,
    Exchange,
    Filled,
    Full,
    Grown,
    Growth,
    GrowthUnknown,
    Lines,
    Made,
    NotGrown,
    Size,
    Wrote,
    answer_of,
)
from harness.facts.schema import Unknown, dump
from harness.probes import claim_objects, pods
from harness.probes.claim_objects import LIMITED, SHARED, SIZES
from harness.probes.scripts import claim_kinds_script, claim_script
from harness.transport import Reach
from harness.transport.remote_script import RemoteScript

S = TypeVar("S", covariant=True)
T = TypeVar("T")

_SCRIPT = RemoteScript(claim_kinds_script, claim_script)
# Each machine's pod writes as its own user, so that a lost owner shows.
_FIRST_USER, _GROUP, _OTHER_GROUP = 20001, 20000, 20500

BLOCKS = 65  # of 64 KiB: one more than a CephFS object holds
FILES = 1000
LINES = 60
_READY_WITHIN_S = 60.0
_ROLE_S = 40.0
_STARTS_S = 10.0  # Python in a pod, on a machine under load
_GROWN_WITHIN_S = 90.0


@dataclass(frozen=True)
class _Role(Generic[S]):
    """The roles of ``claim_script`` by name, and the type of each answer."""

    name: str
    says: TypeForm[S]


_WRITE = _Role("write", Wrote)
_CHURN = _Role("churn", Churned)
# Whole numbers stay whole, because the evidence keeps the original text.
_COMMITS: _Role[dict[str, float]] = _Role("commits", dict[str, int | float])
_SIZE = _Role("size", Size)
_STOP = _Role("stop", dict[str, object])
_VERIFY = _Role("verify", Compared)
_ADORN = _Role("adorn", Made)
_DESCRIBE = _Role("describe", dict[str, str])
_SCATTER = _Role("scatter", Wrote)
_GATHER = _Role("gather", Compared)
_APPEND = _Role("append", Wrote)
_READ_LINES = _Role("read_lines", Lines)
_FILL = _Role("fill", Filled)


class Workload:
    """What the pods of one namespace do; every phase returns its results."""

    def __init__(self, reach: Reach, space: str, *, seed: int) -> None:
        self.reach = reach
        self.space = space
        self.seed = seed
        self.machines = [machine.name for machine in reach.profile.machines]
        self._late: dict[str, str] = dict.fromkeys(self.machines, "it has no pod")

    def deploy(self, bound: Mapping[str, Claim]) -> None:
        """Deploy a pod on each machine that mounts both claims; no pod without the claims."""
        missing = [name for name in (SHARED, LIMITED) if not isinstance(bound.get(name), Bound)]
        if missing:
            why = f"the claim {' and '.join(missing)} was not bound, so nothing was written"
            self._late = dict.fromkeys(self.machines, why)
            return
        names = {machine: pod_of(machine) for machine in self.machines}
        for number, machine in enumerate(self.machines):
            self.reach.kube.apply(_pod(self.reach, self.space, machine, _FIRST_USER + number))
        _, self._late = pods.addresses_when_ready(
            self.reach.kube, self.space, names, within_s=_READY_WITHIN_S
        )

    def _do(
        self,
        machine: str,
        role: _Role[T],
        argument: Mapping[str, JSON],
        *,
        within_s: float = _ROLE_S,
    ) -> Answer[T]:
        """The answer of a role in one machine's pod."""
        (said,) = self._ask(machine, role.name, [argument], within_s)
        return answer_of(role.says, said)

    def _ask(
        self, machine: str, role: str, arguments: Sequence[Mapping[str, JSON]], within_s: float
    ) -> Sequence[object]:
        """The answer for each of several arguments, one after the other, in one round trip."""
        if machine in self._late:
            return [dump(Unknown(self._late[machine]))] * len(arguments)
        pod, long_s = pod_of(machine), within_s * len(arguments) + _STARTS_S
        kube, asked = self.reach.kube, (role, within_s, arguments)
        try:
            answers = _SCRIPT.in_pod(
                kube, self.space, pod, *asked, within_s=long_s, read=list[object]
            ).value
            if len(answers) != len(arguments):
                raise Garbled(f"{pod}: it is garbled: not {len(arguments)} answers")
            return answers
        except HarnessError as error:
            return [dump(Unknown(f"{role}: {error}"))] * len(arguments)

    def _everywhere(self, work: Callable[[str], Answer[T]]) -> dict[str, Answer[T]]:
        """The answers of all machines' pods, in parallel."""
        found = in_each(self.machines, work)
        return {machine: _or_unknown(answer) for machine, answer in found.items()}

    def _read_by_others(
        self, role: _Role[T], argument: Callable[[str], Mapping[str, JSON]]
    ) -> dict[str, Answer[T]]:
        """What each machine reads of the data of each other one, by ``A → B``: B reads A's."""

        def read(reader: str) -> dict[str, Answer[T]]:
            writers = [writer for writer in self.machines if writer != reader]
            said = self._ask(reader, role.name, [argument(it) for it in writers], _ROLE_S)
            answers = (answer_of(role.says, it) for it in said)
            return dict(zip(writers, answers, strict=True))

        found = in_each(self.machines, read)
        return {
            f"{writer} → {reader}": _of(writer, found[reader])
            for writer, reader in permutations(self.machines, 2)
        }

    def _by(self, writer: str) -> dict[str, JSON]:
        return {"seed": self.seed, "writer": writer}

    # --- phases ---

    def data(self, generation: int) -> Exchange[Wrote, Compared]:
        """Every machine writes its file, and every other one reads it."""
        written = self._everywhere(lambda machine: self._write(machine, generation))
        wanted = [_generation(number, generation) for number in range(BLOCKS)]
        return Exchange(written, self.verify(dict.fromkeys(self.machines, wanted)))

    def _write(self, machine: str, generation: int) -> Answer[Wrote]:
        """The blocks of this generation: the first has all, the second every second one."""
        numbers = [n for n in range(BLOCKS) if _generation(n, generation) == generation]
        blocks = dict.fromkeys(map(str, numbers), generation)
        wanted = {"path": _data(machine), "generations": blocks, **self._by(machine)}
        return self._do(machine, _WRITE, wanted)

    def churn(self, for_s: float, *, per_s: float = 0.0) -> dict[str, Answer[Churned]]:
        """Every machine writes its own blocks again and again, in parallel, for some seconds.

        ``stop_churning`` ends it earlier. A drill runs this during its fault; afterwards ``verify``
        knows each block's last generation. ``per_s`` limits each machine's writes a second.
        """

        def one(machine: str) -> Answer[Churned]:
            wanted: dict[str, JSON] = {"path": _data(machine), "blocks": BLOCKS, "for_s": for_s}
            wanted |= {"per_s": per_s, "until": _stop(machine), **self._by(machine)}
            return self._do(machine, _CHURN, wanted, within_s=for_s + _ROLE_S)

        return self._everywhere(one)

    def churned(self) -> dict[str, Answer[Size]]:
        """How much each machine has written so far."""
        return self._everywhere(lambda machine: self._do(machine, _SIZE, {"path": _data(machine)}))

    def commits(self, for_s: float) -> dict[str, Answer[dict[str, float]]]:
        """How fast every machine commits small writes, all at the same time."""

        def one(machine: str) -> Answer[dict[str, float]]:
            wanted: dict[str, JSON] = {"path": f"/{SHARED}/bench-{machine}", "for_s": for_s}
            wanted |= self._by(machine)
            return self._do(machine, _COMMITS, wanted, within_s=for_s + _ROLE_S)

        return self._everywhere(one)

    def stop_churning(self) -> None:
        """Tell every machine to stop; a machine that is not reached stops when its time is over."""
        self._everywhere(lambda machine: self._do(machine, _STOP, {"path": _stop(machine)}))

    def verify(self, generations: Mapping[str, Sequence[int]]) -> dict[str, Answer[Compared]]:
        """Every machine verifies the blocks of every other one, of these generations."""
        return self._read_by_others(
            _VERIFY,
            lambda writer: {
                "path": _data(writer),
                "generations": list(generations.get(writer, ())),
                **self._by(writer),
            },
        )

    def adorn(self) -> dict[str, Answer[Made]]:
        """Every machine makes one of each kind of metadata that must be kept."""
        return self._everywhere(
            lambda machine: self._do(
                machine, _ADORN, {"folder": _folder(machine, "kinds"), "group": _OTHER_GROUP}
            )
        )

    def described(self) -> dict[str, Answer[dict[str, str]]]:
        return self._read_by_others(_DESCRIBE, lambda it: {"folder": _folder(it, "kinds")})

    def scatter(self) -> dict[str, Answer[Wrote]]:
        """Every machine writes its share of many small files."""
        return self._everywhere(lambda machine: self._do(machine, _SCATTER, self._small(machine)))

    def gather(self) -> dict[str, Answer[Compared]]:
        return self._read_by_others(_GATHER, self._small)

    def _small(self, writer: str) -> dict[str, JSON]:
        share = -(-FILES // len(self.machines))
        return {"folder": _folder(writer, "small"), "files": share, **self._by(writer)}

    def append(self) -> dict[str, Answer[Wrote]]:
        """All machines append to one file at the same time."""
        return self._everywhere(
            lambda machine: self._do(
                machine, _APPEND, {"path": _LOG, "lines": LINES, **self._by(machine)}
            )
        )

    def read_lines(self) -> dict[str, Answer[Lines]]:
        wanted: dict[str, JSON] = {
            "path": _LOG,
            "lines": LINES,
            "writers": self.machines,
            "seed": self.seed,
        }
        return self._everywhere(lambda machine: self._do(machine, _READ_LINES, wanted))

    def full(self) -> Full:
        """One machine writes until the claim is full; then a second one must be stopped as well."""
        size = SIZES[LIMITED]
        first = self._fill(self.machines[0], "one", size + size // 4)
        second = self._fill(self.machines[-1], "two", size // 4)
        return Full(size=size, first=first, second=second)

    def _fill(self, machine: str, name: str, until_bytes: int) -> Answer[Filled]:
        wanted: dict[str, JSON] = {"path": f"/{LIMITED}/{name}", "seed": self.seed}
        wanted |= {"until_bytes": until_bytes}
        return self._do(machine, _FILL, wanted)

    def grown(self, within_s: float = _GROWN_WITHIN_S) -> Growth:
        """Grow the claim by half, then fill it from the pod that has it mounted."""
        size = SIZES[LIMITED] * 3 // 2
        kube, class_name = self.reach.kube, claim_objects.storage(self.reach).class_name
        began = time.monotonic()
        try:
            kube.apply(claim_objects.claim(self.space, LIMITED, class_name, size))
            until(
                lambda: claim_objects.capacity(kube, self.space, LIMITED) == size,
                within_s=within_s,
                every_s=0.2,
                what=f"the claim {LIMITED} is larger",
            )
        except TimedOut:
            said = pods.warnings(kube, self.space).get(LIMITED, "nothing")
            return NotGrown(size=size, said=said, waited_s=within_s)
        except HarnessError as error:
            return GrowthUnknown(size=size, error=str(error))
        after_s = round(time.monotonic() - began, 1)
        filled = self._fill(self.machines[0], "one", size + size // 4)
        return Grown(size=size, after_s=after_s, filled=filled)

    def remove_pods(self) -> None:
        """Remove all pods, because a mounted claim is not deleted; later calls have no answer."""
        for machine in self.machines:
            path = f"/api/v1/namespaces/{self.space}/pods/{pod_of(machine)}"
            with contextlib.suppress(TransportError):
                self.reach.kube.delete(path)
        self._late = dict.fromkeys(self.machines, "its pod was removed")


_LOG = f"/{SHARED}/lines"


def pod_of(machine: str) -> str:
    return pods.name_of("claims", machine)


def _data(machine: str) -> str:
    return f"/{SHARED}/data-{machine}"


def _stop(machine: str) -> str:
    return f"/{SHARED}/stop-{machine}"


def _folder(machine: str, kind: str) -> str:
    return f"/{SHARED}/{kind}-{machine}"


def _generation(number: int, generation: int) -> int:
    """A block's generation once this one was written: the second covers every other block."""
    return generation if number % generation == 0 else 1


def _or_unknown(answer: Answer[T] | HarnessError) -> Answer[T]:
    return Unknown(str(answer)) if isinstance(answer, HarnessError) else answer


def _of(writer: str, answers: Mapping[str, Answer[T]] | HarnessError) -> Answer[T]:
    return Unknown(str(answers)) if isinstance(answers, HarnessError) else answers[writer]


def _pod(reach: Reach, space: str, machine: str, user: int) -> dict[str, object]:
    claims = (SHARED, LIMITED)
    mounts = [{"name": name, "mountPath": f"/{name}"} for name in claims]
    volumes = [{"name": name, "persistentVolumeClaim": {"claimName": name}} for name in claims]
    return pods.pod(
        reach,
        space,
        pod_of(machine),
        machine,
        "claims",
        container={"volumeMounts": mounts},
        spec={"volumes": volumes},
        security={
            "runAsUser": user,
            "runAsGroup": _GROUP,
            "supplementalGroups": [_OTHER_GROUP],
        },
    )
