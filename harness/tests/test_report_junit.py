"""junit.xml: what readers of it find, and that it follows their schema."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence, Set
from pathlib import Path

import pytest

from harness.report import draw
from harness.tests.reported import one_of_each
from harness.tests.stage import (
    CHECKS,
    FakeProbe,
    Recorded,
    play,
    require,
    running,
)


@pytest.fixture
def recorded(tmp_path: Path) -> Recorded:
    return one_of_each(tmp_path / "run")


def test_junit_has_a_case_for_each_requirement_and_each_scenario(recorded: Recorded) -> None:
    draw(recorded.folder, CHECKS)
    root = ET.parse(recorded.folder / "junit.xml").getroot()
    suites = {suite.get("name"): suite for suite in root}
    requirements = suites["requirements"].findall("testcase")
    assert [str(case.get("name"))[:4] for case in requirements] == ["W1-A", "W1-B", "W1-C", "W1-D"]
    tags = [[child.tag for child in case] for case in requirements]
    assert tags == [["failure"], ["error"], [], ["skipped"]]
    totals = [suites["requirements"].get(key) for key in ("tests", "failures", "errors", "skipped")]
    assert totals == ["4", "1", "1", "1"]
    assert [case.get("name") for case in suites["scenarios"].iter("testcase")] == [
        "W1-A small.feature: Slow <ones>",
        "W1-C small.feature: Others",
    ]


# Ant's schema, in which every attribute below is required, and children come in this order.
_OF_A_SUITE = {
    *("name", "package", "id", "hostname", "timestamp", "time"),
    *("tests", "failures", "errors", "skipped"),
}
_ATTRIBUTES: Mapping[str, Sequence[Set[str]]] = {
    "testsuites": [set()],
    "testsuite": [_OF_A_SUITE],
    "properties": [set()],
    "property": [{"name", "value"}],
    "testcase": [{"name", "classname", "time"}],
    "failure": [{"message", "type"}],
    "error": [{"message", "type"}],
    "skipped": [{"message", "type"}, {"message"}],
    "system-out": [set()],
    "system-err": [set()],
}
_CHILDREN = {
    "testsuites": "(testsuite )*",
    "testsuite": "properties (testcase )*system-out system-err ",
    "properties": "(property )*",
    "testcase": "((failure|error|skipped) )?",
}


def test_junit_is_valid_against_the_strictest_schema_in_use(recorded: Recorded) -> None:
    draw(recorded.folder, CHECKS)
    root = ET.parse(recorded.folder / "junit.xml").getroot()
    for element in root.iter():
        assert set(element.attrib) in _ATTRIBUTES[element.tag], element.tag
        children = "".join(f"{child.tag} " for child in element)
        assert re.fullmatch(_CHILDREN.get(element.tag, ""), children), element.tag
        for key in element.attrib.keys() & {"tests", "failures", "errors", "skipped", "id"}:
            assert element.attrib[key].isdecimal()
        assert re.fullmatch(r"\d+\.\d{3}", element.get("time", "0.000"))
    stamps = {str(suite.get("timestamp")) for suite in root}
    assert all(re.fullmatch(r"\d{4}(-\d\d){2}T\d\d(:\d\d){2}", stamp) for stamp in stamps)


def test_junit_survives_what_xml_cannot_hold(tmp_path: Path) -> None:
    probe = FakeProbe({"one": OSError("bell \x07 and \ud800")})
    with running(tmp_path / "run", probes=[probe]) as recorded:
        play(recorded.run, require("all is well"))
    draw(recorded.folder, CHECKS)
    ET.parse(recorded.folder / "junit.xml")
