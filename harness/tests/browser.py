"""Debian's Chromium, driven over two pipes (its DevTools protocol): what a page is to a reader."""

from __future__ import annotations

import fcntl
import json
import os
import select
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harness.core.errors import TimedOut
from harness.core.waiting import until
from harness.report.page import CHROMIUM_OPTIONS, browser

_WITHIN_S = 60.0
_HEIGHT = 900


class Page:
    """The one page of a browser; what cannot be done within a minute raises TimedOut."""

    def __init__(self, to_browser: int, from_browser: int) -> None:
        self._to, self._from = to_browser, from_browser
        self._unread = b""
        self._asked = 0
        self._session: str | None = None
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        attached = self.ask("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]

    def ask(self, method: str, **parameters: Any) -> Any:
        """One command of the protocol, and what came back; events meanwhile are passed over."""
        self._asked += 1
        question: dict[str, Any] = {"id": self._asked, "method": method, "params": parameters}
        if self._session is not None:
            question["sessionId"] = self._session
        left = json.dumps(question).encode() + b"\0"
        while left:
            left = left[os.write(self._to, left) :]
        deadline = time.monotonic() + _WITHIN_S
        while True:
            answer = self._next(method, deadline)
            if answer.get("id") == self._asked:
                assert "error" not in answer, answer["error"]
                return answer["result"]

    def _next(self, method: str, deadline: float) -> Any:
        while b"\0" not in self._unread:
            ready, _, _ = select.select([self._from], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise TimedOut(f"{method} was not answered within {_WITHIN_S:g} s")
            read = os.read(self._from, 1 << 20)
            assert read, "the browser has ended"
            self._unread += read
        message, _, self._unread = self._unread.partition(b"\0")
        return json.loads(message)

    def run(self, script: str) -> Any:
        """The value of an expression on the page, or of what it promises."""
        done = self.ask(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in done, done["exceptionDetails"]
        return done["result"].get("value")

    def open(self, file: Path, *, width: int, dark: bool = False, paper: bool = False) -> None:
        """Show a file in a window so many pixels wide, and wait until it is all there."""
        size = {"width": width, "height": _HEIGHT, "deviceScaleFactor": 1, "mobile": False}
        self.ask("Emulation.setDeviceMetricsOverride", **size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        media = "print" if paper else "screen"
        self.ask("Emulation.setEmulatedMedia", media=media, features=[scheme])
        address = file.resolve().as_uri()
        self.ask("Page.navigate", url=address)
        there = f"document.readyState == 'complete' && location.href == {json.dumps(address)}"
        until(lambda: self.run(there), what=f"{file.name} open", within_s=_WITHIN_S, every_s=0.02)


@contextmanager
def opened() -> Iterator[Page]:
    """A browser with one page, and its end; ConfigError where there is none."""
    program = browser()
    ours, theirs = os.pipe(), os.pipe()
    # Out of the way of 3 and 4, which is where the browser looks for its ends.
    ends = [fcntl.fcntl(it, fcntl.F_DUPFD, 10) for it in (ours[0], theirs[1])]
    os.close(ours[0])
    os.close(theirs[1])
    with tempfile.TemporaryDirectory(prefix="cutover-", ignore_cleanup_errors=True) as profile:
        # Without a window of its own: that one, when it comes late, takes the page's renderer away.
        own = ("--no-startup-window", "--remote-debugging-pipe", f"--user-data-dir={profile}")
        command = [program, *CHROMIUM_OPTIONS, *own]
        pipes = f'exec "$@" 3<&{ends[0]} 4>&{ends[1]}'
        with subprocess.Popen(
            ["bash", "-c", pipes, "-", *command], pass_fds=ends, stderr=subprocess.DEVNULL
        ) as process:
            for end in ends:
                os.close(end)
            try:
                yield Page(ours[1], theirs[0])
            finally:
                process.kill()
                os.close(ours[1])
                os.close(theirs[0])
