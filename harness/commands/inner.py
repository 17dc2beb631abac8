"""A command of the harness that another runs, and that is never broken off."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence

from harness.settings import ROOT
from harness.waiting import end_like_ctrl_c


def inner(*words: str) -> tuple[int, str]:
    """Run ``./cutover WORDS`` to its end; its exit status, and what it printed.

    Whoever ends us, with Ctrl-C or as CI does, has it take back what it broke and report first:
    it is told once each time, and waited for. Then KeyboardInterrupt.
    """
    return to_its_end([sys.executable, "-m", "harness", *words])


def to_its_end(command: Sequence[str]) -> tuple[int, str]:
    """The same for any command; its diagnostics go where ours do."""
    end_like_ctrl_c()
    interrupted = False
    # In a session of its own: a terminal would tell it, too, and it would take that for a second.
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
