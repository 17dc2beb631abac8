"""Ask one probe and some checks about the lab, without a whole gate.

Runs in its own process, since it enters the lab's network and stays there.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

from harness.checks import CHECKS
from harness.core.model import Case
from harness.drill.steady import all_numbers
from harness.probes import PROBES
from harness.probes.probe import observe
from harness.settings import load_gates, load_profile
from harness.tests.lab.forked import forked
from harness.transport import connect


def ask(profile: str, probe: str, *checks: str) -> dict[str, tuple[str, str]]:
    """Outcome and reason of each check, after one look of a probe."""
    done = forked(main, [profile, probe, *checks], 180)
    assert done.returncode == 0, done.stderr
    found: dict[str, list[str]] = json.loads(done.stdout)
    return {check: (outcome, reason) for check, (outcome, reason) in found.items()}


def main(arguments: Sequence[str]) -> None:
    name, probe, *checks = arguments
    profile = load_profile(name)
    with connect(profile) as reach:
        observations = observe([PROBES[probe]], reach)
    targets = all_numbers(load_gates(), profile)
    case = Case(cluster=profile.cluster(), targets=targets, observations=observations)
    verdicts = {check: CHECKS[check](case) for check in checks}
    sys.stdout.write(json.dumps({name: (it.outcome, it.reason) for name, it in verdicts.items()}))
