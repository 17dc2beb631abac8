"""Names that come from a cluster, whatever is in them, are text in every report."""

from __future__ import annotations

import json
import tempfile
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from allure_commons import model2, plugin_manager
from allure_commons.logger import AllureFileLogger
from hypothesis import example, given, settings
from hypothesis import strategies as st

from harness import checks
from harness.core.model import Case, Outcome, Verdict
from harness.pytest_gate import plugin
from harness.pytest_gate.allure_bridge import Printable
from harness.pytest_gate.evidence import Piece
from harness.report import draw
from harness.tests.project import GOOD, Project
from harness.tests.stage import CHECKS, FakeProbe, play, require, running

HOSTILE = """<b>x</b> | [a](b) `` ` `` & " ' ]]> <!-- {{ 7 * 7 }} &lt;"""
# They steer a terminal, turn text around, or are no characters.
SIGNS = "\x00\x07\x1b\x85\u202e\ufffe"
# Without ";", at which a reason is split into lines, and without halves of pairs: no journal holds
# one, and a probe that says one has given no answer.
NAMES = st.text(
    st.characters(exclude_characters=";", exclude_categories=["Cs"]), min_size=1, max_size=40
)


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


def shape(value: Any) -> Any:
    """A JSON value without its texts and numbers."""
    if isinstance(value, dict):
        return {key: shape(held) for key, held in value.items()}
    return [shape(it) for it in value] if isinstance(value, list) else type(value)


def written(name: str) -> Any:
    """What Allure writes of a test that failed because of a machine of this name."""
    with tempfile.TemporaryDirectory() as folder:
        plugins = (Printable(), AllureFileLogger(folder))
        for each in plugins:
            plugin_manager.register(each)
        said = model2.StatusDetails(message=f"{name} is slow", trace=name)
        step = model2.TestStepResult(name=f"Then {name}", statusDetails=said)
        result = model2.TestResult(
            name=name, steps=[step], statusDetails=model2.StatusDetails(message=name)
        )
        try:
            plugin_manager.hook.report_result(result=result)
        finally:
            for each in plugins:
                plugin_manager.unregister(each)
        (path,) = Path(folder).iterdir()
        return json.loads(path.read_bytes())


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
    assert not any(sign in shown for sign in SIGNS)


@given(st.text(st.characters(categories=["L", "P", "Zs", "Cc", "Cf", "Cs"]), min_size=1))
@example(HOSTILE)
@example("\ud800")
@example("\x1b]8;;http://x\x07here\u202e")
def test_no_name_changes_what_allure_reads_or_steers_what_shows_it(name: str) -> None:
    plain, hostile = written("one"), written(name)
    assert shape(hostile) == shape(plain)
    assert "descriptionHtml" not in hostile  # Allure shows that as markup, and all else as text
    texts = (hostile["name"], *hostile["statusDetails"].values())
    assert not any(sign in text for sign in SIGNS for text in texts)


def test_allure_shows_a_hostile_name_and_its_evidence_as_text(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"{HOSTILE}\x1b[31m\u202e"
    shown = name.replace("\x1b", "�").replace("\u202e", "�")
    monkeypatch.setattr(checks, "CHECKS", {**CHECKS, "answers are fast enough": named})
    piece = Piece(target=name, what="its log", text=name)
    monkeypatch.setattr(plugin, "collect", lambda _: [piece])
    del project.answers["two"]
    project.answers[name] = 42
    project.write(GOOD)
    gate = project.run()
    folder = gate.folder / "allure-results"
    (path,) = folder.glob("*-result.json")
    result = json.loads(path.read_text())
    assert gate.status == 1
    assert shown in result["statusDetails"]["message"]
    (log,) = [it for it in result["attachments"] if it["name"] == f"{shown}: its log"]
    assert log["type"] == "text/plain"
    assert (folder / log["source"]).read_text() == shown
    assert {it.suffix for it in folder.iterdir()} <= {".json", ".txt", ".attach"}
