"""What is worth a word in the report and is no part of what was seen: something was not removed.

Whoever begins a look collects; what tells something does not know who listens.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar

from harness.errors import HarnessError

_LISTENER: ContextVar[list[str] | None] = ContextVar("listener", default=None)


@contextlib.contextmanager
def collecting() -> Iterator[list[str]]:
    """What is told in this thread meanwhile."""
    told: list[str] = []
    token = _LISTENER.set(told)
    try:
        yield told
    finally:
        _LISTENER.reset(token)


def tell(text: str) -> bool:
    """Say something to whoever collects; False when nobody does."""
    listener = _LISTENER.get()
    if listener is not None:
        listener.append(text)
    return listener is not None


@contextlib.contextmanager
def removed_afterwards(what: str, remove: Callable[[], None]) -> Iterator[None]:
    """The body, and then the removal, come what may.

    A removal that fails takes nothing away from a body that is finished: it is told what is left.
    It raises only when nobody listens. An error of the body is always the one that is raised.
    """
    try:
        yield
    except BaseException:
        try:
            remove()
        except HarnessError as error:
            tell(_left(what, error))
        raise
    try:
        remove()
    except HarnessError as error:
        if not tell(_left(what, error)):
            raise


def _left(what: str, error: HarnessError) -> str:
    return f"{what} could not be removed and is left: {error}"
