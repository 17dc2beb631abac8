"""The small platform as processes: a customer's way through it, and what can be wrong."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from typing import Any
from urllib.error import HTTPError
from urllib.request import HTTPRedirectHandler, Request, build_opener

import pytest

from harness.core.waiting import until
from harness.tests.platform_processes import Platform, platform

pytestmark = pytest.mark.slow
Json = dict[str, Any]


class _Here(HTTPRedirectHandler):
    def redirect_request(self, *args: object) -> None:
        """A redirect is an answer like any other."""


_ASK = build_opener(_Here())


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Message
    body: bytes

    @property
    def json(self) -> Json:
        found: Json = json.loads(self.body)
        return found


def ask(
    method: str, url: str, body: object = None, token: str = "", content: bytes | None = None
) -> Answer:
    sent = json.dumps(body).encode() if body is not None else content
    request = Request(url, sent, {"Content-Type": "application/json"}, method=method)
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with _ASK.open(request, timeout=30) as answer:
            return Answer(answer.status, answer.headers, answer.read())
    except HTTPError as error:
        with error:
            return Answer(error.code, error.headers, error.read())


@pytest.fixture(scope="module")
def well() -> Iterator[Platform]:
    with platform() as running:
        yield running


@pytest.fixture(scope="module")
def ill() -> Iterator[Platform]:
    """Everything is wrong that leaves the way through it open."""
    defects = (
        "insecure-cookie",
        "lost-header",
        "changed-redirect",
        "webhook-twice",
        "static-health",
    )
    leave = ("leave-database", "leave-role", "empty-archive")
    with platform((*defects, *leave)) as running:
        yield running


class Customer:
    """Somebody who signs up and logs in."""

    def __init__(self, at: Platform) -> None:
        self.at = at
        self.email = f"{uuid.uuid4().hex[:8]}@example.com"
        me = {"email": self.email, "password": "Secret-123"}
        signed = ask("POST", f"{at.urls['user']}/auth/register", me | {"first_name": "Ada"})
        assert signed.status == 201, signed.body
        self.login = ask("POST", f"{at.urls['user']}/auth/login", me)
        self.id = self.login.json["customer"]["id"]
        self.token = self.login.json["tokens"]["access_token"]

    def instance(self, name: str) -> str:
        """The id of a new instance that runs."""
        at = self.at.urls
        mine = {"customer_id": self.id, "admin_email": self.email, "admin_password": "Secret-123"}
        wish = mine | {"name": name, "database_name": name, "storage_limit": "1G"}
        booked = ask("POST", f"{at['billing']}/api/billing/instances/", wish).json
        payment = {"customer_id": self.id, "invoice_id": booked["invoice"]["id"]}
        ask("POST", f"{at['billing']}/api/billing/payments/", payment)
        of = f"{at['instance']}/api/v1/instances/by-subscription/{booked['subscription_id']}"
        key: str = ask("GET", of).json["id"]
        self.wait(key, "running")
        return key

    def url(self, key: str) -> str:
        return f"{self.at.urls['instance']}/api/v1/instances/{key}"

    def status(self, key: str) -> Json:
        return ask("GET", f"{self.url(key)}/status").json

    def wait(self, key: str, status: str) -> None:
        def arrived() -> bool:
            found = self.status(key)
            assert found["status"] == status or found["status"] != "error", found
            return bool(found["status"] == status)

        until(arrived, within_s=60, every_s=0.1, what=f"the instance is {status}")

    def act(self, key: str, action: str, then: str, **parameters: str) -> Json:
        wish = {"action": action, "parameters": parameters}
        said = ask("POST", f"{self.url(key)}/actions", wish)
        assert said.status == 200, said.body
        self.wait(key, then)
        return said.json


def test_a_customer_signs_up_logs_in_and_out(well: Platform) -> None:
    customer = Customer(well)
    me = f"{well.urls['user']}/auth/me"
    assert ask("GET", me, token=customer.token).json["email"] == customer.email
    assert "Secure" in customer.login.headers["Set-Cookie"]
    assert ask("POST", f"{well.urls['user']}/auth/logout", token=customer.token).status == 200
    assert ask("GET", me, token=customer.token).json == {
        "error": True,
        "message": "Not authenticated",
        "status_code": 401,
    }


def test_an_instance_comes_back_from_its_backup_as_it_was_but_for_what_is_declared(
    well: Platform,
) -> None:
    customer = Customer(well)
    key = customer.instance("alpha")
    odoo = customer.status(key)["external_url"]
    assert b"Odoo of alpha" in ask("GET", f"{odoo}/").body
    ask("PUT", f"{odoo}/web/content/first", content=b"kept")
    before = ask("GET", f"{odoo}/web/database").json
    backup = customer.act(key, "backup", "running")["backup_id"]
    listed = ask("GET", f"{customer.url(key)}/backups").json["backups"]
    assert [(it["backup_id"], it["status"]) for it in listed] == [(backup, "completed")]
    ask("PUT", f"{odoo}/web/content/first", content=b"changed")
    ask("PUT", f"{odoo}/web/content/second", content=b"late")
    restore = {"action": "restore", "parameters": {"backup_id": backup}}
    assert ask("POST", f"{customer.url(key)}/actions", restore).status == 400
    customer.act(key, "stop", "stopped")
    customer.act(key, "restore", "running", backup_id=backup)
    after = ask("GET", f"{odoo}/web/database").json
    assert after["attachments"] == before["attachments"]
    assert ask("GET", f"{odoo}/web/content/first").body == b"kept"
    assert ask("GET", f"{odoo}/web/content/second").status == 404
    changed = {
        name for name, value in before["parameters"].items() if after["parameters"][name] != value
    }
    assert changed == {"database.uuid", "database.is_neutralized"}
    assert after["active_crons"] == 0


def test_a_stopped_instance_answers_no_more_and_a_started_one_does(well: Platform) -> None:
    customer = Customer(well)
    key = customer.instance("beta")
    odoo = customer.status(key)["external_url"]
    customer.act(key, "stop", "stopped")
    with pytest.raises(OSError, match="refused"):
        ask("GET", f"{odoo}/")
    assert ask("POST", f"{customer.url(key)}/actions", {"action": "stop"}).status == 400
    customer.act(key, "start", "running")
    assert ask("GET", f"{odoo}/").status == 200


def test_a_deleted_instance_and_a_deleted_customer_leave_nothing_behind(well: Platform) -> None:
    rows = "select count(*) from pg_database union all select count(*) from pg_roles"
    before = well.postgres.psql("postgres", [rows])
    customer = Customer(well)
    key = customer.instance("gamma")
    named = f"odoo_data_gamma_{key[:8]}"
    assert (well.folder / "odoo_instances" / named).is_dir()
    assert ask("DELETE", customer.url(key)).status == 200
    assert ask("GET", customer.url(key)).status == 404
    assert not (well.folder / "odoo_instances" / named).exists()
    assert well.postgres.psql("postgres", [rows]) == before
    account = f"{well.urls['user']}/users/account?confirmation=DELETE"
    assert ask("DELETE", account, token=customer.token).status == 200
    booked = f"{well.urls['billing']}/api/billing/subscriptions/{customer.id}"
    assert ask("GET", booked).json["subscriptions"] == []
    assert ask("GET", f"{well.urls['user']}/users/internal/{customer.id}").status == 404


@pytest.mark.parametrize(
    ("part", "path", "status"),
    [
        ("user", "/health", 200),
        ("user", "/health/database", 200),
        ("instance", "/health/database", 200),
        ("billing", "/api/billing/plans/", 200),
        ("database", "/api/database/admin/servers", 200),
        ("notification", "/api/v1/templates/", 200),
        ("notification", "/health", 307),
        ("frontend", "/login?next=/", 200),
        ("frontend", "/health", 200),
        ("frontend", "/none", 404),
    ],
)
def test_each_part_answers_as_on_the_real_platform(
    well: Platform, part: str, path: str, status: int
) -> None:
    answer = ask("GET", f"{well.urls[part]}{path}")
    assert (answer.status, answer.headers["X-Service-Version"]) == (status, "1.0.0")


def test_each_defect_is_seen_from_outside(ill: Platform) -> None:
    customer = Customer(ill)
    assert "Secure" not in customer.login.headers["Set-Cookie"]
    assert customer.login.headers["X-Service-Version"] is None
    redirect = ask("GET", f"{ill.urls['notification']}/health").headers["Location"]
    assert redirect == "/api/v1/health/"
    key = customer.instance("delta")
    customer.act(key, "backup", "running", name="delta_now")
    archive = ill.folder / "odoo_backups/active/delta_now_data.tar.gz"
    assert archive.stat().st_size == 0
    assert ask("DELETE", customer.url(key)).status == 200
    found = f"select count(*) from pg_database where datname = 'odoo_delta_{key[:8]}'"
    assert ill.postgres.psql("postgres", [found]) == "1"
