"""What the project's own tests share."""

from __future__ import annotations

from hypothesis import settings

from harness.tests.project import project

__all__ = ["project"]

# Machines that run these tests also run a lab: a slow example is no failure.
settings.register_profile("cutover", deadline=None)
settings.load_profile("cutover")
