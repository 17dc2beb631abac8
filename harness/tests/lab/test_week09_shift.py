"""Traffic moves over the old platform's own Traefik, and comes back, also without the harness."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor

from harness.core.model import Exit
from harness.core.waiting import until
from harness.settings import ROOT
from harness.tests.lab.forked import cutover
from harness.tests.lab.shifting import AGREES, QUICK, sides
from harness.tests.lab.world import World

# The lease of the way back is 30 s, and Traefik follows within a few.
_BACK_S = 90.0
LEDGERS = "--selector=app.kubernetes.io/managed-by=cutover"


def test_a_rehearsal_moves_all_traffic_and_brings_it_back(world: World) -> None:
    with sides(world, most=10**6) as moving:
        profile = moving.profile()
        ruling = world.gate("W9-SHIFT", "W9-ROLLBACK", cluster=profile, disrupt=True, within_s=900)
        assert ruling.outcome("W9-SHIFT") == "pass", ruling.reason("W9-SHIFT")
        assert ruling.outcome("W9-ROLLBACK") == "pass", ruling.reason("W9-ROLLBACK")
        assert moving.share == 0
        moved = moving.moved(ruling)
        assert [it["from_share"] for it in moved["returns"]] == [100, 50, 10]
        assert moved["sessions"]["lost"] == {}


def test_a_harness_killed_in_mid_shift_leaves_the_last_safe_share(world: World) -> None:
    """The next harness comes at once: the share is back before it has the Lease of the killed one.

    Nor does it find anything armed then.
    """
    with sides(world, most=10**6) as moving, ThreadPoolExecutor(1) as beside:
        profile = moving.profile(ledger=QUICK)
        command = [str(ROOT / "cutover"), "shift", "--cluster", profile]
        with subprocess.Popen(
            [*command, *AGREES, "--allow-disruption"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        ) as process:
            try:
                until(lambda: moving.share == 50, within_s=400, what="the share is 50 %")
            finally:
                os.killpg(process.pid, signal.SIGKILL)
        # `heal` would first watch for 45 s whether this namespace is in use: see test_killed.
        world.kubectl("delete", "namespace", "--wait=false", LEDGERS)
        back = beside.submit(
            until, lambda: moving.share == 10, within_s=_BACK_S, what="the share is 10 % again"
        )
        assert moving.shift("--to", "0", ledger=QUICK).status == Exit.GO
        assert back.result()
        assert moving.share == 0
        # Its writes are still there, and their names in its record.
        healed = json.loads(cutover(["heal", "--json", "--cluster", profile], 300).stdout)
        writes = [it for it in healed["mended"] if it["made"].startswith("writes of")]
        assert [it["trouble"] for it in writes] == [None], healed
