"""Pods on every machine that mount the same claims, and what they write and read there."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import permutations
from typing import Any

from harness.errors import Garbled, HarnessError, TimedOut, TransportError
from harness.probes import claim_kinds_script, claim_objects, claim_script, pods
from harness.probes.claim_objects import LIMITED, SHARED, SIZES
from harness.transport import Reach
from harness.transport.remote_script import RemoteScript
from harness.waiting import until

_SCRIPT = RemoteScript(claim_kinds_script, claim_script)
# Each machine's pod writes as a user of its own: an owner that is lost shows.
_FIRST_USER, _GROUP, _OTHER_GROUP = 20001, 20000, 20500

BLOCKS = 65  # of 64 KiB: one more than fit into one of CephFS's objects
FILES = 1000
LINES = 60
_READY_WITHIN_S = 60.0
_ROLE_S = 40.0
_STARTS_S = 10.0  # Python in a pod, on a machine under load
_GROWN_WITHIN_S = 90.0


class Workload:
    """What the pods of one namespace do; every phase returns what came of it."""

    def __init__(self, reach: Reach, space: str, *, seed: int) -> None:
        self.reach = reach
        self.space = space
        self.seed = seed
        self.machines = [machine.name for machine in reach.profile.machines]
        self._late: dict[str, str] = dict.fromkeys(self.machines, "it has no pod")

    def deploy(self, bound: Mapping[str, Any]) -> None:
        """A pod on each machine that mounts both claims; without them, none."""
        missing = [name for name in (SHARED, LIMITED) if "after_s" not in bound.get(name, {})]
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

    def ask(self, machine: str, role: str, *, within_s: float = _ROLE_S, **argument: Any) -> Any:
        """What a role of ``claim_script`` says in one machine's pod, as an answer."""
        (answer,) = self._ask(machine, role, [argument], within_s)
        return answer

    def _ask(
        self, machine: str, role: str, arguments: Sequence[Mapping[str, Any]], within_s: float
    ) -> list[Any]:
        """The same for several arguments, one after the other, in one round trip."""
        if machine in self._late:
            return [{"error": self._late[machine]}] * len(arguments)
        pod, long_s = pod_of(machine), within_s * len(arguments) + _STARTS_S
        try:
            answers = _SCRIPT.in_pod(
                self.reach.kube, self.space, pod, role, within_s, arguments, within_s=long_s
            ).value
            if not isinstance(answers, list) or len(answers) != len(arguments):
                raise Garbled(f"{pod}: it is garbled: not {len(arguments)} answers")
            return answers
        except HarnessError as error:
            return [{"error": f"{role}: {error}"}] * len(arguments)

    def everywhere(self, work: Callable[[str], Any]) -> dict[str, Any]:
        """An answer of each machine's pod, side by side."""
        return pods.in_each(self.machines, work)

    def read_by_others(
        self, role: str, argument: Callable[[str], Mapping[str, Any]]
    ) -> dict[str, Any]:
        """What each machine says of what each other one wrote, by ``A → B``: B reads A's."""

        def read(reader: str) -> dict[str, Any]:
            writers = [writer for writer in self.machines if writer != reader]
            answers = self._ask(reader, role, [argument(it) for it in writers], _ROLE_S)
            return dict(zip(writers, answers, strict=True))

        found = self.everywhere(read)
        return {
            f"{writer} → {reader}": found[reader][writer]
            for writer, reader in permutations(self.machines, 2)
        }

    def _by(self, writer: str) -> dict[str, Any]:
        return {"seed": self.seed, "writer": writer}

    # --- phases ---

    def data(self, generation: int) -> dict[str, Any]:
        """Every machine writes its file, and every other one reads it."""
        written = self.everywhere(lambda machine: self.write(machine, generation))
        wanted = [_generation(number, generation) for number in range(BLOCKS)]
        return {"written": written, "read": self.verify(dict.fromkeys(self.machines, wanted))}

    def write(self, machine: str, generation: int) -> Any:
        """The blocks of this generation: all of the first, every second one of the second."""
        numbers = [n for n in range(BLOCKS) if _generation(n, generation) == generation]
        blocks = dict.fromkeys(numbers, generation)
        return self.ask(
            machine, "write", path=_data(machine), generations=blocks, **self._by(machine)
        )

    def churn(self, for_s: float, *, per_s: float = 0.0) -> dict[str, Any]:
        """Every machine writes its own blocks anew and anew, side by side, for some seconds.

        Or until ``stop_churning``. This is what a drill wraps: afterwards ``verify`` knows each
        block's last generation. ``per_s`` limits each machine's writes a second.
        """

        def one(machine: str) -> Any:
            wanted: dict[str, Any] = {"path": _data(machine), "blocks": BLOCKS, "for_s": for_s}
            wanted |= {"per_s": per_s, "until": _stop(machine)}
            return self.ask(
                machine, "churn", within_s=for_s + _ROLE_S, **wanted, **self._by(machine)
            )

        return self.everywhere(one)

    def churned(self) -> dict[str, Any]:
        """How much each machine has written by now."""
        return self.everywhere(lambda machine: self.ask(machine, "size", path=_data(machine)))

    def commits(self, for_s: float) -> dict[str, Any]:
        """How fast every machine commits small writes, all at the same time."""

        def one(machine: str) -> Any:
            wanted: dict[str, Any] = {"path": f"/{SHARED}/bench-{machine}", "for_s": for_s}
            return self.ask(
                machine, "commits", within_s=for_s + _ROLE_S, **wanted, **self._by(machine)
            )

        return self.everywhere(one)

    def stop_churning(self) -> None:
        """Tell every machine to stop; one that cannot be told stops when its time is over."""
        self.everywhere(lambda machine: self.ask(machine, "stop", path=_stop(machine)))

    def verify(self, generations: Mapping[str, Sequence[int]]) -> dict[str, Any]:
        """How each machine's blocks, of these generations, look to every other one."""
        return self.read_by_others(
            "verify",
            lambda writer: {
                "path": _data(writer),
                "generations": list(generations.get(writer, ())),
                **self._by(writer),
            },
        )

    def adorn(self) -> dict[str, Any]:
        """Every machine makes one of each kind of thing that must be kept."""
        return self.everywhere(
            lambda machine: self.ask(
                machine, "adorn", folder=_folder(machine, "kinds"), group=_OTHER_GROUP
            )
        )

    def described(self) -> dict[str, Any]:
        return self.read_by_others("describe", lambda it: {"folder": _folder(it, "kinds")})

    def scatter(self) -> dict[str, Any]:
        """Every machine writes its share of many small files."""
        return self.everywhere(lambda machine: self.ask(machine, "scatter", **self._small(machine)))

    def gather(self) -> dict[str, Any]:
        return self.read_by_others("gather", self._small)

    def _small(self, writer: str) -> dict[str, Any]:
        share = -(-FILES // len(self.machines))
        return {"folder": _folder(writer, "small"), "files": share, **self._by(writer)}

    def append(self) -> dict[str, Any]:
        """All machines append to one file at the same time."""
        return self.everywhere(
            lambda machine: self.ask(machine, "append", path=_LOG, lines=LINES, **self._by(machine))
        )

    def read_lines(self) -> dict[str, Any]:
        wanted: dict[str, Any] = {
            "path": _LOG,
            "lines": LINES,
            "writers": self.machines,
            "seed": self.seed,
        }
        return self.everywhere(lambda machine: self.ask(machine, "read_lines", **wanted))

    def full(self) -> dict[str, Any]:
        """One machine writes until the claim is full; then a second one must be stopped as well."""
        size = SIZES[LIMITED]
        first = self.fill(self.machines[0], "one", size + size // 4)
        second = self.fill(self.machines[-1], "two", size // 4)
        return {"size": size, "first": first, "second": second}

    def fill(self, machine: str, name: str, until_bytes: int) -> Any:
        path = f"/{LIMITED}/{name}"
        return self.ask(machine, "fill", path=path, until_bytes=until_bytes, seed=self.seed)

    def grown(self, within_s: float = _GROWN_WITHIN_S) -> dict[str, Any]:
        """The claim is made half as large again, and then filled by the pod that has it mounted."""
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
            return {"size": size, "said": said, "waited_s": within_s}
        except HarnessError as error:
            return {"size": size, "error": str(error)}
        after_s = round(time.monotonic() - began, 1)
        filled = self.fill(self.machines[0], "one", size + size // 4)
        return {"size": size, "after_s": after_s, "filled": filled}

    def remove_pods(self) -> None:
        """A claim that a pod mounts is not deleted: all pods go, and nothing is asked any more."""
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
    """Of which generation a block is once this one was written: the second is every other block."""
    return generation if number % generation == 0 else 1


def _pod(reach: Reach, space: str, machine: str, user: int) -> dict[str, Any]:
    made = pods.pod(reach, space, pod_of(machine), machine, "claims")
    spec, claims = made["spec"], (SHARED, LIMITED)
    spec["volumes"] = [
        {"name": name, "persistentVolumeClaim": {"claimName": name}} for name in claims
    ]
    spec["containers"][0]["volumeMounts"] = [
        {"name": name, "mountPath": f"/{name}"} for name in claims
    ]
    spec["securityContext"] |= {
        "runAsUser": user,
        "runAsGroup": _GROUP,
        "supplementalGroups": [_OTHER_GROUP],
    }
    return made
