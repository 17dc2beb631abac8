"""The lab's journey through the small platform's processes, behind a small ingress."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from harness.checks import CHECKS
from harness.core.model import Outcome
from harness.facts.journeys import Walk
from harness.facts.schema import dump
from harness.journeys import inventory
from harness.journeys.walk import walk
from harness.record.redaction import Redactor
from harness.settings import Profile
from harness.settings.files import SCENARIOS, read_yaml
from harness.tests.clean_case import case, clean
from harness.tests.clean_cluster import CLUSTER
from harness.tests.fake_transport import FakeKube
from harness.tests.loopback import Answer, Asked, answering
from harness.tests.platform_processes import Platform, platform
from harness.tests.probe_rig import PROFILE, reach
from harness.transport import Completed
from harness.transport.network import Network

pytestmark = pytest.mark.slow
DECLARED = read_yaml(SCENARIOS / "journeys/lab.yaml")
BROWSER = pytest.mark.skipif(shutil.which("chromium") is None, reason="there is no Chromium here")
PAGES = "the pages report no error"
# Header fields of one connection, which the small ingress gives its own.
_OF_THE_WAY = ("content-length", "connection", "transfer-encoding")
DONE, IN_TIME = "every step of the journey is done", "the instance is there in time"
GONE, REMOVED = "the deletion leaves nothing behind", "the customer is removed again"


class EmptyKube(FakeKube):
    """A cluster in which nothing is: processes make no objects."""

    def get(self, path: str, *, within_s: float = 10.0) -> object:
        return {"items": []}


class Here:
    """Every machine is this computer."""

    def run(
        self,
        machine: str,
        argv: Sequence[str],
        *,
        stdin: str = "",
        within_s: float = 30.0,
        hear: Callable[[str], None] | None = None,
    ) -> Completed:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=within_s, check=False)
        return Completed(status=done.returncode, stdout=done.stdout, stderr=done.stderr)

    def close(self) -> None:
        """Nothing is open."""


def ingress(running: Platform) -> AbstractContextManager[int]:
    """Host and prefix lead to a part, and a customer's host to its instance; the port."""

    def url_of(host: str, path: str) -> str | None:
        if host == "app.lab.example":
            return f"{running.urls['frontend']}{path}"
        if host == "api.lab.example":
            part, _, rest = path[1:].partition("/")
            return f"{running.urls[part]}/{rest}"
        found = f"select id from instances where subdomain = '{host.partition('.')[0]}'"
        key = running.postgres.psql("instance", [found])
        if not key:
            return None
        status, _, said = ask("GET", f"{running.urls['instance']}/api/v1/instances/{key}/status")
        at: str | None = json.loads(said)["external_url"] if status == 200 else None
        return None if at is None else f"{at}{path}"

    def answer(asked: Asked) -> Answer:
        url = url_of(asked.host, asked.path)
        try:
            return ask(asked.method, url or "", asked.body, dict(asked.headers))
        except OSError:
            return 502, (), b"Bad Gateway"

    return answering(answer)


def ask(method: str, url: str, body: bytes = b"", headers: dict[str, str] | None = None) -> Answer:
    """An answer; OSError without one."""
    parts = urlsplit(url)
    connection = HTTPConnection(parts.hostname or "127.0.0.1", parts.port or 1, timeout=60)
    try:
        path = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        fields = [it for it in answer.getheaders() if it[0].lower() not in _OF_THE_WAY]
        return answer.status, fields, answer.read()
    finally:
        connection.close()


