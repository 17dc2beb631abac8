"""The front: what divides the requests between the old platform and the new one."""

from __future__ import annotations

import shlex
from typing import Protocol

from harness.core.errors import Garbled, TransportError
from harness.settings.shift import Front as Declared
from harness.transport import Shell

_SET_WITHIN_S = 20.0
# Going back waits for it.
_READ_WITHIN_S = 10.0


class Front(Protocol):
    """Sets the new platform's share of the requests, in percent, and reads it back."""

    def set(self, share: int) -> None:
        """Set the share; TransportError when the front did not take it."""
        ...

    def read(self) -> int:
        """The share that is set, by the front itself."""
        ...


class FrontByCommands:
    """A front behind the two commands of a profile, which run on its machine."""

    def __init__(self, shell: Shell, declared: Declared) -> None:
        self._shell = shell
        self._declared = declared

    def set(self, share: int) -> None:
        self._run(self._declared.command(share), _SET_WITHIN_S)

    def read(self) -> int:
        said = self._run(self._declared.read, _READ_WITHIN_S).strip()
        if not (said.isdecimal() and int(said) <= 100):
            raise Garbled(
                f"{self._declared.machine}: expected a share from 0 to 100, seen {said[:80]!r}",
                remedy="`shift.front.read:` must write the share and nothing else",
            )
        return int(said)

    def _run(self, argv: tuple[str, ...], within_s: float) -> str:
        machine = self._declared.machine
        done = self._shell.run(machine, argv, within_s=within_s)
        if done.status != 0:
            said = (done.stderr or done.stdout).strip()[-200:]
            raise TransportError(
                f"{machine}: `{shlex.join(argv)[:120]}` ended with {done.status}: {said}"
            )
        return done.stdout
