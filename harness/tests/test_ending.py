"""How commands end and what they leave: a lost terminal, a link in the way, a foreign verdict."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import __version__
from harness.core.model import Exit
from harness.pytest_gate.launch import point_latest
from harness.record.history import finished
from harness.report.summary import plain
from harness.settings import ROOT

# Under nohup SIGHUP is ignored, and so it is in what is started there; in a terminal it is not.
HEARD = ("env", "--default-signal=HUP,INT")
HEALS = """
import os, sys, signal
from harness.core.interrupts import end_like_ctrl_c, uninterrupted
end_like_ctrl_c()
try:
    os.write(int(sys.argv[1]), b"ready")
    signal.pause()
except KeyboardInterrupt:
    with uninterrupted():
        os.kill(os.getpid(), signal.SIGHUP)
        print("healing, on a terminal that is gone", flush=True)
        os.write(int(sys.argv[1]), b"healed")
"""


@pytest.mark.parametrize("how", ["hang up", "terminate"])
def test_a_lost_terminal_ends_a_command_like_sigterm_and_it_heals(how: str) -> None:
    ours, theirs = pty.openpty()
    told, tell = os.pipe()
    process = subprocess.Popen(
        [*HEARD, sys.executable, "-c", HEALS, str(tell)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=ROOT,
        pass_fds=[tell],
        start_new_session=True,
    )
    os.close(theirs)
    os.close(tell)
    assert os.read(told, 5) == b"ready"
    os.close(ours)
    process.send_signal(signal.SIGHUP if how == "hang up" else signal.SIGTERM)
    if how == "terminate":
        assert process.wait(60) is not None
    assert os.read(told, 6) == b"healed" or how == "terminate"
    process.wait(60)
    os.close(told)


# A command whose machines never answer: it stands in what it opened, which it must close.
STANDS = """
import os, signal, sys
from contextlib import contextmanager
from importlib import import_module

from harness.commands import cli
from harness.provision import nodes

told, module, *words = sys.argv[1:]

@contextmanager
def connect(profile):
    try:
        os.write(int(told), b"ready")
        signal.pause()
        yield
    finally:
        print("closing, on a terminal that is gone", flush=True)
        os.write(int(told), b"closed")

import_module(module).connect = connect
nodes.public_key = lambda key: "ssh-ed25519 AAAA"
sys.argv[1:] = words
cli.main()
"""
COMMANDS = ("backup baseline", "provision nodes --yes", "provision disk --yes")


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM], ids=lambda it: it.name)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_without_a_run_ends_at_a_lost_terminal_like_at_sigterm(
    tmp_path: Path, command: str, number: signal.Signals
) -> None:
    """What it holds is closed, and what it did not finish is not proven."""
    ours, theirs = pty.openpty()
    told, tell = os.pipe()
    words = command.split()
    process = subprocess.Popen(
        [
            *(*HEARD, sys.executable, "-c", STANDS, str(tell), f"harness.commands.{words[0]}"),
            *(*words, "--cluster", "contabo"),
        ],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=ROOT,
        env={**os.environ, "XDG_STATE_HOME": str(tmp_path)},
        pass_fds=[tell],
        start_new_session=True,
    )
    os.close(theirs)
    os.close(tell)
    try:
        assert os.read(told, 5) == b"ready"
        if number == signal.SIGHUP:
            os.close(ours)
        process.send_signal(number)
        assert os.read(told, 6) == b"closed"
        assert process.wait(60) == Exit.NOT_PROVEN
    finally:
        process.kill()
        process.wait()
        os.close(told)
        if number != signal.SIGHUP:
            os.close(ours)


@pytest.mark.parametrize("in_the_way", ["a folder", "a leftover", "nothing"])
def test_what_is_in_the_way_of_latest_is_told_and_breaks_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], in_the_way: str
) -> None:
    run = tmp_path / "run-1"
    run.mkdir()
    if in_the_way == "a folder":
        (tmp_path / "latest").mkdir()
    if in_the_way == "a leftover":
        (tmp_path / ".latest-run-1").symlink_to("elsewhere")
    point_latest(run)
    said = capsys.readouterr().err
    assert ("latest does not point to this run" in said) == (in_the_way == "a folder")
    assert (tmp_path / "latest").is_symlink() != (in_the_way == "a folder")
    assert not (tmp_path / ".latest-run-1").is_symlink()


@pytest.mark.parametrize("content", [b"{}", b"[]", b"3", b"", b"\xff", b"{", b'{"started": 1}'])
def test_a_foreign_verdict_is_passed_over_with_a_word(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes
) -> None:
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign/verdict.json").write_bytes(content)
    assert finished(tmp_path) == []
    assert "foreign is passed over" in capsys.readouterr().err


@given(st.text())
def test_no_name_brings_markup_into_the_summary(name: str) -> None:
    shown = plain(name)
    assert "<" not in shown
    assert "\n" not in shown
    assert all(shown[at - 1] == "\\" for at, it in enumerate(shown) if it in "*_[]|`")


def test_no_wheel_is_offered_and_the_version_is_said_once() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert "build-system" not in project
    assert "scripts" not in project["project"]
    assert project["project"]["version"] == __version__
