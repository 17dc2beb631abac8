"""The lab for tests: brought up once, and whole before and after each test."""

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


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "lab_full: needs lab-full, and CUTOVER_TEST_FULL=1 to run")
    config.addinivalue_line("markers", "long: shows once more what another shows; as lab_full")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Every test here needs a lab; tests of the full lab run only on request."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.lab)
    if os.environ.get("CUTOVER_TEST_FULL") != "1":
        left_out = [
            item for item in items for mark in ("lab_full", "long") if item.get_closest_marker(mark)
        ]
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=left_out)


def running(name: str, config: pytest.Config) -> Lab:
    """The lab of a profile, brought up if it is not."""
    profile = load_profile(name)
    capture = config.pluginmanager.getplugin("capturemanager")

    def tell(text: str) -> None:
        with capture.global_and_fixture_disabled():
            sys.stderr.write(f"{text}\n")

    ensure_up(profile, progress=tell)
    return Lab.of(profile)


@pytest.fixture(scope="session")
def lab(pytestconfig: pytest.Config) -> Lab:
    """The running lab; CUTOVER_TEST_LAB names another than ``lab``."""
    return running(os.environ.get("CUTOVER_TEST_LAB", "lab"), pytestconfig)


@pytest.fixture
def world(lab: Lab, tmp_path: Path) -> Iterator[World]:
    """A whole lab; a test that leaves it broken fails."""
    world = World(lab, tmp_path)
    world.still_whole()
    yield world
    world.whole()
