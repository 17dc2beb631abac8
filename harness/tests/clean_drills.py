"""A drill that went as it should, as it is observed."""

from __future__ import annotations

from itertools import permutations
from typing import Any

from harness.tests.clean_cluster import NAMES

DRILL = "lose-machine"
PART = "part 1"


def fault(machine: str) -> dict[str, Any]:
    return {
        "fault": "power-off",
        "target": machine,
        "aborted": None,
        "at_once": True,
        "inject_s": 0.8,
        "seen_s": 1.2,
        "held_s": 97.0,
        "noticed": {"ceph": 22.0, "kubernetes": 45.5},
        "heal_s": 4.2,
        "gone_s": 21.0,
        "bystanders": {"took_s": 12.0, "failed": [], "unknown": []},
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
        "load": load("before", "during", "healing", "again"),
    }


def load(*phases: str) -> dict[str, Any]:
    """A load of a thousand requests a phase, of which one in a hundred failed."""
    seen = {
        "planned": 1000,
        "on_time": 1000,
        "answered": 990,
        "failed": 10,
        "errors": {"timed out": 7, "status 502": 3},
        "p50_ms": 12.0,
        "p99_ms": 340.0,
    }
    return {"phases": {phase: dict(seen) for phase in phases}, "troubles": []}


def seen() -> dict[str, dict[str, Any]]:
    """What the probe would be, if a drill were one: drill → value."""
    return {
        "drills": {
            DRILL: {
                "drill": DRILL,
                "title": "A machine loses its power",
                "load": "ingress",
                "targets": {
                    "lost_count": ["=", 0],
                    "outage_s": ["≤", 90],
                    "noticed_by_ceph_s": ["≤", 60],
                    "noticed_by_kubernetes_s": ["≤", 90],
                    "bystanders_recovered_s": ["≤", 75],
                    "failed_percent": ["≤", 25],
                    "again_p99_ms": ["≤", 1000],
                    "steady_again_s": ["≤", 300],
                    "whole_again_s": ["≤", 300],
                },
                "during": ["Swarm services answer"],
                "runs": [{**run(name), "claims": claims()} for name in NAMES],
            }
        },
        "soak": {PART: soak()},
    }


def claims() -> dict[str, Any]:
    """Every machine wrote its 65 blocks until it was told to stop, and each other one read them."""
    written = {"generations": [300] * 65, "writes": 300, "slowest_s": 2.5, "told": True}
    read = {"value": {"right": 65, "wrong": 0, "first": []}}
    pairs = [f"{one} → {other}" for one, other in permutations(NAMES, 2)]
    return {
        "written": {name: {"value": dict(written)} for name in NAMES},
        "read": dict.fromkeys(pairs, read),
    }


def soak() -> dict[str, Any]:
    """Eight hours in which nothing was lost, leaked or slower."""
    turns = [{"number": n, "at_s": 300.0 * n, **run(name)} for n, name in enumerate(NAMES, 1)]
    return {
        "wanted_s": 28800.0,
        "lasted_s": 28801.0,
        "ended": None,
        "turns": turns,
        "footprints": [{"at_s": at, "seen": footprint()} for at in (0.0, 14400.0, 28800.0)],
        "load": load("all"),
        "latency_ms": [{"postgres": 12.0, "cephfs": 8.0} for _ in range(4)],
        "grows_percent": 25,
        "refused_percent": 20,
        "slower_ratio": 1.5,
    }


def footprint() -> dict[str, Any]:
    machine = {"processes": 200, "files": 4000, "mounts": 90, "memory_mib": 900}
    return {
        **{name: {**machine, "available_mib": 3000} for name in NAMES},
        "API": {"pods": 40, "claims": 3, "volumes": 3, "services": 6},
    }
