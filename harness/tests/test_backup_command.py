"""The backup command: a baseline is replaced by a whole one alone, and the old one is kept."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from harness.backup import manifest as kept
from harness.backup.manifest import Making
from harness.commands import backup
from harness.core.errors import NotProven, Refused, Unreachable
from harness.core.model import Exit
from harness.tests.probe_rig import MACHINES, reach
from harness.tests.test_probe_kept import HANGS, said, shell, storage


@pytest.fixture
def baseline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the baseline of a small tree is to be."""
    # A manifest's name is its folder's on this machine, where other tests run too.
    profile = storage(tmp_path).model_copy(update={"name": f"test-{tmp_path.name}"})
    assert profile.legacy is not None
    monkeypatch.setattr(backup, "load_profile", lambda _: profile)
    machines_answer(monkeypatch)
    return profile.legacy.baseline


def machines_answer(monkeypatch: pytest.MonkeyPatch, **mounts: Any) -> None:
    monkeypatch.setattr(
        backup, "connect", lambda profile: nullcontext(reach(shell(**mounts), like=profile))
    )


def record(*options: str) -> Result:
    return CliRunner().invoke(backup.backup, ["baseline", "--json", *options])


def asides(baseline: Path) -> list[Path]:
    return sorted(baseline.parent.glob(f"{baseline.name}.until-*"))


def test_a_baseline_is_recorded_once_and_replaced_only_on_demand(
    baseline: Path, tmp_path: Path
) -> None:
    told = record()
    assert told.exit_code == Exit.GO, told.exception
    first = kept.digest(baseline)
    assert json.loads(told.stdout)["sha256"] == first
    (tmp_path / "tree/one").write_text("another content")
    assert isinstance(record().exception, Refused)
    assert (kept.digest(baseline), asides(baseline)) == (first, [])

    assert record("--replace").exit_code == Exit.GO
    (aside,) = asides(baseline)
    assert kept.digest(aside) == first
    assert kept.digest(baseline) != first


def test_a_new_baseline_that_cannot_be_had_whole_leaves_the_old_one(
    baseline: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert record().exit_code == Exit.GO
    first = kept.digest(baseline)
    whole = Making.lines

    def torn(making: Making) -> Iterator[bytes]:
        yield from list(whole(making))[:-1]

    with monkeypatch.context() as interrupted:
        interrupted.setattr(Making, "lines", torn)
        assert isinstance(record("--replace").exception, NotProven)
    assert kept.digest(baseline) == first
    assert {kept.digest(aside) for aside in asides(baseline)} <= {first}

    machines_answer(monkeypatch, **dict.fromkeys(MACHINES, said(HANGS)))
    assert isinstance(record("--replace").exception, Unreachable)
    assert kept.digest(baseline) == first
