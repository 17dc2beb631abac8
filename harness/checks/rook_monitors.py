"""W3-ROOK: Rook's operator and the CSI drivers know the declared monitors, and no others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness.checks.findings import Finding, conclude, names
from harness.checks.rook_items import declared_rook, item
from harness.facts.endpoints import are_same
from harness.model import Case, RookDeclared, Verdict


def monitors_are_declared(case: Case) -> Verdict:
    """The operator's list, and those that the CSI drivers were given, wherever they read them."""
    declared = declared_rook(case)
    seen = item(case, "monitors")
    findings: list[Finding] = []
    for monitors in seen.values.values():
        if monitors is None:
            findings.append(Finding("rook-ceph-mon-endpoints", "expected it, seen none"))
            continue
        findings += _others("Rook's operator", monitors["operator"], declared)
        if monitors["csi"] is not None:
            where = "Rook's copy for the CSI drivers"
            findings += _others(where, monitors["csi"], declared)
        findings += _connection(monitors["connection"], declared)
        findings += _drivers(monitors, declared)
    return conclude(findings, seen, proven=f"the monitors are {names(declared.monitors)}")


def _others(
    where: str, listed: Sequence[str], declared: RookDeclared, at: str = ""
) -> Iterator[Finding]:
    if not are_same(listed, declared.monitors):
        text = f"expected the monitors {names(declared.monitors)}"
        yield Finding(where, f"{text}, seen {', '.join(listed) or 'none'}{at}")


def _connection(connection: Mapping[str, Any] | None, declared: RookDeclared) -> Iterator[Finding]:
    if connection is None:
        return
    where = "the CSI drivers' CephConnection"
    name = f"{declared.operator_namespace}/{connection['name']}"
    if connection["monitors"] is None:
        yield Finding(where, f"expected {name}, seen none")
    else:
        yield from _others(where, connection["monitors"], declared, f" in {name}")


def _drivers(monitors: Mapping[str, Any], declared: RookDeclared) -> Iterator[Finding]:
    """The file that the drivers read: an entry for the class's clusterID, and none is stale."""
    drivers = monitors["drivers"]
    if drivers is None:
        if monitors["connection"] is None:
            yield Finding("the CSI drivers", "expected to be given monitors, seen none")
        return
    where = f"the CSI drivers' {drivers['where']}"
    if declared.cluster_id not in [entry["id"] for entry in drivers["entries"]]:
        seen = ", ".join(entry["id"] for entry in drivers["entries"]) or "no entry at all"
        yield Finding(where, f"expected monitors for {declared.cluster_id}, seen {seen}")
    for entry in drivers["entries"]:
        yield from _others(f"{where}, {entry['id']}", entry["monitors"], declared)
