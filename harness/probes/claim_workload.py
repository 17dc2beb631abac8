"""Pods on every machine that mount the same claims, and what they write and read there."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Mapping
from itertools import permutations
from pathlib import Path
from typing import Any

from harness.errors import HarnessError, TimedOut, TransportError
from harness.probes import claim_objects, pods
from harness.probes.claim_objects import LIMITED, SHARED, SIZES
from harness.transport import Reach
from harness.waiting import until

_SCRIPT = Path(__file__).with_name("claim_script.py").read_text(encoding="utf-8")
_PYTHON = ("python3", "-I", "-S", "-")
# Each machine's pod writes as a user of its own: an owner that is lost shows.
_FIRST_USER, _GROUP, _OTHER_GROUP = 20001, 20000, 20500

BLOCKS = 64  # of 64 KiB: as large as one of CephFS's objects, and one block more
FILES = 1000
LINES = 60
_READY_WITHIN_S = 60.0
_ROLE_S = 40.0
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
        if machine in self._late:
            return {"error": self._late[machine]}
        words = (*_PYTHON, role, str(within_s), json.dumps({"seed": self.seed, **argument}))
        try:
            done = self.reach.kube.exec(
                self.space, pod_of(machine), words, stdin=_SCRIPT, within_s=within_s + 5
            )
            if done.status != 0:
                raise TransportError(f"{role} ended with {done.status}: {done.stderr[-300:]}")
            return json.loads(done.stdout)
        except HarnessError as error:
            return {"error": f"{machine}: {error}"}
        except ValueError:
            return {"error": f"{machine}: {role} is garbled: {done.stdout[-200:]!r}"}

    def everywhere(self, work: Callable[[str], Any]) -> dict[str, Any]:
        """An answer of each machine's pod, side by side."""
        return pods.in_each(self.machines, work)

    def read_by_others(self, work: Callable[[str, str], Any]) -> dict[str, Any]:
        """What ``work(reader, writer)`` answers for each ordered pair of machines, by name.

        The readers work side by side, each from one writer to the next.
        """

        def all_others(reader: str) -> dict[str, Any]:
            others = [writer for writer in self.machines if writer != reader]
            return {writer: work(reader, writer) for writer in others}

        read = self.everywhere(all_others)
        return {
            f"{writer} → {reader}": read[reader][writer]
            for writer, reader in permutations(self.machines, 2)
        }

    # --- phases ---

    def data(self, generation: int) -> dict[str, Any]:
        """Every machine writes its file, and every other one reads it."""
        written = self.everywhere(lambda machine: self.write(machine, generation))
        wanted = [_generation(number, generation) for number in range(BLOCKS + 1)]
        return {"written": written, "read": self.verify(dict.fromkeys(self.machines, wanted))}

    def write(self, machine: str, generation: int) -> Any:
        """The blocks of this generation: all of the first, every second one of the second."""
        numbers = [n for n in range(BLOCKS + 1) if _generation(n, generation) == generation]
        blocks = dict.fromkeys(numbers, generation)
        return self.ask(machine, "write", path=_data(machine), writer=machine, generations=blocks)

    def churn(self, for_s: float) -> dict[str, Any]:
        """Every machine writes its own file anew and anew, side by side, for some seconds."""

        def one(machine: str) -> Any:
            within_s = for_s + _ROLE_S
            path, blocks = _data(machine), BLOCKS + 1
            return self.ask(
                machine,
                "churn",
                within_s=within_s,
                path=path,
                writer=machine,
                blocks=blocks,
                for_s=for_s,
            )

        return self.everywhere(one)

    def verify(self, generations: Mapping[str, list[int]]) -> dict[str, Any]:
        """How each machine's blocks, of these generations, look to every other one."""
        return self.read_by_others(
            lambda reader, writer: self.ask(
                reader,
                "verify",
                path=_data(writer),
                writer=writer,
                generations=generations.get(writer, []),
            )
        )

    def metadata(self) -> dict[str, Any]:
        return {"made": self.adorn(), "seen": self.described()}

    def adorn(self) -> dict[str, Any]:
        return self.everywhere(
            lambda machine: self.ask(
                machine, "adorn", folder=_folder(machine, "kinds"), group=_OTHER_GROUP
            )
        )

    def described(self) -> dict[str, Any]:
        return self.read_by_others(
            lambda reader, writer: self.ask(reader, "describe", folder=_folder(writer, "kinds"))
        )

    def small_files(self) -> dict[str, Any]:
        return {"written": self.scatter(), "read": self.gather()}

    def scatter(self) -> dict[str, Any]:
        return self.everywhere(lambda machine: self._small(machine, machine, "scatter"))

    def gather(self) -> dict[str, Any]:
        return self.read_by_others(lambda reader, writer: self._small(reader, writer, "gather"))

    def _small(self, machine: str, writer: str, role: str) -> Any:
        share = -(-FILES // len(self.machines))
        folder = _folder(writer, "small")
        return self.ask(machine, role, folder=folder, writer=writer, files=share)

    def appenders(self) -> dict[str, Any]:
        return {"written": self.append(), "read": self.read_lines()}

    def append(self) -> dict[str, Any]:
        return self.everywhere(
            lambda machine: self.ask(machine, "append", path=_LOG, writer=machine, lines=LINES)
        )

    def read_lines(self) -> dict[str, Any]:
        return self.everywhere(
            lambda machine: self.ask(
                machine, "read_lines", path=_LOG, writers=self.machines, lines=LINES
            )
        )

    def full(self) -> dict[str, Any]:
        """One machine writes until the claim is full; then a second one must be stopped as well."""
        size = SIZES[LIMITED]
        first = self.fill(self.machines[0], "one", size + size // 4)
        second = self.fill(self.machines[-1], "two", size // 4)
        return {"size": size, "first": first, "second": second}

    def fill(self, machine: str, name: str, until_bytes: int) -> Any:
        path = f"/{LIMITED}/{name}"
        return self.ask(machine, "fill", path=path, until_bytes=until_bytes)

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
