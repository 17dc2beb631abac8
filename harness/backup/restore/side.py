"""The two sides of a restore: a machine or a pod, its PostgreSQL, and the backups that it sees."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from typing_extensions import TypeForm

from harness.backup.equality.session import Server
from harness.backup.restore import archive_script, dump_script, inspect_script, unpack_script
from harness.core.errors import NotProven
from harness.transport import Completed, Kube, Shell
from harness.transport.remote_script import RemoteScript

T = TypeVar("T")

INSPECT = RemoteScript(dump_script, archive_script, inspect_script, nice=True)
_UNPACK = RemoteScript(dump_script, archive_script, inspect_script, unpack_script)
_TAIL = 400
# A shell's exit status if it may not run a program (126) or does not find it (127).
_NOT_RUN = (126, 127)


class Failed(Exception):
    """The platform, or its backup, did not do what it must."""


@dataclass(frozen=True, slots=True)
class _Unpacked:
    """The answer of the script that unpacks, or why it could not."""

    done: int | bool | Mapping[str, int | bool] = 0
    failed: str = ""


class PodShell:
    """Commands in pods, each named NAMESPACE/POD."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube

    def run(
        self,
        machine: str,
        argv: Sequence[str],
        *,
        stdin: str = "",
        within_s: float = 30.0,
        hear: Callable[[str], None] | None = None,
    ) -> Completed:
        space, _, pod = machine.partition("/")
        done = self._kube.exec(space, pod, argv, stdin=stdin, within_s=within_s)
        if hear is not None:
            for line in done.stdout.splitlines():
                hear(line)
        return done

    def close(self) -> None:
        """The API's connections are closed elsewhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """``place`` is a machine, or NAMESPACE/POD; ``backups`` is the folder of backups there."""

    shell: Shell
    place: str
    server: Server
    backups: str

    def run(self, argv: Sequence[str], *, within_s: float, stdin: str = "") -> Completed:
        """Run a command there, and wait for it."""
        return self.shell.run(self.place, argv, stdin=stdin, within_s=within_s)

    def must(
        self, argv: Sequence[str], *, within_s: float, what: str, stdin: str = ""
    ) -> Completed:
        """The same for one that must end with 0; Failed, in the words of ``what``, otherwise.

        NotProven if the shell there did not run it at all.
        """
        done = self.run(argv, within_s=within_s, stdin=stdin)
        said = (done.stderr or done.stdout).strip()[-_TAIL:]
        if done.status in _NOT_RUN:
            raise NotProven(f"{what} was not run on {self.place}: {said}")
        if done.status != 0:
            raise Failed(f"{what} ended with status {done.status}: {said or 'without a word'}")
        return done

    def inspect(self, word: str, order: object, *, within_s: float, read: TypeForm[T]) -> T:
        """The answer of ``inspect_script`` there."""
        found = INSPECT.on(
            self.shell, self.place, word, json.dumps(order), within_s=within_s, read=read
        )
        return found.value

    def unpack(
        self, word: str, order: object, *, within_s: float
    ) -> int | Mapping[str, int | bool]:
        """The answer of ``unpack_script`` there; Failed with its reason."""
        found = _UNPACK.on(
            self.shell, self.place, word, json.dumps(order), within_s=within_s, read=_Unpacked
        ).value
        if found.failed:
            raise Failed(f"{word} on {self.place}: {found.failed}")
        return found.done
