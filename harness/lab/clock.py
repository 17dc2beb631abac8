"""The clock that the lab's machines follow: chronyd on the bridge, serving this host's time.

The kernel's clock is the host's, and no machine sets it: every chronyd of the lab runs with ``-x``.
"""

from __future__ import annotations

from pathlib import Path

from harness.lab import builds, cgroups
from harness.lab.host import joining, launch
from harness.lab.network import inside
from harness.lab.shape import Lab


def group(lab: Lab) -> str:
    return f"{lab.label}/clock"


def up(lab: Lab, log: Path) -> None:
    """Start the clock; a running one stays."""
    if cgroups.pids(group(lab)):
        return
    network = lab.shape.address.network
    directives = ["local stratum 3", f"allow {network}", "cmdport 0"]
    command = [
        *inside(lab),
        "systemd-nspawn",
        "--quiet",
        f"--directory={builds.system('machine', '').path}",
        "--volatile=overlay",
        "--register=no",
        "--keep-unit",
        "--settings=no",
        "--timezone=off",
        "--resolv-conf=off",
        f"--network-namespace-path=/run/netns/{lab.label}",
        f"--machine=clock-{lab.name}",
        "--",
        "/usr/sbin/chronyd",
        "-n",
        "-x",
        *directives,
    ]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as sink:
        launch(joining(cgroups.make(group(lab)), command), sink)
