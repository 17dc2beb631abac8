"""A customer at pages of a small web server, in Debian's Chromium."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any, cast

import pytest
from pydantic import JsonValue

from harness.core.errors import ConfigError, Garbled, NotProven
from harness.core.names import Names
from harness.core.waiting import until
from harness.facts.journeys import Request
from harness.journeys import Misbehaved
from harness.journeys.pages import Browsing
from harness.settings import ROOT
from harness.settings.journeys import PageVisit
from harness.tests.loopback import Answer, Asked, answering
from harness.transport.browser import command, opened, runs

HAS_CHROMIUM = pytest.mark.skipif(
    shutil.which("chromium") is None, reason="there is no Chromium here"
)
IN_TIME_S = 60.0
PAGE = """<!doctype html><title>Sign up</title>
<label for="mail">Email</label><input id="mail">
<label>Plan <select><option value="s">Small<option value="l">Large</select></label>
<label>Terms <input type="checkbox"></label>
<input placeholder="my-company">
<input aria-label="Twice"><input aria-label="Twice"><input hidden placeholder="Hidden">
<button disabled>Create <b>account</b></button><a href="#" onclick="confirm('Really?')">Leave</a>
<p id="said"></p>
<script>
const [mail, plan, terms, company] = document.querySelectorAll("input, select");
const button = document.querySelector("button");
terms.addEventListener("click", () => setTimeout(() => { button.disabled = false; }, 50));
button.addEventListener("click", async () => {
  const sent = {mail: mail.value, plan: plan.value, company: company.value};
  const answer = await fetch("/api", {method: "POST", body: JSON.stringify(sent)});
  alert(`Welcome, ${mail.value}`);
  document.getElementById("said").textContent = await answer.text();
});
</script>"""


def answer(asked: Asked) -> Answer:
    if asked.path == "/api":
        return 201, (), b"made: " + asked.body
    if asked.path == "/bad":
        return 200, (("Content-Type", "text/html"),), BAD.encode()
    html = (("Content-Type", "text/html"),)
    if asked.path == "/late":
        return 200, html, LATE.encode()
    if asked.path == "/late.js":
        SCRIPT_COMES.wait(IN_TIME_S)
        return 200, (("Content-Type", "text/javascript"),), LATE_SCRIPT
    return (200, html, PAGE.encode()) if asked.path == "/register" else (404, html, b"none")


# Its button does something once the script has come; before, it can be seen already.
LATE = """<!doctype html><button>Go</button><p></p><script src="/late.js"></script>"""
SCRIPT_COMES = Event()
LATE_SCRIPT = b"""document.querySelector("button").addEventListener("click", () => {
  document.querySelector("p").textContent = "It worked";
});"""
BAD = """<!doctype html>
<meta http-equiv="Content-Security-Policy" content="font-src 'none'">
<script src="/missing.js"></script><script>console.error("no", 7); undefined.at(0);</script><img src="http://blocked.invalid/a.png">
<style>@font-face { font-family: a; src: url(/a.woff) } p { font-family: a }</style><p>Bad page"""


@pytest.fixture(scope="module")
def customer() -> Iterator[Browsing]:
    with answering(answer) as port, opened(f"--host-resolver-rules=MAP * 127.0.0.1:{port}") as page:
        yield Browsing(page, Names(), "http", "app.example")


def visit(customer: Browsing, within_s: float = IN_TIME_S, **declared: Any) -> Request:
    noted: list[Request] = []
    deadline = time.monotonic() + within_s
    customer.visit(PageVisit.model_validate(declared), deadline, noted.append)
    (request,) = noted
    return request


SIGN_UP: dict[str, Any] = {
    "page": "/register",
    "fill": {"Email": "{customer}", "Plan": "l", "my-company": "acme", "Terms": True},
    "press": "Create account",
    "says": "made: ",
}


@HAS_CHROMIUM
@pytest.mark.slow
def test_a_form_is_filled_in_by_labels_and_sent_when_its_button_is_there(
    customer: Browsing,
) -> None:
    before = customer.visits
    request = visit(customer, **SIGN_UP)
    name = customer.names.customer
    sent = json.dumps({"mail": name, "plan": "l", "company": "acme"}, separators=(",", ":"))
    assert f"made: {sent}" in request.answer
    assert f"Welcome, {name}" in request.answer  # of a dialog, which nobody else closes
    assert request.asked == "page http://app.example/register: Create account"
    assert request.sent == "Email, Plan, my-company, Terms"
    assert (customer.visits, customer.page.troubles) == (before + 1, ())


@HAS_CHROMIUM
@pytest.mark.slow
def test_a_button_is_not_pressed_before_the_pages_scripts_are_there(customer: Browsing) -> None:
    press: dict[str, Any] = {"press": "Go", "says": "It worked"}
    visit(customer, page="/late", says="Go")
    with pytest.raises(Misbehaved, match="expected a button “Go”, seen Go"):
        visit(customer, 0.0, **press)
    SCRIPT_COMES.set()
    assert "It worked" in visit(customer, **press).answer


@HAS_CHROMIUM
@pytest.mark.slow
def test_words_of_a_dialog_count_and_the_dialog_is_answered(customer: Browsing) -> None:
    assert visit(customer, page="/register", press="Leave", says="Really?").answer


@HAS_CHROMIUM
@pytest.mark.slow
def test_what_cannot_tell_anything_is_not_proven(customer: Browsing) -> None:
    with pytest.raises(NotProven, match="“Email” is there before: expect other words"):
        visit(customer, page="/register", press="Leave", says="Email")
    with pytest.raises(NotProven, match="2 fields are called “Twice”: use a selector"):
        visit(customer, 0.0, fill={"Twice": "a"}, says="Email")
    with pytest.raises(NotProven, match=r"“#mail\[”: the page could not be looked at: .*selector"):
        visit(customer, 0.0, fill={"#mail[": "a"}, says="Email")
    with pytest.raises(NotProven, match=r"“#said”: the page could not be looked at: .*TypeError"):
        visit(customer, 0.0, fill={"#said": "a"}, says="Email")


def test_a_page_that_cannot_be_read_is_not_proven_and_its_last_words_are_told() -> None:
    """The browser refuses each look, as it does while a page is being left."""

    class Leaving:
        troubles, dialogs = (), list[str]()

        def run(self, script: str) -> JsonValue:
            raise Garbled("Cannot find context")

    customer = Browsing(cast(Any, Leaving()), Names(), "http", "app.example")
    noted: list[Request] = []
    declared = PageVisit.model_validate({"says": "Welcome"})
    with pytest.raises(NotProven, match="“Welcome”: the page could not be looked at: Cannot find"):
        customer.visit(declared, time.monotonic(), noted.append)
    (request,) = noted
    assert request.answer == "a page that could not be looked at (Cannot find context)"
    assert customer.visits == 0


@HAS_CHROMIUM
@pytest.mark.slow
@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"fill": {"Hidden": "a"}}, "expected a field “Hidden”, seen Email Plan"),
        ({"press": "Buy"}, "expected a button “Buy”, seen Email Plan"),
        ({}, "expected “Thanks”, seen Email Plan"),
    ],
)
def test_a_page_without_what_is_expected_misbehaves(
    customer: Browsing, changed: dict[str, Any], says: str
) -> None:
    visit(customer, page="/register", says="Plan")
    with pytest.raises(Misbehaved, match=says):
        visit(customer, 0.0, **{"says": "Thanks", **changed})


@HAS_CHROMIUM
@pytest.mark.slow
def test_a_page_reports_scripts_that_fail_and_what_it_did_not_get() -> None:
    rules = "--host-resolver-rules=MAP *.invalid ~NOTFOUND, MAP * 127.0.0.1:"
    with answering(answer) as port, opened(f"{rules}{port}") as page:
        at_page = Browsing(page, Names(), "http", "app.example")
        visit(at_page, page="/bad", says="Bad page")
        until(lambda: page.run("1") and len(page.troubles) > 4, within_s=IN_TIME_S, what="errors")
        told = "\n".join(page.troubles)
    for words in (
        "console: no 7",
        "script: TypeError: Cannot read properties of undefined",
        "GET http://app.example/missing.js: status 404",
        "GET http://blocked.invalid/a.png: net::ERR_NAME_NOT_RESOLVED",
        "GET http://app.example/a.woff: csp",
    ):
        assert words in told


@HAS_CHROMIUM
@pytest.mark.slow
def test_a_page_that_is_not_answered_misbehaves() -> None:
    is_over = Event()

    def nothing(_: Asked) -> Answer:
        is_over.wait(IN_TIME_S)
        return 200, (), b""

    with answering(nothing) as port, opened(f"--host-resolver-rules=MAP * 127.0.0.1:{port}") as it:
        try:
            with pytest.raises(Misbehaved, match=r"page http://app\.example/, seen no answer"):
                visit(Browsing(it, Names(), "http", "app.example"), 1.0, page="/", says="Welcome")
        finally:
            is_over.set()


_OPENS = """
import sys
from harness.transport.browser import opened
with opened() as page:
    print(page.version, flush=True)
    sys.stdin.read()
