"""The pod network that a lab's profile selects."""

from __future__ import annotations

import json
from ipaddress import ip_network
from pathlib import Path

from harness.core.waiting import until
from harness.lab import cilium
from harness.lab.kubernetes import objects
from harness.lab.machines import enter
from harness.lab.shape import Lab
from harness.lab.stages import Stage


def stages(lab: Lab) -> list[Stage]:
    """The stages that bring the pod network up; the last is called "pod network"."""
    if lab.shape.network == "cilium":
        return cilium.stages(lab)
    log = lab.logs / "pod-network.log"
    return [Stage("pod network", lambda: bridge(lab, log), 5, ("other control planes",))]


def bridge(lab: Lab, log: Path) -> None:
    """A plain bridge on every machine, and routes to the others' pods that survive a reboot."""
    ranges: dict[str, str] = {}

    def assigned() -> bool:
        for item in objects(lab, "nodes", log=log):
            if "podCIDR" in item["spec"]:
                ranges[item["metadata"]["name"]] = item["spec"]["podCIDR"]
        return set(ranges) == {node.name for node in lab.nodes}

    until(assigned, within_s=60, what="every machine has its range of pod addresses")
    for node in lab.nodes:
        conflist = node.root / "etc/cni/net.d/10-bridge.conflist"
        conflist.write_text(json.dumps(_conflist(ranges[node.name]), indent=1))
        routes = "".join(
            f"\n[Route]\nDestination={ranges[other.name]}\nGateway={other.address}\n"
            for other in lab.nodes
            if other is not node
        )
        dropin = node.root / "etc/systemd/network/10-host0.network.d/pods.conf"
        dropin.parent.mkdir(exist_ok=True)
        dropin.write_text(routes.lstrip())
        enter(lab, node, ["networkctl", "reload"], log=log)


def _conflist(pods: str) -> dict[str, object]:
    assert ip_network(pods)
    return {
        "cniVersion": "1.0.0",
        "name": "lab",
        "plugins": [
            {
                "type": "bridge",
                "bridge": "cni0",
                "isGateway": True,
                "ipMasq": False,
                "hairpinMode": True,
                "ipam": {
                    "type": "host-local",
                    "ranges": [[{"subnet": pods}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                    # In memory: a machine that lost power has no pods left.
                    "dataDir": "/run/cni/networks",
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": True}},
        ],
    }
