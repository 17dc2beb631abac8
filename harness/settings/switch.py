"""A profile's declaration of how the databases are switched over."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from harness.settings.field_types import PortNumber
from harness.settings.files import Frozen


class ReachedAt(Frozen):
    """Where the other PostgreSQL reaches one: it connects by itself, without this computer."""

    # A name or an address.
    host: str = Field(min_length=1)
    # The port there.
    port: PortNumber = 5432


class Switch(Frozen):
    """The switch between the two PostgreSQL of `equality:`, by logical replication.

    Both need `wal_level = logical`, and two free places for streams.
    """

    # The `name:` of the pair, of kind postgresql.
    pair: str = ""
    # Where the target's PostgreSQL reaches the source's.
    source_at: ReachedAt
    # Where the source's reaches the target's: the stream back is the way back.
    target_at: ReachedAt
    # How long each condition may take to hold.
    within_s: float = Field(default=60, gt=0)
    # How long the copy of the rows may take.
    copy_min: float = Field(default=60, gt=0)
    # The longest freeze: then the server thaws by itself, whatever happened to the harness.
    freeze_s: float = Field(default=120, gt=0)
    # A transaction that is older than this is waited for: a freeze would end it.
    transaction_s: float = Field(default=30, gt=0)
    # Queues of `queues:` (VHOST/NAME, or a pattern) that must be drained before the freeze. Their
    # workers must be stopped: at the source, and for the way back at the target. Without names, no
    # queue is waited for.
    drained: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    # How long they may take: three looks 5 s apart need a quarter of a minute.
    drain_min: float = Field(default=30, ge=0.5)
    # The writes that each writer of the ledger makes per second.
    rate_per_s: float = Field(default=10, gt=0)
