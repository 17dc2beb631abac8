"""A customer's database and its role: made, dropped, and moved to another server."""

from __future__ import annotations

import dataclasses
import os
import subprocess

from psycopg import Connection, errors, sql

from . import defects, settings
from .orchestrator import Instance
from .postgres import Row, connect

# What the instance's program needs of Odoo's tables.
TABLES = """
create table res_partner (id serial primary key, name varchar not null, email varchar);
create table ir_config_parameter (id serial primary key, key varchar not null unique,
    value text not null);
create table ir_cron (id serial primary key, cron_name varchar not null, active boolean);
create table ir_module_module (id serial primary key, name varchar not null unique,
    state varchar(16));
create table ir_attachment (id serial primary key, name varchar not null unique,
    store_fname varchar not null, checksum varchar(40) not null, file_size integer not null);
insert into ir_config_parameter (key, value)
    values ('database.uuid', gen_random_uuid()), ('database.is_neutralized', 'false');
insert into ir_cron (cron_name, active) values ('mail: send', true), ('base: vacuum', true);
insert into ir_module_module (name, state) values ('base', 'installed'), ('web', 'installed');
insert into res_partner (name) values ('My Company');
"""
_LOCALE = "template template0 encoding 'UTF8' locale 'C.UTF-8'"


def create(it: Instance) -> None:
    """Its role, its database, and the tables in it; what is there from an earlier try goes."""
    role = sql.Identifier(it.database)
    with connect(settings.superuser(host=it.host, port=it.port)) as server:
        _drop(server, it)
        password = sql.Literal(it.password)
        server.execute(sql.SQL("create role {} login password {}").format(role, password))
        empty(server, it)
    with connect(dataclasses.replace(_database(it), user=it.database, password=it.password)) as own:
        own.execute(TABLES.encode())


def empty(server: Connection[Row], it: Instance) -> None:
    """An empty database, which its role owns."""
    name = sql.Identifier(it.database)
    made = sql.SQL("create database {} owner {} " + _LOCALE).format(name, name)
    server.execute(made)
    server.execute(sql.SQL("revoke connect, temporary on database {} from public").format(name))


def drop(it: Instance) -> None:
    """Its database and its role."""
    with connect(settings.superuser(host=it.host, port=it.port)) as server:
        _drop(server, it)


def drop_database(it: Instance) -> None:
    """Its database alone; the role stays."""
    with connect(settings.superuser(host=it.host, port=it.port)) as server:
        name = sql.Identifier(it.database)
        server.execute(sql.SQL("drop database if exists {} with (force)").format(name))


def _drop(server: Connection[Row], it: Instance) -> None:
    name = sql.Identifier(it.database)
    if not defects.on("leave-database"):
        server.execute(sql.SQL("drop database if exists {} with (force)").format(name))
    if not (defects.on("leave-role") or defects.on("leave-database")):
        server.execute(sql.SQL("drop role if exists {}").format(name))


def move(it: Instance, host: str) -> Instance:
    """Copy a stopped instance's database to another server, and drop it on the old one."""
    moved = dataclasses.replace(it, host=host, port=5432)
    role, password = sql.Identifier(it.database), sql.Literal(it.password)
    with connect(settings.superuser(host=host, port=5432)) as server:
        _drop(server, moved)
        try:
            server.execute(sql.SQL("create role {} login password {}").format(role, password))
        except errors.DuplicateObject:
            server.execute(sql.SQL("alter role {} password {}").format(role, password))
        empty(server, moved)
    dump = subprocess.run(
        ["pg_dump", *words(it)], env=environment(), check=True, capture_output=True
    )
    restore = ["psql", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", *words(moved)]
    subprocess.run(restore, input=dump.stdout, env=environment(), check=True, capture_output=True)
    if not defects.on("static-path"):
        drop(it)
    return moved


def _database(it: Instance) -> settings.Database:
    return settings.superuser(it.database, it.host, it.port)


def words(it: Instance) -> list[str]:
    """The options of PostgreSQL's programs for an instance's database, as the superuser."""
    to = _database(it)
    return [
        f"--host={to.host}",
        f"--port={to.port}",
        f"--username={to.user}",
        f"--dbname={to.name}",
    ]


def environment() -> dict[str, str]:
    return {**os.environ, "PGPASSWORD": settings.superuser().password}
