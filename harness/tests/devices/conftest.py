"""Tests on loop devices of this host: they need root, and none of them needs the lab."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from harness.lab import host


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """``--fast`` leaves them out."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session", autouse=True)
def tools(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Root, and the programs that write partition tables and measure disks."""
    if os.geteuid() != 0:
        pytest.skip("loop devices need root")
    if shutil.which("fio") is None:
        host.install(["fio", "gdisk"], log=tmp_path_factory.mktemp("tools") / "install.log")
