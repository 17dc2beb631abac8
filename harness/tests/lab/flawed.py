"""Services of the lab's platform with defects, which their programs know by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from harness.core.waiting import until
from harness.tests.lab.world import World

_SPACE = "saasodoo"
_HERE = f"--namespace={_SPACE}"


@contextmanager
def flawed(world: World, defects: Mapping[str, str]) -> Iterator[None]:
    """Let services have these defects, named with commas between them, for a while."""
    try:
        _start(world, defects)
        yield
    finally:
        _start(world, dict.fromkeys(defects, ""))


def _start(world: World, defects: Mapping[str, str]) -> None:
    """Start services again with these defects; an empty one means none.

    Returns when only the new pods are there: an ingress sends requests to a pod for a moment
    after its end.
    """
    for name, value in defects.items():
        world.kubectl("set", "env", f"deployment/{name}", _HERE, f"DEFECTS={value}")
    for name in defects:
        world.rolled_out(f"deployment/{name}", _SPACE)
    pods = ("get", "pods", _HERE, f"--selector=app in ({','.join(defects)})")
    ending = ("--output=jsonpath={.items[*].metadata.deletionTimestamp}",)
    until(lambda: not world.kubectl(*pods, *ending), within_s=120, what="old pods are gone")
