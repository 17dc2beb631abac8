"""A profile's declaration of how a customer's backup is made, restored elsewhere, and compared.

In commands and SQL, ``{customer}``, ``{database}``, ``{backup}``, ``{folder}`` and ``{restored}``
stand for the customer's name, its database, the backup's name, the folder into which it is
restored, and the restored database's name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from harness.core.declared import RestoreDeclared
from harness.settings.databases import DatabaseServer
from harness.settings.field_types import Name
from harness.settings.files import Frozen

# The requirements that a round trip proves.
PROVES = ("W5-RESTORE", "W9-BACKUP")
Words = Annotated[tuple[str, ...], Field(min_length=1)]
Folder = Annotated[str, Field(pattern="^/.+[^/]$")]
Database = Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_-]*$", max_length=40)]
CustomerName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")]
Reason = Annotated[str, Field(min_length=10)]


class Somewhere(Frozen):
    """Where commands run: a machine, or a pod's first container."""

    # The machine on which commands run.
    machine: Name | None = None
    # Or the namespace and the label selector of a pod; the first that is ready.
    namespace: Name | None = None
    # As `kubectl get pods --selector` takes it.
    selector: str | None = None

    @model_validator(mode="after")
    def _is_somewhere(self) -> Self:
        given = [it is not None for it in (self.machine, self.namespace, self.selector)]
        if given not in ([True, False, False], [False, True, True]):
            raise ValueError("say either `machine:`, or `namespace:` and `selector:`")
        return self


class Side(Somewhere):
    """A machine or a pod, the PostgreSQL beside it, and the backups that it sees."""

    # Its PostgreSQL.
    server: DatabaseServer
    # The folder in which backups lie, as it is mounted there.
    backups: Folder


class Target(Side):
    """Where a backup is restored under another name: another machine, and another PostgreSQL."""

    # The folder below which a customer's files are restored; it must exist.
    folder: Folder
    # Starts psql there as a superuser of that PostgreSQL.
    psql: Words = ("psql", "--username=postgres")
    # The platform's own restore, if it can restore under another name. Without it, the harness
    # restores the dump in one transaction and unpacks the files.
    command: tuple[str, ...] = ()
    # Removes what that command made, beside the restored database and folder.
    remove: tuple[str, ...] = ()
    # How long a restore may take until it counts as failed.
    within_min: float = Field(default=120, gt=0)


class Customer(Frozen):
    """A customer whose backup is drilled: best one that was made for it."""

    # The name of its database.
    database: Database
    # Its data folder, as the source sees it.
    folder: Folder
    # The folder of its files in there, and in the platform's archive.
    filestore: str = Field(default="filestore/{database}", pattern="^[^/].*[^/]$")
    # What the backup's metadata must say, beside the database's name: `customer_id: …`.
    metadata: Mapping[str, str] = {}


class BackupCommand(Frozen):
    """The platform's own way to make a backup."""

    # Run at the source: `curl --fail …` for an API, `kubectl create job …`, a script.
    command: Words
    # Ends with 0 once the platform calls the backup completed; asked every two seconds. Without it,
    # that claim is a metadata file, or a zip, that is newer than the request.
    done: tuple[str, ...] = ()
    # How long that may take.
    within_min: float = Field(default=60, gt=0)


class Heartbeat(Frozen):
    """What shows how much work a restored backup lacks. Names in SQL are qualified: public.x."""

    # Adds a row while the backup is made; without it, the customer's own rows count.
    write: str | None = None
    # Gives the time of the newest row.
    newest: str = Field(min_length=1)
    # The seconds between two of them.
    every_s: float = Field(default=2.0, gt=0)


class BusinessAnswer(Frozen):
    """The first right answer after a restore, which touches the customer's database."""

    # A query on the restored database, in which names are qualified: public.x.
    sql: str | None = None
    # Or a command at the target, such as `curl --fail --header "Host: {restored}.example.com" …`.
    command: tuple[str, ...] = ()
    # A text that the answer must contain.
    says: str = Field(min_length=1)
    # How long it may take after the restore.
    within_min: float = Field(default=10, gt=0)

    @model_validator(mode="after")
    def _asks(self) -> Self:
        if (self.sql is None) == (not self.command):
            raise ValueError("say either `sql:` or `command:`")
        return self


class DeclaredMutation(Frozen):
    """What a restore changes in a table on purpose; everything else in it must be equal."""

    # An SQL condition: the rows that meet it may differ, be missing or be new.
    rows: str = "false"
    # Columns that may differ in the other rows.
    columns: tuple[str, ...] = ()
    # How many rows at most.
    at_most: int | None = Field(default=None, ge=0)
    # Why they may differ.
    because: Reason


class ArchiveLimits(Frozen):
    """What a backup's archive may unpack to; beyond it is a bomb."""

    # All of its files together.
    gib: float = Field(default=500, gt=0)
    # The number of its entries.
    entries: int = Field(default=20_000_000, ge=1)
    # Unpacked bytes a packed byte.
    ratio: float = Field(default=200, gt=1)


class Restore(Frozen):
    """The round trip of a customer's backup: made, inspected, restored elsewhere, compared."""

    # The customers, by name; the first is drilled unless another is named.
    customers: Mapping[CustomerName, Customer] = Field(min_length=1)
    # The three files of the platform, or Odoo's own zip.
    layout: Literal["files", "zip"] = Field(default="files", alias="format")
    source: Side
    target: Target
    # Without it, the newest backup that is there is restored.
    backup: BackupCommand | None = None
    # Gives a text that only this customer's rows contain, such as Odoo's database.uuid.
    identity: str | None = "select value from public.ir_config_parameter where key='database.uuid'"
    # Gives the file of each attachment, as `ab/abcd…`; null for a customer without Odoo's tables.
    attachments: str | None = (
        "select store_fname from public.ir_attachment where store_fname is not null"
    )
    heartbeat: Heartbeat
    answer: BusinessAnswer
    # What the restore changes on purpose, by table: public.ir_cron.
    mutations: Mapping[str, DeclaredMutation] = {}
    # Objects of the catalogue that differ on purpose, each with why: `role *`.
    different: Mapping[str, Reason] = {}
    # What may differ of a restored file beside its time, which a tar keeps in whole seconds.
    files_may_differ: tuple[Literal["owner", "group", "mode"], ...] = ()
    # The free space that a restore needs, as a multiple of what the customer has.
    room: float = Field(default=1.5, ge=1)
    limits: ArchiveLimits = ArchiveLimits()

    @model_validator(mode="after")
    def _goes_elsewhere(self) -> Self:
        if self.source.machine is not None and self.source.machine == self.target.machine:
            raise ValueError("restore.target must be another machine than restore.source")
        return self

    def declared(self) -> RestoreDeclared:
        """The declaration for checks."""
        return RestoreDeclared(
            mutations={table: it.at_most for table, it in self.mutations.items()},
            different=dict(self.different),
        )
