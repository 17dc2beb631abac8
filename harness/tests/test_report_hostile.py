"""Names that come from a cluster, whatever is in them, are text in every report."""

from __future__ import annotations

import tempfile
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st

from harness.model import Case, Outcome, Verdict
from harness.report import draw
from harness.tests.stage import CHECKS, FakeProbe, play, require, running

HOSTILE = """<b>x</b> | [a](b) `` ` `` & " ' ]]> <!-- {{ 7 * 7 }} &lt;"""
# Without ";", at which a reason is split into lines, and without what counts as space in words.
NAMES = st.text(st.characters(exclude_characters=";"), min_size=1, max_size=40)


def named(case: Case) -> Verdict:
    """A check whose reason names every machine."""
    names = tuple(it.target for it in case.observations)
    return Verdict(outcome=Outcome.FAIL, reason=f"{names[0]} is slow", measured={}, where=names)


class Seen(HTMLParser):
    """The tags of a page, with the names of their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, tuple[str, ...]]] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, tuple(name for name, _ in attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def drawn(name: str) -> tuple[Seen, ET.Element, str]:
    """Page, JUnit and summary of a run in which a machine of this name is too slow."""
    with tempfile.TemporaryDirectory() as folder:
        probe = FakeProbe({name: 42})
        with running(Path(folder) / "run", probes=[probe]) as recorded:
            play(recorded.run, require("answers are fast enough"))
        draw(recorded.folder, {**CHECKS, "answers are fast enough": named})
        page = (recorded.folder / "report.html").read_bytes().decode()
        root = ET.parse(recorded.folder / "junit.xml").getroot()
        summary = (recorded.folder / "summary.md").read_bytes().decode()
    return Seen(page), root, summary


def test_a_hostile_name_is_shown_as_it_is() -> None:
    page, root, _ = drawn(HOSTILE)
    assert HOSTILE in page.text
    assert any(HOSTILE in str(it.get("message")) for it in root.iter("failure"))


@settings(max_examples=40)
@given(NAMES)
@example(HOSTILE.replace(";", ""))
@example("a\x00b\x1b[31mc\x85\nd\re\u202ef\ufffe")
@example("\x0b")
@example("\n")
def test_no_name_changes_what_a_report_is_made_of(name: str) -> None:
    plain, hostile = drawn("one"), drawn(name)
    assert hostile[0].tags == plain[0].tags
    assert [it.tag for it in hostile[1].iter()] == [it.tag for it in plain[1].iter()]
    assert len(hostile[2].splitlines()) == len(plain[2].splitlines())
    shown = hostile[0].text + hostile[2]
    assert not any(sign in shown for sign in "\x00\x07\x1b\x85\u202e\ufffe")
