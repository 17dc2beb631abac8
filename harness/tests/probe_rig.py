"""What tests of probes share: a reach made of fakes, and observations as a journal keeps them."""

from __future__ import annotations

import json
from typing import Any

from harness.core.model import JSON
from harness.probes import PROBES
from harness.settings import Profile, load_profile
from harness.tests.fake_transport import FakeExternalClient, FakeFleet, FakeKube, FakeShell
from harness.transport import ExternalClient, Kube, Reach, Shell

PROFILE = load_profile("contabo")
MACHINES = ("vmi2887101", "vmi2887102", "vmi2887103")


def reach(
    shell: Shell | None = None,
    kube: Kube | None = None,
    outside: ExternalClient | None = None,
    *,
    like: Profile = PROFILE,
) -> Reach:
    return Reach(
        profile=like,
        shell=shell or FakeShell({}),
        kube=kube or FakeKube(),
        fleet=FakeFleet(),
        outside=outside or FakeExternalClient(),
    )


def observe(probe: str, ways: Reach, target: str) -> Any:
    """What a probe saw, as it looks after the journal."""
    seen: JSON = PROBES[probe].observe(ways, target)
    return json.loads(json.dumps(seen))
