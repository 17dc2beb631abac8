"""How the commands run pytest: with what they name, and with nothing that lies about."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from harness.commands.output import Events
from harness.commands.pytest_run import RunOutcome, run_pytest
from harness.record.redaction import Redactor


def test_a_plugin_that_happens_to_be_installed_has_no_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site, tests = tmp_path / "site", tmp_path / "tests"
    (site / "stranger-1.dist-info").mkdir(parents=True)
    (site / "stranger-1.dist-info/METADATA").write_text("Name: stranger\nVersion: 1\n")
    (site / "stranger-1.dist-info/entry_points.txt").write_text("[pytest11]\nstranger = stranger\n")
    (site / "stranger.py").write_text("raise SystemExit('a stranger was asked')\n")
    tests.mkdir()
    (tests / "test_one.py").write_text("def test_one() -> None: ...\n")
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    with pytest.raises(SystemExit, match="a stranger was asked"):
        pytest.main([str(tests)])
    ours = ["-p", "harness.pytest_gate.plugin", str(tests / "test_one.py")]
    assert run_pytest(ours, RunOutcome(), Events(), Redactor()) == 0
