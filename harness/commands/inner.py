"""Runs one command of the harness from another, always to its end."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence

from harness.core.waiting import end_like_ctrl_c
from harness.settings import ROOT


def inner(*words: str) -> tuple[int, str]:
    """Run ``./cutover WORDS`` to its end; its exit status and its output.

    On Ctrl-C or a signal from CI, this process forwards each signal once and waits: the inner
    command undoes its fault and reports first. Then it raises KeyboardInterrupt.
    """
    return to_its_end([sys.executable, "-m", "harness", *words])


def to_its_end(command: Sequence[str]) -> tuple[int, str]:
    """The same for any command; its diagnostics go to this process's stderr."""
    end_like_ctrl_c()
    interrupted = False
    # In its own session: a terminal would send Ctrl-C too, and the command would count it twice.
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        while True:
            try:
                printed, _ = process.communicate()
                break
            except KeyboardInterrupt:
                interrupted = True
                process.send_signal(signal.SIGINT)
    if interrupted:
        raise KeyboardInterrupt
    return process.returncode, printed
