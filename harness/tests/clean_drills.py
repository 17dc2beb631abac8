"""A drill that went as it should, as it is observed."""

from __future__ import annotations

from typing import Any

from harness.tests.clean_cluster import NAMES

DRILL = "lose-machine"


def fault(machine: str) -> dict[str, Any]:
    return {
        "fault": "power-off",
        "target": machine,
        "aborted": None,
        "inject_s": 0.8,
        "seen_s": 1.2,
        "noticed": {"ceph": 22.0, "kubernetes": 45.5},
        "heal_s": 4.2,
        "gone_s": 21.0,
    }


def run(machine: str) -> dict[str, Any]:
    return {
        "machine": machine,
        "before": [],
        "faults": [fault(machine)],
        "steady_s": 41.0,
        "whole_s": 33.0,
        "after": [],
        "seconds": 150.2,
    }


def seen() -> dict[str, dict[str, Any]]:
    """What the probe would be, if a drill were one: drill → value."""
    return {
        "drills": {
            DRILL: {
                "drill": DRILL,
                "title": "A machine loses its power",
                "targets": {
                    "lost_count": ["=", 0],
                    "outage_s": ["≤", 90],
                    "noticed_by_ceph_s": ["≤", 60],
                    "noticed_by_kubernetes_s": ["≤", 90],
                    "steady_again_s": ["≤", 300],
                },
                "runs": [run(name) for name in NAMES],
            }
        }
    }
