"""A drill that kills itself: ``./cutover drill …`` that sends itself SIGKILL at a record.

``python -m harness.tests.lab.killed_drill RECORD ARGUMENTS…``: kills itself as soon as the record
is on the disk. RECORD is its number in the journal, or a fault's event (``active``); 0 is never
reached. The drill is the one of the scenarios, shortened: its ledger writes only objects of the
API, it has no load, and the fault is active for five seconds.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from harness.commands import cli
from harness.drill import service
from harness.record.journal import Journal, Record
from harness.settings.drills import Drill, load_drill

HOLD_S = 5.0
_append = Journal.append


def short(name: str) -> Drill:
    drill = load_drill(name)
    faults = tuple(it.model_copy(update={"hold_s": HOLD_S}) for it in drill.faults)
    return drill.model_copy(update={"faults": faults, "ledger": ("objects",), "load": None})


def main(doomed: str, *words: str) -> None:
    def append(journal: Journal, kind: str, subject: str, data: Any) -> Record:
        record = _append(journal, kind, subject, data)
        if doomed in (str(record.seq), data.get("event") if kind == "fault" else None):
            os.kill(os.getpid(), signal.SIGKILL)
        return record

    Journal.append = append  # type: ignore[method-assign, assignment]
    service.__dict__["load_drill"] = short
    sys.argv = ["cutover", "drill", *words, "--allow-disruption"]
    cli.main()


if __name__ == "__main__":
    main(*sys.argv[1:])
