"""What stands of a cluster right now, as far as the budget counts it. Read only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from harness.errors import NotProven
from harness.faults.budget import Pool, Standing
from harness.model import Machine
from harness.probes import pods
from harness.probes.ceph import Ceph
from harness.transport import Reach

_ETCD_S = 5.0


def standing(reach: Reach) -> Standing:
    """Ask the API, every server and Ceph. NotProven for what did not answer: then nothing may be
    broken, because nobody knows what still holds."""
    cluster = reach.profile.cluster()
    machines = tuple(machine.name for machine in cluster.machines)
    listed = reach.kube.get("/api/v1/nodes")["items"]
    ready = {it["metadata"]["name"] for it in listed if _is_ready(it)}
    servers = {server.name: server for server in cluster.servers}
    etcd = pods.in_each(servers, lambda name: _etcd_is_well(reach, servers[name]))
    return Standing(
        machines=machines,
        ready=frozenset(ready & set(machines)),
        etcd=tuple(servers),
        etcd_well=frozenset(name for name, well in etcd.items() if well is True),
        **(_ceph(reach) if reach.profile.disks is not None else {}),
    )


def _is_ready(node: Mapping[str, Any]) -> bool:
    conditions: Iterable[Mapping[str, str]] = node["status"].get("conditions", ())
    return any(it["type"] == "Ready" and it["status"] == "True" for it in conditions)


def _etcd_is_well(reach: Reach, server: Machine) -> bool:
    """Whether the API server there reaches its member of etcd, and that member its majority."""
    url = f"https://{server.address}:{reach.profile.kubernetes.api_port}/readyz/etcd"
    return reach.kube.ask(url, within_s=_ETCD_S).status == 200


def _ceph(reach: Reach) -> dict[str, Any]:
    seen: Any = Ceph().observe(reach, reach.profile.name)
    items: Mapping[str, Any] = seen["items"]
    quorum, tree = _value(items, "quorum"), _value(items, "osd tree")
    pools, groups = _value(items, "osd map"), _value(items, "placement groups")
    osds = [(host, osd) for host, each in tree["hosts"].items() for osd in each]
    return {
        "monitors": tuple(quorum["monitors"]),
        "in_quorum": frozenset(quorum["in"]),
        "osds": tuple(host for host, _ in osds),
        "osds_up": tuple(host for host, osd in osds if osd["up"] and osd["in"]),
        "pools": tuple(
            Pool(name=it["name"], size=it["size"], min_size=it["min_size"]) for it in pools["pools"]
        ),
        "unclean": sum(group["state"] != "active+clean" for group in groups),
    }


def _value(items: Mapping[str, Any], name: str) -> Any:
    item = items.get(name, {"error": "not reported"})
    if "error" in item:
        raise NotProven(f"Ceph's {name} is not known: {item['error']}")
    return item["value"]
