"""What the project's own tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import settings

from harness.tests.project import project

__all__ = ["project"]

# Machines that run these tests also run a lab: a slow example is no failure.
settings.register_profile("cutover", deadline=None)
settings.load_profile("cutover")


@pytest.fixture(scope="session", autouse=True)
def own_configuration(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Runs in tests sign with a key of their own, never with the operator's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))
        patch.delenv("CUTOVER_SIGNING_KEY", raising=False)
        yield
