"""What a lab raises on its host is lowered again when the last lab goes."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.lab import host_limits
from harness.settings import state_dir


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A kernel with low limits, in a folder."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (state_dir() / "locks").mkdir(parents=True)
    for name in host_limits.NEEDED:
        path = tmp_path / "sys" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("128\n")
    monkeypatch.setattr(host_limits, "SYSCTL", tmp_path / "sys")
    return tmp_path / "sys"


def values(kernel: Path) -> dict[str, int]:
    return {name: int((kernel / name).read_text()) for name in host_limits.NEEDED}


def test_low_limits_are_raised_and_come_back(kernel: Path) -> None:
    host_limits.lift()
    assert values(kernel) == host_limits.NEEDED
    host_limits.lift()
    host_limits.restore()
    assert set(values(kernel).values()) == {128}


def test_they_stay_while_another_lab_is_there(kernel: Path) -> None:
    host_limits.lift()
    (state_dir() / "labs" / "other").mkdir(parents=True)
    host_limits.restore()
    assert values(kernel) == host_limits.NEEDED


def test_limits_that_are_high_enough_are_left_alone(kernel: Path) -> None:
    for name in host_limits.NEEDED:
        (kernel / name).write_text("9999999")
    host_limits.lift()
    host_limits.restore()
    assert set(values(kernel).values()) == {9999999}
