"""KillBill's MariaDB: accounts, subscriptions and invoices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.lab.databases.tables import NAMES, Draw, Table, Value, moment, schema

_AT_ONCE = 500


def mariadb(seed: int, rows: int) -> Iterator[str]:
    """A script for mariadb's client as root of an empty server; ``rows`` in each table."""
    yield "set names utf8mb4;\n"
    yield schema("killbill")
    yield "start transaction;\n"
    for table in TABLES:
        draw = Draw(seed, f"killbill {table.name}")
        for first in range(1, rows + 1, _AT_ONCE):
            numbers = range(first, min(first + _AT_ONCE, rows + 1))
            values = ",\n".join(
                f"({', '.join(map(_literal, table.row(draw, number)))})" for number in numbers
            )
            yield f"insert into {table.name} ({table.columns}) values\n{values};\n"
    yield "commit;\n"


def _literal(value: Value) -> str:
    """A value in MariaDB's SQL, for its default mode."""
    if value is None:
        return "null"
    if isinstance(value, int):
        return str(value)
    text = str(value).replace("\\", "\\\\").replace("'", "''")
    return f"'{text}'"


def _account(draw: Draw, number: int) -> Sequence[Value]:
    mine = (str(draw.uuid("account", number)), str(draw.uuid("user", number)))
    return number, *mine, f"user{number}@example.com", NAMES[number % 8], "EUR", _second(number)


def _second(number: int) -> str:
    return f"{moment(number):%Y-%m-%d %H:%M:%S}"


def _subscription(draw: Draw, number: int) -> Sequence[Value]:
    plan = draw.random.choice(("basic-monthly", "standard-monthly", "premium-yearly"))
    state = "ACTIVE" if number % 9 else "CANCELLED"
    paid_until = _second(number + 1) if number % 4 else None
    return number, str(draw.uuid("killbill", number)), number, plan, state, paid_until


def _invoice(draw: Draw, number: int) -> Sequence[Value]:
    return number, str(draw.uuid("invoice", number)), number, f"{moment(number):%Y-%m-%d}"


def _item(draw: Draw, number: int) -> Sequence[Value]:
    amount = f"{draw.random.randint(-999, 99_999) / 100:.9f}"
    return number, number, number if number % 5 else None, NAMES[number % 8], amount, "EUR"


# In the order of their references.
TABLES = (
    Table("accounts", "record_id, id, external_key, email, name, currency, created_date", _account),
    Table(
        "subscriptions",
        "record_id, id, account_record_id, plan, state, charged_through_date",
        _subscription,
    ),
    Table("invoices", "record_id, id, account_record_id, invoice_date", _invoice),
    Table(
        "invoice_items",
        "record_id, invoice_record_id, subscription_record_id, description, amount, currency",
        _item,
    ),
)
