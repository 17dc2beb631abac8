"""A soak of twenty minutes on the lab, from its command to its report."""

from __future__ import annotations

import json

import pytest

from harness.core.model import Exit
from harness.settings import ROOT
from harness.tests.lab.forked import cutover
from harness.tests.lab.world import World


@pytest.mark.long
def test_twenty_minutes_of_random_failures_lose_leak_and_slow_nothing(world: World) -> None:
    """It takes its twenty minutes, and the way back to the steady state after the last fault."""
    command = ("soak", "--for", "20m", "--seed", "7", "--allow-disruption", "--json")
    done = cutover((*command, "--cluster", world.lab.name), 2400)
    assert done.returncode == Exit.NOT_PROVEN, done.stderr
    verdict = json.loads(done.stdout)
    (soak,) = verdict["requirements"]
    # Every other check passed: only the hours are missing.
    assert soak["verdict"] == "not_proven"
    assert soak["reason"].endswith("of 8 hours were soaked"), soak["reason"]
    assert ";" not in soak["reason"]
    assert soak["measured"]["soak_hours"] >= 20 / 60
    lost = ("lost_count", "duplicated_count", "invented_count")
    assert [soak["measured"][key] for key in lost] == [0, 0, 0]
    assert "growth_percent" in soak["measured"]
    page = (ROOT / "reports" / verdict["run"] / "report.html").read_text(encoding="utf-8")
    assert "Trends of the soak, part 1" in page