"""


@contextmanager
def a_harness() -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A process that has opened a browser, and the browser's number."""
    with subprocess.Popen(
        [sys.executable, "-c", _OPENS],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as harness:
        assert harness.stdout is not None
        assert "Chrom" in harness.stdout.readline()
        (browser,) = children_of(harness.pid)
        yield harness, browser


@HAS_CHROMIUM
@pytest.mark.slow
def test_a_browser_ends_though_its_harness_is_killed() -> None:
    with a_harness() as (harness, browser):
        harness.kill()
    until(lambda: has_ended(browser), within_s=IN_TIME_S, what="the browser has ended")


@HAS_CHROMIUM
@pytest.mark.slow
def test_a_browser_leaves_no_process_and_no_folder() -> None:
    """Its own processes end one after the other, and the last one may write to the folder."""
    with a_harness() as (harness, browser):
        words = Path(f"/proc/{browser}/cmdline").read_text().split("\0")
        (folder,) = (it.partition("=")[2] for it in words if it.startswith("--user-data-dir="))
        assert runs(browser)
        assert Path(folder).exists()
        harness.communicate("", timeout=IN_TIME_S)
    assert not runs(browser)
    assert not Path(folder).exists()


def has_ended(process: int) -> bool:
    """True if it is gone, or a zombie: not every first process of a container buries orphans."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def children_of(process: int) -> list[int]:
    told = Path(f"/proc/{process}/task/{process}/children").read_text()
    return [int(it) for it in told.split()]


def test_without_chromium_or_with_a_sandbox_for_root_it_is_said_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(ConfigError, match=r"declare `sandbox: false`"):
        command(tmp_path, sandbox=True)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(ConfigError, match=r"apt-get install chromium"):
        command(tmp_path)
