"""Claims of class cephfs while a machine is gone; W3-PVC judges them on a whole lab."""

from __future__ import annotations

import pytest

from harness.core.waiting import until
from harness.tests.lab import objects
from harness.tests.lab.world import World


@pytest.mark.long
def test_claims_are_served_while_a_machine_is_gone(world: World) -> None:
    with objects.namespace(world, "test-claims") as claims:
        world.power_off(world.two)
        try:
            claims.apply(objects.claim("meanwhile", "16Mi"))
            # Another server of CephFS takes over, and waits for the lost machine's client.
            until(
                lambda: claims.get("pvc", "meanwhile")["status"].get("phase") == "Bound",
                within_s=180,
                what="claim meanwhile is bound",
            )
        finally:
            world.power_on(world.two)
