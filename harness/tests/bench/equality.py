"""A table's digest beside psql's: ``python -m harness.tests.bench.equality HOST PORT PASSWORD``.

Makes a database of 5,000,000 rows (about 1 GB) on that server, as the user postgres, and drops it
again. In one run, both read the same table in turn: our digest, and ``COPY … TO STDOUT`` of psql
through sha256sum. Prints as JSON the seconds of each round, on the clock and of processors (without
the server, which answers both with one COPY), and our peak memory in MB. It is no test: a loaded
machine would fail it for no reason.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable

import psycopg

from harness.backup.equality.session import Server
from harness.backup.equality.tables import digest, tables

_ROWS = 5_000_000
_ROUNDS = 3
_DATABASE = "cutover_bench"
_MAKE = f"""
create table m (id bigint primary key, name text, email text, amount numeric(12, 2),
  at timestamptz, note text);
insert into m select i, 'customer ' || i, md5(i::text) || '@example.com', i * 1.01,
  timestamptz '2026-01-01' + i * interval '1 s', repeat('x', 60 + (i % 40)::int)
  from generate_series(1, {_ROWS}) i;
"""


def ours(server: Server) -> str:
    with server.connect(_DATABASE) as connection:
        return digest(connection, tables(connection)["public.m"]).sha256


def psqls(server: Server) -> str:
    """psql sorts by the primary key too, so the digests are the same."""
    psql = f"psql -h {server.host} -p {server.port} -U {server.user} -Xqd {_DATABASE}"
    script = f"{psql} -c 'copy (select * from m order by id) to stdout' | sha256sum"
    pinned = {"PGPASSWORD": server.password, "PGTZ": "UTC", "PGOPTIONS": "-c extra_float_digits=1"}
    done = subprocess.run(
        ["sh", "-c", script], env={**os.environ, **pinned}, stdout=subprocess.PIPE, check=True
    )
    return done.stdout.split()[0].decode()


def cost(read: Callable[[Server], str], server: Server) -> tuple[str, float, float]:
    """A table's digest, and its seconds: on the clock, and of this side's processors."""
    began, before = time.monotonic(), os.times()
    found = read(server)
    after = os.times()
    return found, time.monotonic() - began, sum(after[:4]) - sum(before[:4])


def main() -> None:
    host, port, password = sys.argv[1:]
    server = Server(host, int(port), "postgres", password)
    admin = f"host={host} port={port} user=postgres password={password} dbname="
    with psycopg.connect(f"{admin}postgres", autocommit=True) as connection:
        connection.execute(f"create database {_DATABASE}".encode())
        try:
            with psycopg.connect(f"{admin}{_DATABASE}", autocommit=True) as filled:
                filled.execute(_MAKE.encode())
                filled.execute(b"vacuum analyze m")
            rounds = []
            for _ in range(_ROUNDS):
                mine, ours_s, ours_cpu_s = cost(ours, server)
                theirs, psql_s, psql_cpu_s = cost(psqls, server)
                assert mine == theirs
                took = {"ours_s": ours_s, "psql_s": psql_s}
                rounds.append(took | {"ours_cpu_s": ours_cpu_s, "psql_cpu_s": psql_cpu_s})
        finally:
            connection.execute(f"drop database {_DATABASE}".encode())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    found = {"rows": _ROWS, "rounds": rounds, "peak_mb": round(peak)}
    sys.stdout.write(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
