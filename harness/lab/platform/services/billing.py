"""billing-service: plans, subscriptions and invoices, which are KillBill's.

KillBill itself is not here. This part writes to KillBill's database, and sends KillBill's event of
a paid invoice to every registered webhook: one that is registered twice gets it twice.
"""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from decimal import Decimal

import pymysql
from fastapi import FastAPI, HTTPException

from . import calls, defects, health, settings
from .postgres import WITHIN_S, Postgres, Row, database_health

PRICES = {"basic": Decimal(5), "standard": Decimal(8), "premium": Decimal(10)}
HOOK = "PUSH_NOTIFICATION_CB"


@dataclass
class Account:
    customer_id: uuid.UUID
    email: str
    name: str = ""


@dataclass
class NewInstance:
    """What a customer books: `plan_name` is a plan, basic-monthly or the like."""

    customer_id: uuid.UUID
    name: str
    database_name: str
    admin_email: str
    admin_password: str
    plan_name: str = "basic-monthly"
    storage_limit: str = "10G"
    memory_limit: str = "1G"
    cpu_limit: float = 1.0


@dataclass
class Payment:
    customer_id: uuid.UUID
    invoice_id: uuid.UUID


@dataclass
class Event:
    eventType: str  # noqa: N815 -- the names of KillBill's events
    accountId: str  # noqa: N815
    objectId: str  # noqa: N815


def add(app: FastAPI) -> None:
    """The routes of billing-service."""
    billing = Billing(Postgres(settings.database()), KillBill())
    health.static(app)
    database_health(app, billing.postgres)
    at = "/api/billing"
    app.add_api_route(f"{at}/plans/", billing.plans)
    app.add_api_route(f"{at}/accounts/", billing.open_account, methods=["POST"])
    app.add_api_route(f"{at}/accounts/{{customer_id}}", billing.close_account, methods=["DELETE"])
    app.add_api_route(f"{at}/instances/", billing.book, methods=["POST"])
    app.add_api_route(f"{at}/payments/", billing.pay, methods=["POST"])
    app.add_api_route(f"{at}/invoices/{{customer_id}}", billing.invoices)
    app.add_api_route(f"{at}/subscriptions/{{customer_id}}", billing.subscriptions)
    app.add_api_route(
        f"{at}/subscriptions/subscription/{{subscription_id}}", billing.cancel, methods=["DELETE"]
    )
    app.add_api_route(f"{at}/webhooks/killbill", billing.webhook, methods=["POST"])
    threading.Thread(target=billing.register, daemon=True).start()


class KillBill:
    """KillBill's own database: accounts, subscriptions, invoices."""

    @contextmanager
    def cursor(self) -> Iterator[pymysql.cursors.DictCursor]:
        """A cursor in a transaction, which is committed at the end."""
        connection = pymysql.connect(
            host=settings.KILLBILL_HOST,
            port=settings.KILLBILL_PORT,
            unix_socket=settings.KILLBILL_HOST if settings.KILLBILL_HOST.startswith("/") else None,
            user=settings.KILLBILL_USER,
            password=settings.KILLBILL_PASSWORD,
            database="killbill",
            charset="utf8mb4",
            connect_timeout=WITHIN_S,
            cursorclass=pymysql.cursors.DictCursor,
        )
        try:
            with connection.cursor() as cursor:
                yield cursor
            connection.commit()
        finally:
            connection.close()

    def rows(self, statement: str, *values: object) -> list[Row]:
        """The rows of one statement."""
        with self.cursor() as cursor:
            cursor.execute(statement, values)
            return [dict(row) for row in cursor.fetchall()]


