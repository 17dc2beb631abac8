"""The lab for tests: brought up once, whole before each test and after it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.lab import ensure_up
from harness.lab.shape import Lab
from harness.settings import load_profile
from harness.tests.lab.world import World


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.lab)


@pytest.fixture(scope="session")
def lab(pytestconfig: pytest.Config) -> Lab:
    """The running lab; CUTOVER_TEST_LAB names another than ``lab``."""
    profile = load_profile(os.environ.get("CUTOVER_TEST_LAB", "lab"))
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")

    def tell(text: str) -> None:
        with capture.global_and_fixture_disabled():
            sys.stderr.write(f"{text}\n")

    ensure_up(profile, progress=tell)
    return Lab.of(profile)


@pytest.fixture
def world(lab: Lab, tmp_path: Path) -> Iterator[World]:
    """A whole lab; a test that leaves it broken fails."""
    world = World(lab, tmp_path)
    world.whole()
    yield world
    world.whole()
