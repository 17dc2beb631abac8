"""Debian's Chromium, driven over two pipes by its DevTools protocol: one page, and what it reports.

The browser is the harness's own process: it is in the same network, has a profile folder of its
own, and ends with the body of ``opened``, however that ends.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pydantic import JsonValue

from harness.core.errors import ConfigError, Garbled, TimedOut, Unreachable
from harness.core.waiting import until
from harness.transport.objects import Object, count, flag, listed, must, part, text

_PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
_OPTIONS = (
    *("--headless", "--disable-gpu", "--disable-quic", "--no-first-run", "--no-proxy-server"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--disable-dev-shm-usage", "--no-pdf-header-footer"),
)
_WITHIN_S = 60.0
# A page that polls reports the same error again and again, and one in a loop any number of others.
_MOST_TROUBLES = 50
_FAILED = 400
# Chromium asks for it by itself; no customer misses it.
_ICON = "/favicon.ico"


def program() -> str:
    """The Chromium of this computer; ConfigError if it has none."""
    found = next(filter(None, map(shutil.which, _PROGRAMS)), None)
    if found is None:
        raise ConfigError(
            "there is no Chromium on this computer",
            remedy="on Debian 12: apt-get install chromium",
        )
    return found


def command(profile: Path | str, *options: str, sandbox: bool = False) -> list[str]:
    """Chromium's command line, with a folder for its profile; ConfigError if it cannot run so."""
    if sandbox and os.geteuid() == 0:
        raise ConfigError(
            "Chromium's sandbox does not work for root",
            remedy="run the harness as another user, or declare `sandbox: false`",
        )
    own = () if sandbox else ("--no-sandbox",)
    return [program(), *_OPTIONS, *own, f"--user-data-dir={profile}", *options]


def key_option(certificates: Sequence[str]) -> tuple[str, ...]:
    """The option to trust these certificates (PEM), by any authority, and no others."""
    hashes = [_key_hash(it) for it in certificates]
    return (f"--ignore-certificate-errors-spki-list={','.join(hashes)}",) if hashes else ()


def _key_hash(certificate: str) -> str:
    key = x509.load_pem_x509_certificate(certificate.encode()).public_key()
    told = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(told).digest()).decode()


