"""The DevTools protocol over pipes, without a browser: deadlines."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from harness.core.errors import TimedOut
from harness.core.parallel import begin
from harness.transport import browser
from harness.transport.browser import Page

ANSWER = {"product": "Chromium", "targetId": "t", "sessionId": "s"}
EVENT = {"method": "Runtime.consoleAPICalled", "params": {"type": "log", "args": []}}


def _answer(asked: int, said: int) -> None:
    """A browser that answers every command, until the pipe of the commands ends."""
    with open(asked, "rb", buffering=0) as questions, open(said, "wb", buffering=0) as answers:
        unread = b""
        while read := questions.read(65536):
            *whole, unread = (unread + read).split(b"\0")
            for question in map(json.loads, whole):
                answer = {"id": question["id"], "result": ANSWER}
                answers.write(json.dumps(answer).encode() + b"\0")


@pytest.fixture
def page() -> Iterator[Page]:
    (asked, to_browser), (from_browser, said) = os.pipe(), os.pipe()
    answering = threading.Thread(target=_answer, args=(asked, said), daemon=True)
    answering.start()
    yield Page(to_browser, from_browser)
    os.close(to_browser)
    answering.join(10)
    os.close(from_browser)


def test_a_page_that_logs_without_end_does_not_hold_up_the_deadline(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its events come faster than they are read, so that there always is one."""
    event = json.dumps(EVENT).encode() + b"\0"
    endless = SimpleNamespace(read=lambda *_: event, write=os.write)
    monkeypatch.setattr(browser, "os", endless)
    monkeypatch.setattr(browser, "select", SimpleNamespace(select=lambda *_: ([0], [], [])))
    call = begin(lambda: page.open("http://shop.example", within_s=0.3))
    with pytest.raises(TimedOut, match=r"Page\.navigate was not answered in time"):
        call.result(timeout=5)
