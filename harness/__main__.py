"""``python -m harness`` is the ``cutover`` command."""

from __future__ import annotations

import os
import signal
from typing import NoReturn


def _stopped(*_: object) -> NoReturn:
    """Ctrl-C before a command has begun: NOT-PROVEN, as after any other Ctrl-C.

    Some modules turn a KeyboardInterrupt during their import into another error.
    """
    os.write(2, b"cutover: stopped before it began; nothing was touched\n")
    os._exit(3)


_usual = signal.signal(signal.SIGINT, _stopped)
from harness.commands.cli import main  # noqa: E402

signal.signal(signal.SIGINT, _usual)
main()