def walked(
    running: Platform,
    monkeypatch: pytest.MonkeyPatch,
    redactor: Redactor | None = None,
    journey: str = "instance",
    gone_within_s: float = 60,
    signs_up_within_s: float = 60,
) -> Walk:
    """A way through a running platform, as the lab declares it."""
    monkeypatch.setattr(inventory, "server_of", lambda *_: running.postgres.server)
    backups = f"{running.folder}/odoo_backups"
    text = json.dumps(DECLARED).replace("/mnt/cephfs/volumes", backups)
    with ingress(running) as port:
        known = PROFILE.model_dump(mode="json", by_alias=True, exclude_unset=True)
        at = {"addresses": ["127.0.0.1"], "port": port, "scheme": "http", "ingress_class": "t"}
        journeys = without_objects(text, gone_within_s, signs_up_within_s)
        profile = Profile.model_validate(known | {"ingress": at, "journeys": journeys})
        ways = reach(shell=Here(), kube=EmptyKube(), outside=Network(), like=profile)
        return walk(ways, journey, str, (redactor or Redactor()).hide, lambda: None, str)


def without_objects(text: str, gone_within_s: float, signs_up_within_s: float) -> Any:
    """The declared journeys, without what only a cluster shows."""
    found = json.loads(text)
    found["leftovers"]["gone_within_s"] = gone_within_s
    for step in [*found["instance"]["steps"], *found["browser"]["steps"]]:
        step.pop("makes", None)
        within_s = {"delete": gone_within_s, "sign up": signs_up_within_s}
        step["within_s"] = within_s.get(step["does"], step["within_s"])
    return found


def judged(it: Walk, check: str) -> tuple[Outcome, str]:
    seen = clean()
    name = "instance" if it.shown is None else "browser"
    del seen["journey-instance"]
    seen[f"journey-{name}"] = {CLUSTER.name: json.loads(json.dumps(dump(it)))}
    verdict = CHECKS[check](case(seen))
    return verdict.outcome, verdict.reason


def test_a_customer_goes_the_whole_way_and_leaves_nothing_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    redactor = Redactor()
    with platform() as running:
        Path(running.folder, "odoo_backups/active").mkdir(parents=True, exist_ok=True)
        done = walked(running, monkeypatch, redactor)
        known = running.postgres.psql(
            "auth", [f"select 1 from users where email like '{done.customer}%'"]
        )
    for check in (DONE, IN_TIME, GONE, REMOVED):
        assert judged(done, check)[0] is Outcome.PASS, judged(done, check)
    assert known == ""
    assert [it.name for it in running.folder.glob("odoo_backups/active/*")] == []
    recorded = json.dumps(redactor.value(dump(done)))
    assert done.customer in recorded
    assert "-aA1" not in recorded


def test_a_platform_that_leaves_databases_and_roles_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with platform(("leave-database", "leave-role")) as running:
        Path(running.folder, "odoo_backups/active").mkdir(parents=True, exist_ok=True)
        done = walked(running, monkeypatch, gone_within_s=3)
    outcome, reason = judged(done, GONE)
    assert outcome is Outcome.FAIL
    assert "database odoo_c" in reason
    assert "role odoo_c" in reason
    assert judged(done, REMOVED)[0] is Outcome.NOT_PROVEN


@BROWSER
def test_a_customer_goes_the_whole_way_on_the_frontends_pages(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    redactor = Redactor()
    with platform() as running:
        done = walked(running, monkeypatch, redactor, "browser")
    for check in (DONE, PAGES, GONE, REMOVED):
        assert judged(done, check)[0] is Outcome.PASS, judged(done, check)
    assert done.shown is not None
    assert done.shown.visits == 5
    assert "-aA1" not in json.dumps(redactor.value(dump(done)))


@BROWSER
def test_pages_that_do_not_work_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    with platform(("script-error", "blocked-resource", "wrong-field")) as running:
        # The words never come, so all of this time is waited.
        done = walked(running, monkeypatch, journey="browser", signs_up_within_s=20)
    outcome, reason = judged(done, DONE)
    assert outcome is Outcome.FAIL
    assert "expected “Customer registered successfully”, seen" in reason
    assert "Failed: [" in reason
    outcome, reason = judged(done, PAGES)
    assert outcome is Outcome.FAIL
    for trouble in (
        "script: ReferenceError: statistics is not defined",
        "GET http://static.lab.example/style.css: status 502",
        "POST http://api.lab.example/user/auth/register: status 422",
    ):
        assert trouble in reason
    assert judged(done, REMOVED)[0] is Outcome.NOT_PROVEN
