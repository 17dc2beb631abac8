"""Connections to the lab for tests of faults, in a thread inside the lab's network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Protocol, TypeVar

from harness.tests.lab.world import World
from harness.transport import Reach
from harness.transport.reach import _setns, connect

T = TypeVar("T")

_WITHIN_S = 400.0


class Do(Protocol):
    """Calls a function with the connections to the lab, and returns its result."""

    def __call__(self, call: Callable[[Reach], T]) -> T: ...


@contextmanager
def inside(world: World) -> Iterator[Do]:
    """A thread inside the lab's network; the test itself stays outside."""
    namespace = world.lab.profile.access.network_namespace
    assert namespace is not None
    with ThreadPoolExecutor(1) as thread, ExitStack() as opened:
        thread.submit(_setns, namespace).result()
        way = connect(world.lab.profile)
        reach = thread.submit(opened.enter_context, way).result()

        def do(call: Callable[[Reach], T]) -> T:
            return thread.submit(call, reach).result(timeout=_WITHIN_S)

        yield do
