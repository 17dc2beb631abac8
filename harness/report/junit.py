"""The verdict as JUnit XML: a test case for each requirement, and one for each scenario."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence

from harness.core.model import Outcome, merge
from harness.gate import Ground, Judged, Judgement
from harness.pytest_gate.catalogue import Scenario

_NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(judgement: Judgement) -> bytes:
    """NOT PROVEN is an error, FAIL a failure, WAIVED and NOT APPLICABLE are skipped.

    Valid against Ant's JUnit schema, the strictest in use, and against Jenkins's.
    """
    manifest, seen = judgement.run_state.manifest, judgement.run_state.scenarios
    root = ET.Element("testsuites")
    requirements = _suite(root, "requirements", judgement)
    for judged in judgement.judged:
        requirement = judged.requirement
        proving = [seen[it.id] for it in manifest.proving(requirement.id) if it.id in seen]
        name = f"{requirement.id} {requirement.title}"
        took_s = sum(scenario.took_s for scenario in proving)
        case = _case(requirements, f"week{requirement.week:02d}", name, took_s)
        _say(case, judged.outcome, judged.reason)
    scenarios = _suite(root, "scenarios", judgement)
    findings = _by_scenario(judgement)
    for scenario in manifest.scenarios:
        name = f"{' '.join(scenario.requirements)} {scenario.id}"
        took_s = seen[scenario.id].took_s if scenario.id in seen else 0.0
        case = _case(scenarios, scenario.file, name, took_s)
        outcome, reason = _of(scenario, findings.get(scenario.id, ()), judgement.judged)
        _say(case, outcome, reason)
    for suite in root:
        _finish(suite)
    ET.indent(root)
    text: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return text + b"\n"


def _suite(root: ET.Element, name: str, judgement: Judgement) -> ET.Element:
    manifest = judgement.run_state.manifest
    suite = ET.SubElement(
        root,
        "testsuite",
        name=name,
        package=f"week{manifest.week:02d}",
        id=str(len(root)),
        hostname=_text(manifest.cluster.name),
        timestamp=f"{judgement.run_state.first.moment:%Y-%m-%dT%H:%M:%S}",
    )
    properties = ET.SubElement(suite, "properties")
    for key, value in (
        ("run", manifest.run),
        ("commit", manifest.commit),
        ("decision", judgement.decision.value),
    ):
        ET.SubElement(properties, "property", name=key, value=_text(value))
    return suite


def _case(suite: ET.Element, classname: str, name: str, took_s: float) -> ET.Element:
    return ET.SubElement(
        suite, "testcase", classname=_text(classname), name=_text(name), time=f"{took_s:.3f}"
    )


def _by_scenario(judgement: Judgement) -> Mapping[str, Sequence[Ground]]:
    found: dict[str, list[Ground]] = {}
    for judged in judgement.judged:
        for finding in judged.findings:
            if finding.scenario is not None:
                found.setdefault(finding.scenario, []).append(finding)
    return found


def _of(
    scenario: Scenario, findings: Sequence[Ground], judged: Sequence[Judged]
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


def _finish(suite: ET.Element) -> None:
    """Add the totals, and the empty outputs that the schema requires."""
    cases = suite.findall("testcase")
    suite.set("tests", str(len(cases)))
    for attribute, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(attribute, str(len(suite.findall(f"testcase/{tag}"))))
    suite.set("time", f"{sum(float(case.get('time', 0)) for case in cases):.3f}")
    for output in ("system-out", "system-err"):
        ET.SubElement(suite, output)


def _text(text: str) -> str:
    return _NOT_XML.sub("�", text)
