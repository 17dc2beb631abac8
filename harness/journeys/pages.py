"""The frontend's pages as a customer has them: opened in Chromium, filled in, and read.

The browser asks the ingress for every host, whatever DNS says. A certificate is accepted if the
profile's authority signed it for the host, or as Chromium itself does.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from pydantic import JsonValue

from harness.core.errors import Garbled, NotProven, TimedOut, TransportError
from harness.core.names import Names
from harness.core.waiting import until
from harness.facts.journeys import Request, Shown
from harness.journeys import Misbehaved
from harness.journeys.request import cut
from harness.settings.journeys import Journey, PageVisit
from harness.settings.services import Ingress
from harness.transport import HTTP, HTTPS, EntryPoint, Reach
from harness.transport.browser import Page, key_option, opened

_EVERY_S = 0.2
_MOST_TOLD = 3
# A function of words that gives the visible, enabled fields (or buttons) that are called so.
_FIND = """((words, isButton) => {
  const plain = (it) => {
    const copy = it.cloneNode(true);
    for (const inner of copy.querySelectorAll("select, textarea")) inner.remove();
    return copy.textContent.replace(/\\s+/g, " ").trim();
  };
  const called = (it) => isButton
    ? [plain(it), it.value, it.ariaLabel]
    : [...[...(it.labels ?? [])].map(plain), it.placeholder, it.ariaLabel];
  const kind = isButton ? "button, a, [role=button], [type=submit]" : "input, select, textarea";
  const found = /^[#.[]/.test(words)
    ? [...document.querySelectorAll(words)]
    : [...document.querySelectorAll(kind)].filter((it) => called(it).includes(words));
  // What a script of the page does with them is known only when the page is whole.
  const isWhole = document.readyState !== "loading";
  return found.filter((it) => isWhole && it.checkVisibility() && !it.disabled);
})"""
# Through the element's own setter, and with its events: frameworks (React) see no other change.
_WRITE = """((it, value) => {
  if (value === true) {
    if (!it.checked) it.click();
    return;
  }
  const own = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(it), "value");
  own.set.call(it, value);
  for (const kind of ["input", "change"]) it.dispatchEvent(new Event(kind, {bubbles: true}));
})"""


@contextmanager
def browsing(reach: Reach, journey: Journey, names: Names) -> Iterator[Browsing | None]:
    """A browser for a journey's pages, until the body ends; None for a journey without pages.

    ConfigError if this computer has no Chromium, or cannot run it as declared.
    """
    frontend, ingress = journey.frontend, reach.profile.ingress
    if frontend is None:
        yield None
        return
    assert ingress is not None  # a profile with journeys has one
    declared = ingress.declared()
    entry = EntryPoint(declared.scheme, declared.port)
    if frontend.scheme not in (None, declared.scheme):
        entry = HTTP if frontend.scheme == "http" else HTTPS
    own = "" if entry in (HTTP, HTTPS) else f":{entry.port}"
    rules = [f"MAP * {declared.addresses[0]}{own}", *(f"EXCLUDE {it}" for it in frontend.elsewhere)]
    hosts = {names.text(it) for it in (journey.host, frontend.host)} | set(ingress.hosts)
    trusted = () if entry.scheme == "http" else _trusted(reach, ingress, entry, sorted(hosts))
    options = (f"--host-resolver-rules={', '.join(rules)}", *key_option(tuple(trusted)))
    with opened(*options, sandbox=frontend.sandbox) as page:
        yield Browsing(page, names, entry.scheme, entry.host(names.text(frontend.host)))


def _trusted(
    reach: Reach, ingress: Ingress, entry: EntryPoint, hosts: Iterable[str]
) -> Iterator[str]:
    """The certificates of these hosts that the declared authority signed; without one, none.

    Where a host shows another one, the browser reports so itself.
    """
    if ingress.authority is not None:
        signed_by, at = ingress.authority.read_text(encoding="utf-8"), str(ingress.addresses[0])
        for host in hosts:
            with suppress(TransportError):
                yield reach.outside.certificate(host, at=at, port=entry.port, authority=signed_by)


@dataclass
class Browsing:
    """A customer at the frontend's pages, so far."""

    page: Page
    names: Names
    scheme: str
    host: str
    visits: int = 0

    def shown(self) -> Shown:
        """What the pages were so far."""
        return Shown(self.page.version, self.visits, self.page.troubles)

    def visit(self, visit: PageVisit, deadline: float, note: Callable[[Request], object]) -> None:
        """Do what a visit says, and see its words; Misbehaved if they do not come in time.

        ``note`` gets what was done and seen, however that ended.
        """
        began, before = time.monotonic(), len(self.page.troubles)
        self.page.dialogs.clear()
        try:
            if visit.page is not None:
                self._open(self.names.text(visit.page), deadline)
            for name, value in visit.fill.items():
                told = value if value is True else self.names.text(value)
                self._act(name, False, f"{_WRITE}(found[0], {json.dumps(told)})", deadline)
            if visit.press is not None:
                self._press(visit, deadline)
            self._see(visit, deadline, before)
            self.visits += 1
        finally:
            took_s = round(time.monotonic() - began, 3)
            note(Request(self.words(visit), ", ".join(visit.fill), None, self._seen(), took_s))

    def words(self, visit: PageVisit) -> str:
        """What a visit is, for reports."""
        page = f"page {self.scheme}://{self.host}{visit.page or ''}"
        return page if visit.press is None else f"{page}: {visit.press}"

    def _open(self, path: str, deadline: float) -> None:
        address = f"{self.scheme}://{self.host}{path}"
        try:
            why = self.page.open(address, within_s=max(0.0, deadline - time.monotonic()))
        except TimedOut:
            # TimedOut again if it is the browser that does not answer.
            self.page.ask("Page.stopLoading")
            why = "no answer in time"
        if why:
            raise Misbehaved(f"expected the page {address}, seen {why}")

    def _press(self, visit: PageVisit, deadline: float) -> None:
        button, says = self.names.text(visit.press or ""), self.names.text(visit.says)
        # Before its button is there, a page may not have come as far as its words.
        self._act(button, True, "null", deadline)
        there = ""

        def is_read() -> bool:
            nonlocal there
            there = self._text()
            return True

        self._await(is_read, deadline, self.words(visit))
        if says in there:
            raise NotProven(f"{self.words(visit)}: “{says}” is there before: expect other words")
        self._act(button, True, "found[0].click()", deadline)

    def _act(self, words: str, is_button: bool, act: str, deadline: float) -> None:
        """Do something with the one field or button of this name, as soon as it is there."""
        find = f"{_FIND}({json.dumps(words)}, {json.dumps(is_button)})"
        do = f"if (found.length == 1) {act};"
        script = f"((found) => {{ {do} return found.length; }})({find})"
        number: JsonValue = None

        def is_done() -> bool:
            nonlocal number
            number = self.page.run(script)
            return number == 1

        try:
            self._await(is_done, deadline, words)
        except TimedOut as error:
            what = "button" if is_button else "field"
            if number:
                raise NotProven(f"{number} {what}s are called “{words}”: use a selector") from error
            raise Misbehaved(f"expected a {what} “{words}”, seen {self._seen()}") from error

    def _see(self, visit: PageVisit, deadline: float, before: int) -> None:
        says = self.names.text(visit.says)
        try:
            self._await(lambda: says in self._text(), deadline, says)
        except TimedOut as error:
            told = self.page.troubles[before:][:_MOST_TOLD]
            why = f"; the browser reports {'; '.join(told)}" if told else ""
            seen = f"expected “{says}”, seen {self._seen()}{why}"
            raise Misbehaved(f"{self.words(visit)}: {seen}") from error

    def _await(self, look: Callable[[], bool], deadline: float, what: str) -> None:
        """Look until it is so: TimedOut at the deadline, or NotProven if the last look failed.

        Looks fail for a moment while a page is being left, and always where a selector is none.
        """
        failed: Garbled | None = None

        def is_so() -> bool:
            nonlocal failed
            try:
                failed = None
                return look()
            except Garbled as error:
                failed = error
                return False

        try:
            left_s = max(0.0, deadline - time.monotonic())
            until(is_so, within_s=left_s, every_s=_EVERY_S, what=what)
        except TimedOut:
            if failed is None:
                raise
            raise NotProven(f"“{what}”: the page could not be looked at: {failed}") from failed

    def _text(self) -> str:
        """The words that a reader sees: of dialogs since the visit began, and of the page."""
        page = self.page.run("document.body?.innerText ?? ''")
        return "\n".join((*self.page.dialogs, str(page)))

    def _seen(self) -> str:
        """The begin of these words, for reports."""
        try:
            return cut(" ".join(self._text().split())) or "nothing"
        except Garbled as error:
            return f"a page that could not be looked at ({error})"
