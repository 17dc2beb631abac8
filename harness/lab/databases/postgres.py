"""The platform's own PostgreSQL: five databases, its roles, and a database of each customer."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from harness.lab.databases import odoo
from harness.lab.databases.tables import NAMES, Draw, Table, Value, copied, moment, schema

PLANS = ("basic", "standard", "premium")
STATES = ("trial", "active", "blocked", "cancelled")
KINDS = ("created", "started", "stopped", "backup", "restore")
SERVERS = 3
TEMPLATES = 5
_RECEIPT_EVERY = 20
_LARGEST_RECEIPT = 5_000


def postgres(seed: int, rows: int, customers: Sequence[str]) -> Iterator[str]:
    """A script for psql as a superuser of an empty server; ``rows`` in each table that grows.

    ``customers`` are the customers' databases without ``odoo_``: ``acme_1a2b3c4d``.
    """
    yield "\\set ON_ERROR_STOP on\n"
    yield schema("roles")
    for database, (owner, tables) in PLATFORM.items():
        yield from _database(database, owner, schema(database))
        yield from _filled(seed, database, tables, rows)
    for customer in customers:
        name = f"odoo_{customer}"
        yield from _database(name, "database_service", schema("odoo"))
        yield from _filled(seed, name, odoo.tables(customer), rows)


def _database(name: str, owner: str, definitions: str) -> Iterator[str]:
    """A database with its tables, connected to as its owner."""
    locale = "template template0 encoding 'UTF8' locale 'C.UTF-8'"
    yield "reset role;\n"
    yield f"create database {name} owner {owner} {locale};\n"
    yield f"revoke connect, temporary on database {name} from public;\n"
    yield f"grant connect on database {name} to readonly_user, backup_user, database_service;\n"
    yield f"\\connect {name}\n"
    yield definitions


def _filled(seed: int, database: str, tables: Sequence[Table], rows: int) -> Iterator[str]:
    for table in tables:
        draw = Draw(seed, f"{database} {table.name}")
        if table.name == "payments":
            yield from _receipts(Draw(seed, "receipts"), rows)
        yield from copied(table, draw, rows)


def _receipts(draw: Draw, rows: int) -> Iterator[str]:
    """A large object for every twentieth payment, numbered like it."""
    for number in range(_RECEIPT_EVERY, rows + 1, _RECEIPT_EVERY):
        content = draw.random.randbytes(draw.random.randint(1, _LARGEST_RECEIPT))
        yield f"select lo_from_bytea({number}, '\\x{content.hex()}') as receipt;\n"


def _user(draw: Draw, number: int) -> Sequence[Value]:
    name = draw.random.choice(NAMES)
    hashed = f"$2b$12${draw.random.getrandbits(256):064x}"
    active = number % 17 > 0
    return draw.uuid("user", number), _email(number), hashed, name, active, moment(number)


def _email(number: int) -> str:
    return f"user{number}@{'ÉXAMPLE' if number % 11 == 0 else 'example'}.com"


def _session(draw: Draw, number: int) -> Sequence[Value]:
    address = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
    agent = draw.random.choice(("Firefox", "Chrome", None))
    token = f"{draw.random.getrandbits(256):064x}"
    return number, draw.uuid("user", number), token, address, agent, moment(number)


def _reset(draw: Draw, number: int) -> Sequence[Value]:
    return number, draw.uuid("user", number), draw.random.randbytes(32), number % 3 == 0


def _verification(draw: Draw, number: int) -> Sequence[Value]:
    at = moment(number) if number % 4 else None
    return number, draw.uuid("user", number), draw.uuid("token", number), at


def _entitlement(_: Draw, number: int) -> Sequence[Value]:
    return PLANS[number - 1], "2025-01-01", f"{number / 2:.2f}", 2 * number, 10 * number


def _subscription(draw: Draw, number: int) -> Sequence[Value]:
    details = json.dumps({"seats": draw.random.randint(1, 50), "note": NAMES[number % 8]})
    state = draw.random.choice(STATES)
    at = moment(number) if state == "cancelled" else None
    mine = (draw.uuid("subscription", number), draw.uuid("user", number))
    return *mine, draw.uuid("killbill", number), draw.random.choice(PLANS), state, details, at


def _payment(draw: Draw, number: int) -> Sequence[Value]:
    # 1.5, 1.50 and 1.500 are equal as numbers, and not the same.
    amount = f"{draw.random.randint(1, 999)}.{('5', '50', '500')[number % 3]}"
    receipt = number if number % _RECEIPT_EVERY == 0 else None
    note = ("", None, "paid late")[number % 3]
    of = draw.uuid("subscription", number)
    return number, of, amount, "EUR", moment(number), note, receipt


def _server(draw: Draw, number: int) -> Sequence[Value]:
    kind = "dedicated" if number == SERVERS else "pool"
    name = f"postgres-{kind}-{number}"
    return draw.uuid("server", number), name, name, 5432, kind, 50


def _instance(draw: Draw, number: int) -> Sequence[Value]:
    owner, id8 = draw.uuid("user", number), draw.uuid("instance", number).hex[:8]
    mine = (draw.uuid("instance", number), owner, f"shop {number}", f"odoo_shop{number}_{id8}")
    state = draw.random.choice(("running", "stopped", "error"))
    addons = ("{}", "{sale,stock}", '{"a, b",NULL}')[number % 3]
    created = moment(number).replace(tzinfo=None)
    at = draw.uuid("server", 1 + number % SERVERS)
    return *mine, at, state, "1.00", "2Gi", addons, created, moment(number + 1)


def _template(_: Draw, number: int) -> Sequence[Value]:
    return number, f"template-{number}", f"Hello {number}", "<p>{{ name }}</p>\r\n" * number


def _mail(draw: Draw, number: int) -> Sequence[Value]:
    variables = json.dumps({"name": NAMES[number % 8]}) if number % 5 else None
    sent = moment(number) if number % 7 else None
    tried = draw.random.randint(0, 5)
    return number, 1 + number % TEMPLATES, _email(number), variables, tried, sent


def _event(draw: Draw, number: int) -> Sequence[Value]:
    # Every fourth row is the row before once more: only their number tells.
    kind = KINDS[number % 5] if number % 4 else KINDS[(number - 1) % 5]
    at = moment(number - (number % 4 == 0))
    seconds = None if kind == "created" else (number - (number % 4 == 0)) / 7
    return at, kind, draw.uuid("user", 1), seconds


# Each database with its owner, and its tables in the order of their references.
PLATFORM: dict[str, tuple[str, tuple[Table, ...]]] = {
    "auth": (
        "auth_service",
        (
            Table("users", "id, email, password_hash, full_name, is_active, created_at", _user),
            Table(
                "user_sessions",
                "id, user_id, token, address, agent, expires_at",
                _session,
                counted="id",
            ),
            Table("password_resets", "id, user_id, token_sha256, used", _reset, counted="id"),
            Table(
                "email_verification_tokens",
                "id, user_id, token, verified_at",
                _verification,
                counted="id",
            ),
        ),
    ),
    "billing": (
        "billing_service",
        (
            Table(
                "plan_entitlements",
                "plan, effective_on, cpu, memory_gb, storage_gb",
                _entitlement,
                rows=len(PLANS),
            ),
            Table(
                "subscriptions",
                "id, user_id, killbill_id, plan, status, details, cancelled_at",
                _subscription,
            ),
            Table(
                "payments",
                "id, subscription_id, amount, currency, paid_at, note, receipt",
                _payment,
                counted="id",
            ),
        ),
    ),
    "instance": (
        "instance_service",
        (
            Table("db_servers", "id, name, host, port, kind, instances_max", _server, rows=SERVERS),
            Table(
                "instances",
                "id, customer_id, name, database_name, db_server_id, status, cpu_limit, "
                "memory_limit, addons, created_at, updated_at",
                _instance,
            ),
        ),
    ),
    "communication": (
        "database_service",
        (
            Table("email_templates", "id, name, subject, body", _template, TEMPLATES, counted="id"),
            Table(
                "email_queue",
                "id, template_id, recipient, variables, attempts, sent_at",
                _mail,
                counted="id",
            ),
        ),
    ),
    "analytics": (
        "database_service",
        (Table("events", "happened_at, kind, customer_id, seconds", _event),),
    ),
}
