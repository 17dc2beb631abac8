"""A MariaDB table's digest beside the client's: ``python -m harness.tests.bench.mariadb [ROWS]``.

Starts a MariaDB of its own with 1,000,000 invoices (about 250 MB), once under a number and once
under a text as their key. In one run, both read the same table in turn: our digest, and the
``mariadb`` client with the same query through sha256sum. Prints as JSON the seconds of each round,
how many times as much ours took, best against best (1.3 is allowed), and our peak memory in MB. It
is no test: a loaded machine would fail it for no reason.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time

from harness.backup.equality.mariadb.session import Server
from harness.backup.equality.mariadb.tables import digest, tables
from harness.tests.mariadb_server import mariadb, script

_ROWS, _ROUNDS, _DATABASE = 1_000_000, 3, "bench"
_COLUMNS = """
  account_id varchar(36) not null, invoice_date date not null, currency varchar(3),
  amount decimal(15,9), migrated bool, created_by varchar(50), created timestamp null, note text
"""
_MAKE = f"""
create database {_DATABASE} character set utf8mb4;
use {_DATABASE};
create table by_number (record_id serial primary key, {_COLUMNS}) engine=InnoDB;
create table by_text (id varchar(36) primary key, {_COLUMNS}) engine=InnoDB;
insert into by_number select seq, md5(seq), date '2026-01-01' + interval seq % 365 day, 'EUR',
  seq % 5000 * 1.01, 0, concat('user ', seq), timestamp '2026-01-01 00:00:00' + interval seq second,
  repeat('x', 60 + seq % 40) from seq_1_to_ROWS;
insert into by_text select md5(-record_id), account_id, invoice_date, currency, amount, migrated,
  created_by, created, note from by_number;
"""


def ours(server: Server, table: str) -> float:
    """The seconds of our digest."""
    with server.connect(_DATABASE) as connection:
        found = tables(connection)[table]
        began = time.monotonic()
        digest(connection, found)
        return time.monotonic() - began


def clients(server: Server, table: str) -> float:
    """The seconds of the client's answer to the same query."""
    with server.connect(_DATABASE) as connection:
        query = tables(connection)[table].in_order()
    who = f"--socket={server.socket} --user={server.user} --password={server.password}"
    client = f"mariadb --no-defaults {who} --quick --batch --raw {_DATABASE}"
    began = time.monotonic()
    subprocess.run(
        ["sh", "-c", f"{client} | sha256sum"],
        input=query.encode(),
        stdout=subprocess.DEVNULL,
        check=True,
    )
    return time.monotonic() - began


def main() -> None:
    number = int(sys.argv[1]) if len(sys.argv) > 1 else _ROWS
    found = {}
    with mariadb() as server:
        script(server, _MAKE.replace("ROWS", str(number)))
        for table in ("by_number", "by_text"):
            rounds = [(clients(server, table), ours(server, table)) for _ in range(_ROUNDS)]
            client_s, ours_s = ([round(it, 2) for it in side] for side in zip(*rounds, strict=True))
            ratio = round(min(ours_s) / min(client_s), 2)
            found[table] = {"client_s": client_s, "ours_s": ours_s, "ratio": ratio}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sys.stdout.write(json.dumps({"rows": number, **found, "peak_mb": round(peak)}) + "\n")


if __name__ == "__main__":
    main()
