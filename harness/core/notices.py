"""Notices for the report beside an observation, such as an object that could not be removed.

The engine collects the notices of each look; the code that gives one does not know its collector.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar

from harness.core.errors import HarnessError

_COLLECTOR: ContextVar[list[str] | None] = ContextVar("collector", default=None)


@contextlib.contextmanager
def collecting() -> Iterator[list[str]]:
    """The notices that this thread gives while the body runs."""
    told: list[str] = []
    token = _COLLECTOR.set(told)
    try:
        yield told
    finally:
        _COLLECTOR.reset(token)


def tell(text: str) -> bool:
    """Give a notice; False when no collector is active in this thread."""
    collector = _COLLECTOR.get()
    if collector is not None:
        collector.append(text)
    return collector is not None


@contextlib.contextmanager
def removed_afterwards(what: str, remove: Callable[[], None]) -> Iterator[None]:
    """Run the body and then ``remove``, also when the body fails.

    A removal that fails after a finished body becomes a notice; without a collector it is raised.
    When the body fails, its own error is the one that is raised.
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
    return f"{what} could not be removed, and may be left: {error}"
