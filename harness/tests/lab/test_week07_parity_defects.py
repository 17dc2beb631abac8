"""Seeded defects of W7-PARITY and W7-SERVICES: the new platform's services answer otherwise."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness.tests.lab.asking import ask
from harness.tests.lab.flawed import flawed
from harness.tests.lab.red import says
from harness.tests.lab.test_week05_databases import sql
from harness.tests.lab.world import World

SAME = "both platforms give the same answers"
ONCE = "each side effect is registered exactly once"
# Each in a service that the requests of the lab's profile meet.
DEFECTS = {
    "user-service": "renamed-field",
    "instance-service": "error-body",
    "billing-service": "lost-header,webhook-twice",
    "notification-service": "changed-redirect",
}
HOOKS = "delete from tenant_kvs where record_id > 1"


@pytest.fixture
def one_webhook(world: World) -> Iterator[None]:
    """KillBill calls one webhook afterwards."""
    try:
        yield
    finally:
        pod = ("exec", "--namespace=saasodoo", "deployment/killbill-db", "--")
        world.kubectl(*pod, "mariadb", "--socket=/tmp/mariadb.sock", "killbill", "-e", HOOKS)


@pytest.mark.defect(
    "both platforms give the same answers", "each side effect is registered exactly once"
)
@pytest.mark.usefixtures("one_webhook")
def test_answers_that_differ_and_a_webhook_that_is_there_twice_are_found(world: World) -> None:
    profile = world.lab.name
    for probe, check in (("parity", SAME), ("registrations", ONCE)):
        outcome, reason = ask(profile, probe, check)[check]
        assert outcome == "pass", reason

    with flawed(world, DEFECTS):
        outcome, reason = ask(profile, "parity", SAME)[SAME]
        assert outcome == "fail", reason
        for words in (
            "user: body /status",
            "missing: status: expected 404 as on the old platform, seen 200",
            "plans: header x-service-version",
            "redirect: header location",
        ):
            assert words in reason, reason
        outcome, reason = ask(profile, "registrations", ONCE)[ONCE]
    twice = "expected one entry with 'billing-service', seen 2"
    assert (outcome, twice in reason) == ("fail", True), reason


REGISTER = """
    new customer:
      method: POST
      host: api.lab.example
      path: /user/auth/register
      body: {email: "{customer}@lab.example", password: "{password}"}
      writes: true
    log in:
      method: POST
      host: api.lab.example
      path: /user/auth/login
      body: {email: "{customer}@lab.example", password: "{password}"}
      writes: true
      keep: {token: /tokens/access_token}
      removes:
        - method: DELETE
          host: api.lab.example
          path: /user/users/account?confirmation=DELETE
          headers: {Authorization: "Bearer {token}"}
  rules:
    - {requests: "new customer", at: "body /customer/id", because: each side gives its own}
    - {requests: "log in", at: "body /customer/*", because: each side gives its own}
    - {requests: "log in", at: "body /tokens/*", because: each side gives its own}
"""


def remove_customers(world: World) -> None:
    """Remove the harness's customers from both platforms: their databases must be equal again."""
    old = "docker exec $(docker ps --quiet --filter name=saasodoo_postgres) psql --host=/tmp"
    for database, gone in (
        ("auth", "delete from users where email like 'cutover-%'"),
        ("communication", "delete from email_queue where recipient like 'cutover-%'"),
    ):
        words = f'--dbname={database} --command="{gone}"'
        world.do(world.two, "sh", "-c", f"{old} --username=postgres {words}")
        sql(world, database, gone)


@pytest.mark.defect(
    "both platforms give the same answers to writes", "what the requests made is removed again"
)
def test_a_lost_header_of_a_write_and_a_customer_who_stays_are_found(world: World) -> None:
    front = "parity:\n  old: {address: 10.0.0.2, port: 8080}\n  new: {address: 10.0.0.1}\n"
    declared = f"{front}  requests:{REGISTER}"
    profile = world.profile_with([(world.section("parity"), declared)])
    with flawed(world, {"user-service": "lost-header,renamed-field"}):
        ruling = world.gate("W7-PARITY", cluster=profile, disrupt=True)
    says(ruling, "W7-PARITY", "new customer: header x-service-version: expected", "seen nothing")
    assert "could not be removed" not in ruling.reason("W7-PARITY")

    stays = declared.replace("confirmation=DELETE", "confirmation=NO")
    profile = world.profile_with([(world.section("parity"), stays)])
    try:
        ruling = world.gate("W7-PARITY", cluster=profile, disrupt=True)
    finally:
        remove_customers(world)
    says(ruling, "W7-PARITY", "could not be removed", outcome="not_proven")
