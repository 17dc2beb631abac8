"""A profile's declaration of how a database moves by a dump that is restored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from harness.settings.restore import Folder, Reason, Somewhere, Words
from harness.settings.switch import ReachedAt


class Dump(Somewhere):
    """A dump and its restore between the two PostgreSQL of `equality:`, carried out beside one.

    The machine or pod runs pg_dump and pg_restore, not older than both servers.
    """

    # The `name:` of the pair, of kind postgresql.
    pair: str = ""
    # The database of the source that is dumped; the largest one tells how long the night takes.
    database: Annotated[str, Field(min_length=1)]
    # Where the machine or pod reaches the source.
    source_at: ReachedAt
    # Where it reaches the target.
    target_at: ReachedAt
    # The folder there that holds the dump until it is restored.
    folder: Folder
    # Starts pg_dump there; host, user and database are added.
    pg_dump: Words = ("pg_dump",)
    # Starts pg_restore there: with `--jobs=4`, several tables at a time.
    pg_restore: Words = ("pg_restore",)
    # How long each of the two may take.
    within_min: float = Field(default=240, gt=0)
    # The free space that the dump needs, as a multiple of the database's size.
    room: float = Field(default=1.0, gt=0)
    # Objects of the catalogue that a dump leaves out, or that differ on purpose, each with why.
    # Those of the pair count too. `database` has the privileges, which a dump of it leaves out.
    different: Mapping[str, Reason] = {}
