"""A customer's database as Odoo has it, and the filestore that its attachments name."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from functools import partial
from random import Random

from harness.lab.databases.tables import NAMES, Draw, Table, Value, moment

MODULES = ("base", "mail", "web", "sale", "account")
CRONS = ("mail: send", "base: vacuum", "account: remind")
_LARGEST_FILE = 9_000


def tables(customer: str) -> tuple[Table, ...]:
    """A customer's tables; ``ir_attachment`` names the files of ``filestore``."""
    return (
        Table("res_partner", "id, name, email, credit, active, write_date", _partner, counted="id"),
        Table("res_users", "id, login, password, partner_id, active", _user, counted="id"),
        Table(
            "ir_config_parameter", "id, key, value", partial(_parameter, customer), 3, counted="id"
        ),
        Table(
            "ir_cron",
            "id, cron_name, active, interval_number, interval_type, nextcall",
            _cron,
            len(CRONS),
            counted="id",
        ),
        Table(
            "ir_module_module",
            "id, name, state, latest_version",
            _module,
            len(MODULES),
            counted="id",
        ),
        Table(
            "ir_attachment",
            "id, name, res_model, res_id, type, store_fname, checksum, file_size, mimetype, "
            "db_datas, url",
            partial(_attachment, customer),
            counted="id",
        ),
    )


def filestore(seed: int, customer: str, rows: int) -> Iterator[tuple[str, bytes]]:
    """Each file of a customer once: its name, ``2f/2fd4e1c6…`` by SHA-1, and its content."""
    written = set()
    for number in range(1, rows + 1):
        if _is_file(number):
            content = _content(seed, customer, number)
            name = _stored(content)
            if name not in written:
                written.add(name)
                yield name, content


def _is_file(number: int) -> bool:
    """The others are links, or small enough for the database."""
    return number % 10 not in (3, 7)


def _content(seed: int, customer: str, number: int) -> bytes:
    # Odoo stores the same content once, for however many attachments.
    number -= number % 10 == 5
    drawn = Random(f"{seed} {customer} file {number}")
    return drawn.randbytes(drawn.randint(0, _LARGEST_FILE))


def _stored(content: bytes) -> str:
    name = hashlib.sha1(content, usedforsecurity=False).hexdigest()
    return f"{name[:2]}/{name}"


def _attachment(customer: str, draw: Draw, number: int) -> Sequence[Value]:
    of = (number, f"file {number}.pdf", "res.partner", number)
    if number % 10 == 3:
        url = f"https://example.com/{number}"
        return *of, "url", None, None, None, None, None, url
    content = _content(draw.seed, customer, number)
    stored, inside = (_stored(content), None) if _is_file(number) else (None, content)
    checksum = hashlib.sha1(content, usedforsecurity=False).hexdigest()
    return (
        *of,
        *("binary", stored, checksum, len(content), "application/pdf", inside, None),
    )


def _partner(draw: Draw, number: int) -> Sequence[Value]:
    name = NAMES[number % 8] or f"Partner {number}"
    credit = draw.random.choice((None, "0.0", "0.00", f"{number}.5"))
    written = moment(number).replace(tzinfo=None)
    return number, name, f"partner{number}@example.com", credit, number % 9 > 0, written


def _user(draw: Draw, number: int) -> Sequence[Value]:
    password = f"$pbkdf2-sha512${draw.random.getrandbits(256):064x}"
    return number, f"user{number}", password, number, number % 9 > 0


def _parameter(customer: str, draw: Draw, number: int) -> Sequence[Value]:
    key, value = (
        ("database.uuid", str(draw.uuid(customer, 0))),
        ("web.base.url", f"http://{customer.partition('_')[0]}.lab.example"),
        ("database.create_date", "2025-11-01 00:00:00"),
    )[number - 1]
    return number, key, value


def _cron(draw: Draw, number: int) -> Sequence[Value]:
    next_call = moment(draw.random.randint(1, 1000)).replace(tzinfo=None)
    return number, CRONS[number - 1], number % 3 > 0, number, "hours", next_call


def _module(_: Draw, number: int) -> Sequence[Value]:
    state = "installed" if number < len(MODULES) else "uninstalled"
    return number, MODULES[number - 1], state, "17.0.1.3"
