"""Writers of the ledger. ``WRITERS`` maps each kind to the function that creates its writers."""

from __future__ import annotations

from collections.abc import Mapping

from harness.ledger.writers import files, objects, postgres, primary
from harness.ledger.writers.protocol import Counted, Makes, Writer, WriterSetup

__all__ = ["WRITERS", "Counted", "Makes", "Writer", "WriterSetup"]

WRITERS: Mapping[str, Makes] = {
    "postgres": postgres.of_rows,
    "bank": postgres.of_bank,
    "primary": primary.of_primary,
    "cephfs": files.on_cephfs,
    "http": files.over_http,
    "objects": objects.writers,
}
