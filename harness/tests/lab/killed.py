"""A harness that kills itself: it injects one fault and sends itself SIGKILL at a record.

``python -m harness.tests.lab.killed PROFILE FOLDER FAULT PARAMETERS RECORD when``: kills itself
``after`` the record with that number is on the disk, or ``before`` it is written, when every
earlier step is done.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from random import Random

from harness.faults.fault_lifecycle import FaultLifecycle
from harness.faults.kinds import FAULTS
from harness.record.journal import Journal
from harness.record.records import FaultEvent, Kind
from harness.settings import load_profile
from harness.transport import connect

LEASE_S = 6.0


def main(profile: str, folder: str, fault: str, parameters: str, record: str, when: str) -> None:
    with (
        connect(load_profile(profile)) as reach,
        Journal.create(Path(folder), "killed") as journal,
    ):
        doomed = FAULTS[fault].model_validate_json(parameters).resolved(reach, Random(1))
        written = 0

        def tell(event: FaultEvent) -> None:
            nonlocal written
            written += 1
            if written == int(record) and when == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            journal.append(Kind.FAULT, doomed.id, event)
            if written == int(record):
                os.kill(os.getpid(), signal.SIGKILL)

        lifecycle = FaultLifecycle(doomed, reach, tell, lease_s=LEASE_S)
        lifecycle.arm()
        with lifecycle.renewed():
            lifecycle.inject()
            lifecycle.see()
        lifecycle.heal()
        lifecycle.see_gone()


if __name__ == "__main__":
    main(*sys.argv[1:])
