"""A drill that is killed: ``./cutover drill …`` that ends itself with SIGKILL at a record.

``python -m harness.tests.lab.killed_drill RECORD ARGUMENTS…``: kills itself as soon as the record
is on the disk, which is told by its number in the journal, or by what it says of a fault
(``active``).
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from harness import cli
from harness.journal import Journal, Record

_append = Journal.append


def main(doomed: str, *words: str) -> None:
    def append(journal: Journal, kind: str, subject: str, data: Any) -> Record:
        record = _append(journal, kind, subject, data)
        if doomed in (str(record.seq), data.get("event") if kind == "fault" else None):
            os.kill(os.getpid(), signal.SIGKILL)
        return record

    Journal.append = append  # type: ignore[method-assign, assignment]
    sys.argv = ["cutover", "drill", *words, "--allow-disruption"]
    cli.main()


if __name__ == "__main__":
    main(*sys.argv[1:])
