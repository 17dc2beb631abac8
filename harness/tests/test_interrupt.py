"""Ctrl-C or SIGTERM at any point of a real run: it collects, judges, signs, ends with a verdict."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness.core.interrupts import uninterrupted
from harness.core.model import Decision
from harness.core.waiting import until
from harness.record.bundle import Signer, verify_folder
from harness.record.journal import Journal, JournalReader
from harness.report import draw
from harness.settings import ROOT
from harness.tests.project import GOOD, STEPS
from harness.tests.stage import CHECKS, REQUIREMENT, write_project

pytestmark = pytest.mark.slow

CONFTEST = (
    """
import threading
from contextlib import contextmanager
from pathlib import Path

from harness import checks, probes, transport
from harness.pytest_gate import engine
from harness.tests.stage import CHECKS, FakeProbe, reach
from harness.tests.fake_transport import FakeFleet

pytest_plugins = ("harness.pytest_gate.plugin", "harness.pytest_gate.allure_bridge")

def stop_here():
    Path("here").touch()
    threading.Event().wait(60)

@contextmanager
def connect(_):
    yield reach()

transport.connect = connect
checks.CHECKS = CHECKS
ANSWERS = {"one": 3}
probes.PROBES = {"answers": FakeProbe(ANSWERS, within_s=90)}
"""
    + STEPS
)
POINTS = {
    "while a probe looks": 'ANSWERS["two"] = stop_here',
    "while a step runs": "engine.Run.require = lambda *_: stop_here()",
    "before the first step": "@pytest.fixture(autouse=True)\ndef before(): stop_here()",
    "while looks go on that no step has asked for": (
        'ANSWERS["two"] = threading.Event().wait\n'
        "@pytest.fixture(autouse=True)\ndef before(): stop_here()"
    ),
    "while it cleans up": "@pytest.fixture(autouse=True)\ndef after():\n    yield\n    stop_here()",
    "while it collects evidence": (
        'ANSWERS["two"] = 42\nFakeFleet.everywhere = lambda *_, within_s: stop_here()'
    ),
}


# What CI sends to a job that it cancels ends a gate as Ctrl-C does.
GATE = """
from pathlib import Path

from harness.commands import cli
from harness.commands import pytest_run, runs

pytest_run.ROOT = runs.ROOT = Path.cwd()
cli.main()
"""
PYTEST = ("-m", "pytest", "features", "-m", "week1", "--strict-markers", "--rootdir", ".")
WAYS = {
    **dict.fromkeys(POINTS, (PYTEST, signal.SIGINT)),
    "while a step runs": (("-c", GATE, "gate", "1"), signal.SIGTERM),
}


@pytest.mark.parametrize("point", POINTS)
def test_an_interrupted_run_ends_with_a_signed_verdict(tmp_path: Path, point: str) -> None:
    write_project(tmp_path, feature=_dedented(GOOD), requirements=[REQUIREMENT])
    (tmp_path / "conftest.py").write_text(f"{CONFTEST}\n{POINTS[point]}\n")
    # Whoever runs the tests in the background of a script has SIGINT ignored, and we inherit that.
    heard = ("env", "--default-signal=INT", sys.executable)
    arguments, wanted_signal = WAYS[point]
    process = subprocess.Popen(
        [*heard, *arguments, "--cluster", "scenarios/clusters/small.yaml"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        until((tmp_path / "here").exists, within_s=60, what=f"the run stands {point}")
        process.send_signal(wanted_signal)
        printed, _ = process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()
    folder = tmp_path / "reports/latest"
    verdict = json.loads((folder / "verdict.json").read_text())
    wanted = ("NO-GO", 1) if "evidence" in point else ("NOT-PROVEN", 3)
    assert (verdict["decision"], process.returncode) == wanted, printed
    assert "Exception in thread" not in printed
    assert "interrupted" in {record.kind for record in JournalReader(folder)}
    signer = Signer.load().fingerprint
    assert verify_folder(folder.resolve(), {signer: "us"}).is_intact


# Where a gate stands until it is killed, by what the file "stand" says.
KILLED = """
if Path("stand").exists():
    from harness.pytest_gate import plugin
    if Path("stand").read_text() == "looking":
        ANSWERS["two"] = stop_here
    else:
        plugin.pack = lambda *_: stop_here()
"""


def test_after_a_sigkill_latest_is_the_newest_run_that_came_to_its_end(tmp_path: Path) -> None:
    """Killed while a probe looks, or while it signs: its verdict is drawn, and not sealed."""
    write_project(tmp_path, feature=_dedented(GOOD), requirements=[REQUIREMENT])
    (tmp_path / "conftest.py").write_text(f"{CONFTEST}\n{KILLED}")
    reports, signer = tmp_path / "reports", Signer.load().fingerprint

    def gate() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, *PYTEST, "--cluster", "scenarios/clusters/small.yaml"],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.DEVNULL,
        )

    def latest_after(run: subprocess.Popen[bytes], status: int) -> Path:
        assert run.wait(60) == status
        latest = (reports / "latest").resolve()
        assert verify_folder(latest, {signer: "us"}).is_intact
        return latest

    seen = [latest_after(gate(), 0)]
    for point, decision in (("looking", Decision.NOT_PROVEN), ("signing", Decision.GO)):
        (tmp_path / "stand").write_text(point)
        killed = gate()
        try:
            until((tmp_path / "here").exists, within_s=60, what=f"the gate stands {point}")
        finally:
            killed.kill()
        assert latest_after(killed, -signal.SIGKILL) == seen[0]
        (left,) = {it for it in reports.iterdir() if not it.is_symlink()} - {*seen}
        assert (left / "verdict.json").exists() == (point == "signing")
        assert draw(left, CHECKS).decision is decision  # its journal says what it proved
        seen.append(left)
        (tmp_path / "here").unlink()
    (tmp_path / "stand").unlink()
    assert latest_after(gate(), 0) not in seen


def _dedented(text: str) -> str:
    return "\n".join(line[4:] for line in text.splitlines())


def test_a_record_that_is_interrupted_is_not_there_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_: int) -> None:
        raise KeyboardInterrupt

    with Journal.create(tmp_path / "run", "r") as journal:
        journal.append("note", "a", 1)
        with monkeypatch.context() as patch:
            patch.setattr("harness.record.journal.os.fsync", interrupted)
            with pytest.raises(KeyboardInterrupt):
                journal.append("note", "b", 2)
        journal.append("note", "c", 3)
    assert [(it.seq, it.subject) for it in JournalReader(tmp_path / "run")] == [(1, "a"), (2, "c")]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_must_be_whole_is_broken_off_by_neither_ctrl_c_nor_ci(
    number: signal.Signals,
) -> None:
    heard: list[int] = []
    before = signal.signal(number, lambda number, _: heard.append(number))
    try:
        with uninterrupted():
            os.kill(os.getpid(), number)
        meanwhile = list(heard)
        os.kill(os.getpid(), number)
    finally:
        signal.signal(number, before)
    assert (meanwhile, heard) == ([], [number])
