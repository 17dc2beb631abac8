"""Every error that the harness raises on purpose.

    HarnessError
    ├── ConfigError            a file or an option is wrong; nothing was touched
    ├── Refused                a guard said no; nothing was touched
    ├── TransportError         a machine or an API could not be asked
    │   ├── Unreachable        no connection
    │   │   └── NotListening   the machine says that the port is closed
    │   ├── TimedOut           no answer within the deadline
    │   ├── NeverSent          a write of the ledger was certainly never sent
    │   ├── NotFound           the API has no such object
    │   ├── Conflict           the API's object differs from the expected one
    │   ├── Denied             the other side refused access (login, permission, certificate)
    │   ├── HostKeyUnknown     the machine is not the one that was pinned
    │   ├── ScriptNotRun       a machine or pod has no python3 for the script
    │   ├── ScriptFailed       the script ran there, and ended without an answer
    │   └── Garbled            the answer cannot be parsed
    ├── InjectFailed           a fault could not be injected as it should
    ├── LabError               the embedded lab could not be built, started or stopped
    ├── NotProven              something could not be judged
    └── Unhealed               a fault could not be undone

A system that misbehaves is never an exception: it is a Verdict.
Each error says what happened, where, and what to do about it.
"""

from __future__ import annotations


class HarnessError(Exception):
    """What happened and where; ``remedy`` says what to do about it."""

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy

    def __str__(self) -> str:
        message = super().__str__()
        return f"{message}\n  What to do: {self.remedy}" if self.remedy else message


class ConfigError(HarnessError):
    """A file or an option is wrong; nothing was touched."""


class Refused(HarnessError):
    """A guard said no; nothing was touched."""


class TransportError(HarnessError):
    """A machine or an API could not be asked."""


class Unreachable(TransportError):
    """No connection could be made."""


class NotListening(Unreachable):
    """The machine answered that nothing listens on the port: the service is down."""


class TimedOut(TransportError):
    """No answer came within the call's deadline."""


class NeverSent(TransportError):
    """A write of the ledger was certainly never sent."""


class NotFound(TransportError):
    """The API answered that it has no such object, or no such kind of object."""


class Conflict(TransportError):
    """The API answered that the object exists already, or was changed by another client."""


class Denied(TransportError):
    """The other side refused the login, the permission or the certificate."""


class HostKeyUnknown(TransportError):
    """The machine that answered is not the one whose host key was pinned."""


class ScriptNotRun(TransportError):
    """A machine or a pod has no python3, or one that is too old for the script."""


class ScriptFailed(TransportError):
    """The script ran, and ended without an answer; its exit status and output say why."""


class Garbled(TransportError):
    """The answer cannot be parsed, or does not fit the question."""


class InjectFailed(HarnessError):
    """A fault could not be injected; its undo has run."""


class LabError(HarnessError):
    """The embedded lab could not be built, started or stopped."""


class NotProven(HarnessError):
    """Something could not be judged; silence is never success."""


class Unhealed(HarnessError):
    """A fault could not be undone; this outranks every other result."""


def in_words(error: BaseException) -> str:
    """An error's text; for an error from outside the harness, with its type."""
    return str(error) if isinstance(error, HarnessError) else f"{type(error).__name__}: {error}"


def in_a_line(error: BaseException) -> str:
    """The same, without the remedy."""
    return in_words(error).partition("\n")[0]
