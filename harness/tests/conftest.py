"""What the project's own tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

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


class LabTogether(LoadScopeScheduling):  # type: ignore[misc]
    """A test goes to any free process; those of the lab go to one, as do those on loop devices.

    The groups of pytest-xdist do not work with pytest 9.2: they rename tests.
    """

    def _split_scope(self, nodeid: str) -> str:
        folder = nodeid.removeprefix("harness/tests/").partition("/")[0]
        return folder if folder in ("lab", "devices") else nodeid


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling | None:
    """How ``--dist loadscope`` deals the tests out."""
    return LabTogether(config, log) if config.getvalue("dist") == "loadscope" else None
