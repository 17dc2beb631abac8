"""The embedded lab: the cluster that is migrated to, in small, of real parts, on this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from harness.lab import lifecycle
from harness.lab.shape import Lab
from harness.settings import Profile


def ensure_up(profile: Profile, *, progress: Callable[[str], None], install: bool = True) -> None:
    """Bring the profile's lab up when it is not; returns at once when it is."""
    lab = Lab.of(profile)
    lifecycle.require_root()
    if lifecycle.is_up(lab):
        lifecycle.same_code(lab)
        return
    lifecycle.up(lab, progress, install=install)


@contextmanager
def held(profile: Profile, *, progress: Callable[[str], None]) -> Iterator[None]:
    """The profile's lab, up, and kept from being taken down or reset while the body runs."""
    ensure_up(profile, progress=progress)
    with lifecycle.locked(Lab.of(profile), alone=False):
        yield
