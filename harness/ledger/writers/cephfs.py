"""Files in CephFS, on every machine: lines appended and synced, and files that are renamed.

A pod on each machine keeps them on a claim that all share, and answers when it has synced file and
folder. Each writer goes to its own machine's pod, by no network but that machine's own; and each
reads what all wrote, so that a machine that sees less than another is told.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.ledger.writers.files import Files
from harness.ledger.writers.protocol import Stage

# Files are dear to read back: each costs another client up to a tick of the metadata server, 5 s.
_RENAMES_EVERY = 5


class CephFS(Files):
    """Renames a file with every fifth write, and appends with the others."""

    def __init__(self, stage: Stage, number: int) -> None:
        super().__init__(stage, f"cephfs/{number}", "files", (stage.machines[number],))

    def send(self, seq: int) -> None:
        self.keep("append" if seq % _RENAMES_EVERY else "rename", seq)


def writers(stage: Stage) -> Sequence[CephFS]:
    return [CephFS(stage, number) for number in range(len(stage.machines))]
