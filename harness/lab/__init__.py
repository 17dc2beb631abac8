"""The embedded lab: a small copy of the target cluster, of real parts, on this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from harness.lab import lifecycle
from harness.lab.shape import Lab
from harness.settings import Profile


def ensure_up(profile: Profile, *, progress: Callable[[str], None], install: bool = True) -> None:
    """Bring the profile's lab up if it is not; returns at once if it is."""
    lab = Lab.of(profile)
    lifecycle.require_root()
    if lifecycle.is_up(lab):
        lifecycle.same_code(lab)
        return
    lifecycle.up(lab, progress, install=install)


@contextmanager
def held(profile: Profile, *, progress: Callable[[str], None]) -> Iterator[None]:
    """Keep the profile's lab up while the body runs: nothing can take it down or reset it."""
    ensure_up(profile, progress=progress)
    with lifecycle.locked(Lab.of(profile), alone=False):
        yield
