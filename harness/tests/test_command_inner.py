"""A command that runs another never leaves it half done."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness.commands import runs
from harness.core.errors import NotProven
from harness.core.waiting import until
from harness.settings import ROOT
from harness.settings.drills import SOAK_REQUIREMENT

# Takes a second to put things right, and counts how often it was told to end; a minute at most.
WORKS = """
import signal, sys, time
from pathlib import Path
told = []
signal.signal(signal.SIGINT, lambda *_: told.append(1))
Path(sys.argv[1], "began").touch()
last = time.monotonic() + 60
while not told and time.monotonic() < last:
    time.sleep(0.05)
time.sleep(1)
Path(sys.argv[1], "healed").write_text(str(len(told)))
"""
RUNS = """
import sys
from harness.commands.runs import to_its_end
to_its_end([sys.executable, "-c", *sys.argv[1:]])
"""


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("group", [True, False], ids=["terminal", "one process"])
def test_what_ends_a_command_waits_until_the_inner_one_has_healed(
    tmp_path: Path, how: signal.Signals, group: bool
) -> None:
    # Whoever runs the tests in the background of a script has SIGINT ignored, and we inherit that.
    heard = ("env", "--default-signal=INT", sys.executable)
    outer = subprocess.Popen(
        [*heard, "-c", RUNS, WORKS, str(tmp_path)],
        cwd=ROOT,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        until((tmp_path / "began").exists, within_s=60, every_s=0.1, what="the inner one runs")
        if group:
            subprocess.run(["kill", f"-{how}", "--", f"-{outer.pid}"], check=True)
        else:
            outer.send_signal(how)
        assert outer.wait(timeout=60) != 0
    finally:
        outer.kill()
        outer.wait()
    assert (tmp_path / "healed").read_text() == "1"


def verdict(outcome: str, **measured: float) -> str:
    one = {"id": SOAK_REQUIREMENT, "verdict": outcome, "measured": measured}
    return json.dumps({"requirements": [one]})


@pytest.mark.parametrize(
    ("status", "printed", "fails"),
    [
        (0, verdict("pass", soak_hours=9.0), False),
        (3, verdict("not_proven", soak_hours=0.1), False),
        (1, verdict("fail", soak_hours=0.1), True),
        (3, verdict("fail"), True),
        (5, "", True),
    ],
)
def test_turns_fail_when_their_replay_says_so(
    monkeypatch: pytest.MonkeyPatch, status: int, printed: str, fails: bool
) -> None:
    monkeypatch.setattr(runs, "inner", lambda *_: (status, printed))
    assert runs.fails("run", [1, 2], "lab") is fails


@pytest.mark.parametrize(
    ("status", "printed"),
    [
        (4, '{"schema": 1, "error": "leftovers", "exit": 4}'),
        (3, '{"schema": 1, "error": "nobody answers", "exit": 3}'),
        (3, verdict("not_proven")),  # as when it is interrupted
        (0, ""),
    ],
    ids=["refused", "nobody answers", "broken off", "silent"],
)
def test_turns_that_were_not_taken_are_not_taken_for_turns_that_pass(
    monkeypatch: pytest.MonkeyPatch, status: int, printed: str
) -> None:
    monkeypatch.setattr(runs, "inner", lambda *_: (status, printed))
    with pytest.raises(NotProven, match=f"turns 1,2 were not taken again.*ended with {status}"):
        runs.fails("run", [1, 2], "lab")