class Page:
    """The one page of a browser, and what it reports.

    ``troubles`` are errors of scripts and of the console, and requests that failed, each once.
    ``dialogs`` are the words of dialogs (alert, confirm), which are answered with OK at once.

    What is not done within a minute raises TimedOut; a browser that has ended, Unreachable; a
    command that it refuses, such as a script on a page that is being left, Garbled.
    """

    def __init__(self, to_browser: int, from_browser: int) -> None:
        self._to, self._from = to_browser, from_browser
        self._unread = b""
        self._asked = 0
        self._session: str | None = None
        self._requests: dict[str, str] = {}
        self._troubles: dict[str, None] = {}
        self.dialogs: list[str] = []
        self.version = must(self.ask("Browser.getVersion"), "product")
        target = must(self.ask("Target.createTarget", url="about:blank"), "targetId")
        attached = self.ask("Target.attachToTarget", targetId=target, flatten=True)
        self._session = must(attached, "sessionId")
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")

    @property
    def troubles(self) -> tuple[str, ...]:
        """What the page has reported so far, in order."""
        return tuple(self._troubles)

    def ask(self, method: str, **parameters: JsonValue) -> Object:
        """One command of the protocol, and what came back; events meanwhile are noted."""
        return self._answer(method, parameters, _WITHIN_S)

    def _answer(self, method: str, parameters: Mapping[str, JsonValue], within_s: float) -> Object:
        asked = self._send(method, parameters)
        deadline = time.monotonic() + within_s
        while True:
            message = self._next(method, deadline)
            if "method" in message:
                self._hear(must(message, "method"), part(message, "params"))
            elif count(message, "id") == asked:
                if "error" in message:
                    raise Garbled(f"{method}: {text(message, 'error', 'message')}")
                return part(message, "result")

    def _send(self, method: str, parameters: Mapping[str, JsonValue]) -> int:
        self._asked += 1
        session = {} if self._session is None else {"sessionId": self._session}
        question = {"id": self._asked, "method": method, "params": parameters, **session}
        left = json.dumps(question).encode() + b"\0"
        try:
            while left:
                left = left[os.write(self._to, left) :]
        except BrokenPipeError as error:
            raise Unreachable("the browser has ended") from error
        return self._asked

    def _next(self, method: str, deadline: float) -> Object:
        late = TimedOut(f"the browser: {method} was not answered in time")
        if time.monotonic() > deadline:  # events may come without end
            raise late
        while b"\0" not in self._unread:
            ready, _, _ = select.select([self._from], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise late
            read = os.read(self._from, 1 << 20)
            if not read:
                raise Unreachable("the browser has ended")
            self._unread += read
        message, _, self._unread = self._unread.partition(b"\0")
        return part(json.loads(message))

    def _hear(self, event: str, told: Object) -> None:
        """Note an event; answer a dialog, which would hold up every script."""
        if event == "Page.javascriptDialogOpening":
            self.dialogs.append(text(told, "message") or "")
            self._send("Page.handleJavaScriptDialog", {"accept": True})
        elif event == "Network.requestWillBeSent":
            words = f"{must(told, 'request', 'method')} {must(told, 'request', 'url')}"
            self._requests[must(told, "requestId")] = words
        elif len(self._troubles) < _MOST_TROUBLES and (words := self._trouble(event, told)):
            self._troubles[words] = None

    def _trouble(self, event: str, told: Object) -> str:
        """The words of an event that is an error; empty for another."""
        match event:
            case "Runtime.exceptionThrown":
                details = part(told, "exceptionDetails")
                says = text(details, "exception", "description") or text(details, "text") or ""
                line = count(details, "lineNumber") + 1
                return f"script: {says.partition(chr(10))[0]} ({text(details, 'url')}:{line})"
            case "Runtime.consoleAPICalled" if text(told, "type") in ("error", "assert"):
                parts = [it.get("value", it.get("description")) for it in map(part, _args(told))]
                return f"console: {' '.join(map(str, parts))}"
            # Failed requests are in this log too, and told below.
            case "Log.entryAdded" if text(told, "entry", "level") == "error":
                entry = part(told, "entry")
                is_told = text(entry, "source") == "network"
                return "" if is_told else f"{text(entry, 'source')}: {text(entry, 'text')}"
            case "Network.responseReceived" if count(told, "response", "status") >= _FAILED:
                return self._failed(told, f"status {count(told, 'response', 'status')}")
            case "Network.loadingFailed" if not flag(told, "canceled"):
                blocked = text(told, "blockedReason") or text(told, "corsErrorStatus", "corsError")
                return self._failed(told, blocked or text(told, "errorText") or "no answer")
        return ""

    def _failed(self, told: Object, why: str) -> str:
        request = self._requests.get(must(told, "requestId"), "a request")
        return "" if request.endswith(_ICON) else f"{request}: {why}"

    def run(self, script: str) -> JsonValue:
        """The value of an expression on the page, or of what it promises."""
        done = self.ask(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        if "exceptionDetails" in done:
            says = text(done, "exceptionDetails", "exception", "description")
            raise Garbled(f"a script on the page: {says}")
        value: JsonValue = json.loads(json.dumps(part(done, "result").get("value")))
        return value

    def open(self, address: str, *, within_s: float = _WITHIN_S) -> str:
        """Go to an address; why it cannot be shown, or nothing as soon as its page begins.

        TimedOut if neither comes in time.
        """
        return text(self._answer("Page.navigate", {"url": address}, within_s), "errorText") or ""


def _args(told: Object) -> Sequence[object]:
    return listed(told, "args")


@contextmanager
def opened(*options: str, sandbox: bool = False) -> Iterator[Page]:
    """A browser with one page, and its end; ConfigError if it cannot be started so."""
    with tempfile.TemporaryDirectory(prefix="cutover-", ignore_cleanup_errors=True) as profile:
        # Without a window of its own: that one, when it comes late, takes the page's renderer away.
        own = ("--no-startup-window", "--remote-debugging-pipe")
        whole = command(profile, *own, *options, sandbox=sandbox)
        ours, theirs = os.pipe(), os.pipe()
        # Out of the way of 3 and 4, which is where the browser looks for its ends.
        ends = [fcntl.fcntl(it, fcntl.F_DUPFD, 10) for it in (ours[0], theirs[1])]
        os.close(ours[0])
        os.close(theirs[1])
        pipes = f'exec "$@" 3<&{ends[0]} 4>&{ends[1]}'
        # In a session of its own: Ctrl-C is for the harness, which then ends the browser.
        with subprocess.Popen(
            ["bash", "-c", pipes, "-", *whole],
            pass_fds=ends,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        ) as process:
            for end in ends:
                os.close(end)
            try:
                yield Page(ours[1], theirs[0])
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                os.close(ours[1])
                os.close(theirs[0])
                # The last one to end may write to the profile, which holds a customer's session.
                with suppress(TimedOut):
                    until(
                        lambda: not runs(process.pid),
                        within_s=_WITHIN_S,
                        every_s=0.05,
                        what="the browser's end",
                    )


def runs(group: int) -> bool:
    """True if a process of this group runs; a zombie does not."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended meanwhile
            state, _, its_group = stat.read_text("utf-8", "replace").rpartition(")")[2].split()[:3]
            if int(its_group) == group and state != "Z":
                return True
    return False
