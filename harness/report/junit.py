"""The verdict as JUnit XML: a test case for each requirement, and one for each scenario."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence

from harness.catalogue import Scenario
from harness.gate import Finding, Judged, Judgement
from harness.model import Outcome, merge

_NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(judgement: Judgement) -> bytes:
    """NOT PROVEN is an error, FAIL a failure, WAIVED and NOT APPLICABLE are skipped."""
    manifest = judgement.trail.manifest
    root = ET.Element("testsuites", name=f"cutover gate {manifest.week}")
    requirements = _suite(root, "requirements", judgement)
    for judged in judgement.judged:
        requirement = judged.requirement
        name = f"{requirement.id} {requirement.title}"
        case = _case(requirements, f"week{requirement.week:02d}", name)
        _say(case, judged.outcome, judged.reason)
    scenarios = _suite(root, "scenarios", judgement)
    findings = _by_scenario(judgement)
    for scenario in manifest.scenarios:
        case = _case(scenarios, scenario.file, f"{' '.join(scenario.requirements)} {scenario.id}")
        seen = judgement.trail.scenarios.get(scenario.id)
        case.set("time", f"{seen.took_s if seen else 0:.3f}")
        outcome, reason = _of(scenario, findings.get(scenario.id, ()), judgement.judged)
        _say(case, outcome, reason)
    for suite in root:
        _total(suite)
    ET.indent(root)
    text: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return text + b"\n"


def _suite(root: ET.Element, name: str, judgement: Judgement) -> ET.Element:
    began = judgement.trail.first.moment
    return ET.SubElement(root, "testsuite", name=name, timestamp=f"{began:%Y-%m-%dT%H:%M:%S}")


def _case(suite: ET.Element, classname: str, name: str) -> ET.Element:
    return ET.SubElement(suite, "testcase", classname=_text(classname), name=_text(name))


def _by_scenario(judgement: Judgement) -> Mapping[str, Sequence[Finding]]:
    found: dict[str, list[Finding]] = {}
    for judged in judgement.judged:
        for finding in judged.findings:
            if finding.scenario is not None:
                found.setdefault(finding.scenario, []).append(finding)
    return found


def _of(
    scenario: Scenario, findings: Sequence[Finding], judged: Sequence[Judged]
) -> tuple[Outcome, str]:
    if not findings:
        moot = [it for it in judged if it.requirement.id in scenario.requirements]
        return merge(it.outcome for it in moot), "; ".join(dict.fromkeys(it.reason for it in moot))
    outcome = merge(finding.outcome for finding in findings)
    reasons = dict.fromkeys(it.reason for it in findings if it.outcome is outcome)
    return outcome, "; ".join(reasons)


def _say(case: ET.Element, outcome: Outcome, reason: str) -> None:
    tags = {
        Outcome.FAIL: "failure",
        Outcome.NOT_PROVEN: "error",
        Outcome.WAIVED: "skipped",
        Outcome.NOT_APPLICABLE: "skipped",
    }
    if outcome is Outcome.PASS:
        return
    said = ET.SubElement(case, tags[outcome], message=_text(reason))
    if outcome is not Outcome.NOT_APPLICABLE:
        said.set("type", outcome.value)
        said.text = _text(reason)


def _total(suite: ET.Element) -> None:
    suite.set("tests", str(len(suite.findall("testcase"))))
    for attribute, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(attribute, str(len(suite.findall(f"testcase/{tag}"))))


def _text(text: str) -> str:
    return _NOT_XML.sub("�", text)
