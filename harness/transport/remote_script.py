"""Runs the harness's programs on a machine or in a pod, which need only python3 there.

A program is a module of the standard library alone, for Python 3.8, or several that import each
other. It gets arguments; its last line is its answer in JSON.
"""

from __future__ import annotations

import inspect
import json
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cached_property
from types import ModuleType
from typing import Generic, TypeVar

from typing_extensions import TypeForm

from harness.core.errors import Garbled, ScriptFailed, ScriptNotRun
from harness.core.model import JSON
from harness.facts import schema
from harness.transport.protocols import Completed, Kube, Shell

T = TypeVar("T")

# Isolated and without site packages: faster to start, and no PYTHONPATH interferes.
PYTHON = ("python3", "-I", "-S", "-")
_OLDEST = "3.8"
# A shell's exit status if it may not run a program (126) or does not find it (127).
_NOT_RUN = (126, 127)
_TAIL = 300
# Makes the modules that a program imports, and their packages; then runs the program.
_LOADER = """\
import sys, types
for package in {packages!r}:
    sys.modules[package] = types.ModuleType(package)
for name, text in {modules!r}:
    module = sys.modules[name] = types.ModuleType(name)
    exec(compile(text, name, "exec"), module.__dict__)
exec(compile({program!r}, {name!r}, "exec"))
"""


@dataclass(frozen=True, slots=True)
class Reply(Generic[T]):
    """What a script answered; ``took_s`` is wall time on our side, as in ``Completed``.

    ``received`` is the harness's clock when the answer arrived, in UTC seconds.
    """

    value: T
    status: int
    took_s: float
    received: float


class RemoteScript:
    """A program and how it is run elsewhere: ``RemoteScript(module)``.

    The last module is the program, those before it are what it imports. With ``nice`` it runs at
    the lowest priority on the machine.
    """

    def __init__(self, *modules: ModuleType, nice: bool = False) -> None:
        *self._imported, self._program = modules
        self.name = self._program.__name__.rpartition(".")[2]
        self._command = ("nice", *PYTHON) if nice else PYTHON

    @cached_property
    def text(self) -> str:
        """The whole program as one text."""
        program = inspect.getsource(self._program)
        if not self._imported:
            return program
        names = [module.__name__.split(".") for module in self._imported]
        return _LOADER.format(
            packages=sorted({".".join(it[:end]) for it in names for end in range(1, len(it))}),
            modules=[(module.__name__, inspect.getsource(module)) for module in self._imported],
            program=program,
            name=self.name,
        )

    def on(
        self,
        shell: Shell,
        machine: str,
        *arguments: JSON,
        within_s: float,
        read: TypeForm[T],
        hear: Callable[[str], None] | None = None,
        statuses: Collection[int] = (0,),
    ) -> Reply[T]:
        """Run it on a machine; its answer, which must be a ``read``.

        An argument that is a text is passed as it is, anything else as JSON. ``hear`` is told each
        line as soon as it comes. ``statuses`` are those with which the script answers.

        Raises ScriptNotRun without a fit python3, ScriptFailed for another status, Garbled for an
        answer that is none, and the shell's TransportErrors.
        """
        done = shell.run(
            machine, self._argv(arguments), stdin=self.text, within_s=within_s, hear=hear
        )
        remedy = f"install python3, {_OLDEST} or newer, on {machine}"
        return self._reply(machine, done, remedy, statuses, read)

    def in_pod(
        self,
        kube: Kube,
        namespace: str,
        pod: str,
        *arguments: JSON,
        within_s: float,
        read: TypeForm[T],
    ) -> Reply[T]:
        """The same in a pod's first container."""
        done = kube.exec(namespace, pod, self._argv(arguments), stdin=self.text, within_s=within_s)
        remedy = f"the pod needs an image with python3, {_OLDEST} or newer"
        return self._reply(f"{namespace}/{pod}", done, remedy, (0,), read)

    def _argv(self, arguments: Collection[JSON]) -> tuple[str, ...]:
        words = (it if isinstance(it, str) else json.dumps(it) for it in arguments)
        return (*self._command, *words)

    def _reply(
        self,
        place: str,
        done: Completed,
        install: str,
        statuses: Collection[int],
        read: TypeForm[T],
    ) -> Reply[T]:
        received = time.time()
        said = done.stderr.strip()[-_TAIL:]
        # The programs are known to compile: only a python3 that is too old cannot compile them.
        too_old = done.status == 1 and said.rpartition("\n")[2].startswith("SyntaxError")
        if done.status in _NOT_RUN or too_old:
            raise ScriptNotRun(
                f"{place}: python3 did not run {self.name} (status {done.status}): {said}",
                remedy=install,
            )
        last = done.stdout.strip().rpartition("\n")[2]
        if done.status not in statuses or (done.status and not last):
            raise ScriptFailed(
                f"{place}: {self.name} ended with status {done.status}: {said}",
                remedy=f"what it wrote says what it needs on {place}; without a reason there, it"
                " is a defect of the harness",
            )
        try:
            value = schema.read(read, json.loads(last))
        except Garbled as error:
            raise _garbled(place, self.name, str(error)) from error
        except ValueError as error:
            raise _garbled(place, self.name, f"{last[-_TAIL:]!r} {said}".strip()) from error
        return Reply(value, done.status, done.took_s, received)


def _garbled(place: str, name: str, what: str) -> Garbled:
    return Garbled(
        f"{place}: the answer of {name} is garbled: {what}",
        remedy=f"does something else on {place} write to the output of python3? If not, it is a"
        " defect of the harness",
    )