class Billing:
    """The requests of billing-service."""

    def __init__(self, postgres: Postgres, killbill: KillBill) -> None:
        self.postgres = postgres
        self._killbill = killbill

    def register(self) -> None:
        """Register the webhook with KillBill, unless it is; KillBill may come up later."""
        there = "select record_id from tenant_kvs where tenant_key = %s and tenant_value = %s"
        insert = "insert into tenant_kvs (tenant_key, tenant_value) values (%s, %s)"
        pause = threading.Event()
        while True:
            try:
                with self._killbill.cursor() as cursor:
                    known = cursor.execute(f"{there} for update", (HOOK, settings.WEBHOOK_URL))
                    if not known or defects.on("webhook-twice"):
                        cursor.execute(insert, (HOOK, settings.WEBHOOK_URL))
            except pymysql.OperationalError:
                pause.wait(2)
            else:
                return

    def plans(self) -> Row:
        statement = (
            "select plan, cpu::float as cpu_limit, memory_gb || 'G' as memory_limit,"
            " storage_gb || 'G' as storage_limit from plan_entitlements order by plan"
        )
        return {"success": True, "plans": self.postgres.rows(statement)}

    def open_account(self, new: Account) -> Row:
        insert = (
            "insert into accounts (id, external_key, email, name, currency, created_date)"
            " values (%s, %s, %s, %s, 'EUR', utc_timestamp())"
        )
        account = str(uuid.uuid4())
        self._killbill.rows(insert, account, str(new.customer_id), new.email, new.name)
        return {"success": True, "customer_id": str(new.customer_id), "account_id": account}

    def close_account(self, customer_id: uuid.UUID) -> Row:
        """Remove a customer, with everything that was booked."""
        for found in self._subscriptions(customer_id):
            self._forget(found)
        number = self._account(customer_id)["record_id"]
        self._killbill.rows("delete from invoices where account_record_id = %s", number)
        self._killbill.rows("delete from accounts where record_id = %s", number)
        return {"success": True, "customer_id": str(customer_id)}

    def book(self, new: NewInstance) -> Row:
        """A subscription and its invoice; the instance is made once that is paid."""
        plan = new.plan_name.partition("-")[0]
        if plan not in PRICES:
            raise HTTPException(400, f"Unknown plan {new.plan_name}")
        account = self._account(new.customer_id)["record_id"]
        subscription, invoice = str(uuid.uuid4()), str(uuid.uuid4())
        with self._killbill.cursor() as cursor:
            cursor.execute(
                "insert into subscriptions (id, account_record_id, plan, state)"
                " values (%s, %s, %s, 'PENDING')",
                (subscription, account, new.plan_name),
            )
            booked = cursor.lastrowid
            cursor.execute(
                "insert into invoices (id, account_record_id, invoice_date, status)"
                " values (%s, %s, utc_date(), 'COMMITTED')",
                (invoice, account),
            )
            cursor.execute(
                "insert into invoice_items (invoice_record_id, subscription_record_id, description,"
                " amount, currency) values (%s, %s, %s, %s, 'EUR')",
                (cursor.lastrowid, booked, new.plan_name, PRICES[plan]),
            )
        config = asdict(new) | {"customer_id": str(new.customer_id), "invoice_id": invoice}
        self.postgres.rows(
            "insert into subscriptions (id, user_id, killbill_id, plan, status, details)"
            " values (%s, %s, %s, %s, 'blocked', %s)",
            *(subscription, new.customer_id, subscription, plan, json.dumps(config)),
        )
        return {
            "success": True,
            "subscription_id": subscription,
            "invoice": {"id": invoice, "amount": float(PRICES[plan]), "currency": "EUR"},
            "message": f"Subscription created for {new.plan_name}. Pay the invoice.",
        }

    def pay(self, payment: Payment) -> Row:
        """Pay an invoice; KillBill then tells every webhook, and waits for their answers."""
        found = self._of_invoice(str(payment.invoice_id))
        self.postgres.rows(
            "insert into payments (subscription_id, amount, paid_at) values (%s, %s, %s)",
            *(found["id"], PRICES[found["plan"]], datetime.now(UTC)),
        )
        event = Event("INVOICE_PAYMENT_SUCCESS", str(payment.customer_id), str(payment.invoice_id))
        statement = "select tenant_value from tenant_kvs where tenant_key = %s"
        hooks = [row["tenant_value"] for row in self._killbill.rows(statement, HOOK)]
        heard = sum(_heard(hook, event) for hook in hooks)
        return {"success": True, "payment": {"status": "SUCCESS", "events": heard}}

    def webhook(self, event: Event) -> Row:
        """A paid invoice makes the instance that was booked."""
        if event.eventType != "INVOICE_PAYMENT_SUCCESS":
            return {"success": True, "message": f"{event.eventType} needs nothing"}
        found = self._of_invoice(event.objectId)
        config = {key: found["details"][key] for key in NewInstance.__dataclass_fields__}
        self.postgres.rows("update subscriptions set status = 'active' where id = %s", found["id"])
        self._killbill.rows(
            "update subscriptions set state = 'ACTIVE' where id = %s", str(found["killbill_id"])
        )
        new = config | {"subscription_id": str(found["id"]), "billing_status": "paid"}
        at = f"{settings.INSTANCE_URL}/api/v1/instances/"
        made = calls.call("POST", at, new)
        paid = {"subscription_id": str(found["id"]), "billing_status": "paid"}
        calls.call("POST", f"{at}{made['id']}/provision", paid)
        return {"success": True, "instance_id": made["id"]}

    def subscriptions(self, customer_id: uuid.UUID) -> Row:
        found = [
            {"subscription_id": str(it["id"]), "plan_name": it["plan"], "status": it["status"]}
            for it in self._subscriptions(customer_id)
        ]
        asked = {"success": True, "customer_id": str(customer_id)}
        return {**asked, "subscriptions": found, "subscription_count": len(found)}

    def cancel(self, subscription_id: uuid.UUID) -> Row:
        self.postgres.rows(
            "update subscriptions set status = 'cancelled', cancelled_at = now() where id = %s",
            subscription_id,
        )
        statement = "update subscriptions set state = 'CANCELLED' where id = %s"
        self._killbill.rows(statement, str(subscription_id))
        return {"success": True, "subscription_id": str(subscription_id)}

    def invoices(self, customer_id: uuid.UUID) -> Row:
        statement = (
            "select i.id, i.status, cast(sum(t.amount) as double) as amount from invoices i"
            " join invoice_items t on t.invoice_record_id = i.record_id"
            " where i.account_record_id = %s group by i.record_id order by i.record_id"
        )
        found = self._killbill.rows(statement, self._account(customer_id)["record_id"])
        return {"success": True, "invoices": found, "total": len(found)}

    def _account(self, customer_id: uuid.UUID) -> Row:
        statement = "select record_id from accounts where external_key = %s"
        found = self._killbill.rows(statement, str(customer_id))
        if not found:
            raise HTTPException(404, "Customer account not found")
        return found[0]

    def _subscriptions(self, customer_id: uuid.UUID) -> list[Row]:
        statement = "select * from subscriptions where user_id = %s order by id"
        return self.postgres.rows(statement, customer_id)

    def _of_invoice(self, invoice: str) -> Row:
        statement = "select * from subscriptions where details->>'invoice_id' = %s"
        found = self.postgres.row(statement, invoice)
        if found is None:
            raise HTTPException(404, "Invoice not found")
        return found

    def _forget(self, found: Row) -> None:
        self.postgres.rows("delete from payments where subscription_id = %s", found["id"])
        self.postgres.rows("delete from subscriptions where id = %s", found["id"])
        with self._killbill.cursor() as cursor:
            cursor.execute(
                "delete from invoice_items where subscription_record_id ="
                " (select record_id from subscriptions where id = %s)",
                (str(found["killbill_id"]),),
            )
            cursor.execute("delete from subscriptions where id = %s", (str(found["killbill_id"]),))


def _heard(hook: str, event: Event) -> bool:
    """True if a webhook took an event; KillBill is not stopped by one that does not."""
    try:
        calls.call("POST", hook, asdict(event))
    except (OSError, calls.CallFailed):
        return False
    return True
