"""Runs beside a Ceph client, as ``python3 -``: asks Ceph everything once, prints a line of JSON.

Either {"items": {name: {"value"} or {"error"}}}; or, when no monitor answers in time, {"silent":
what was said, "monitor": what the monitor of this machine says of itself}; or {"error"}.
Ceph's own words are kept, what nothing needs of them left out. Standard library of Python 3.8 only.
"""

from __future__ import annotations

import glob
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

CONNECT_S = 8
# A client that is connected to a monitor without a quorum waits past its own limit.
FIRST_S = 15.0
COMMAND_S = 25.0
SIDE_BY_SIDE = 4
SOCKETS = ("/var/run/ceph/*-mon.*.asok", "/var/run/ceph/*/*-mon.*.asok")
DETAILS = 20


class Silent(Exception):
    """No monitor answered in time."""


def ask(*words: str, within_s: float = COMMAND_S) -> Any:
    """What one ``ceph`` command answers; raises Silent, or RuntimeError with its complaint."""
    command = ["ceph", "--connect-timeout", str(CONNECT_S), *words, "--format", "json"]
    what = "ceph " + " ".join(words)
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=within_s,
        )
    except FileNotFoundError:
        raise RuntimeError("there is no ceph program here") from None
    except subprocess.TimeoutExpired:
        raise Silent(f"{what}: no answer within {within_s:g} s") from None
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines() or ["it says nothing"]
        said = f"{what} ended with status {done.returncode}: {lines[-1][-300:]}"
        timed_out = "timed out" in said or "TimedOut" in said
        raise Silent(said) if timed_out else RuntimeError(said)
    return json.loads(done.stdout)


def health(said: Any) -> Any:
    return {
        "status": said["status"],
        "checks": {
            code: {
                "severity": check["severity"],
                "says": check["summary"]["message"],
                "detail": [line["message"] for line in check.get("detail", ())][:DETAILS],
            }
            for code, check in said["checks"].items()
        },
        "muted": [mute["code"] for mute in said.get("mutes", ())],
    }


def quorum(said: Any) -> Any:
    monitors = [monitor["name"] for monitor in said["monmap"]["mons"]]
    return {"fsid": said["monmap"]["fsid"], "monitors": monitors, "in": said["quorum_names"]}


def clocks(said: Any) -> Any:
    return {
        name: {"skew_s": clock["skew"], "health": clock["health"]}
        for name, clock in said.get("time_skew_status", {}).items()
    }


def osd_map(said: Any) -> Any:
    """Pools, flags and full ratios; a flag of one OSD, machine or class is ``place: flag``."""
    flags = said.get("flags_set", said["flags"].split(","))
    placed = [
        f"osd.{osd['osd']}: {state}"
        for osd in said["osds"]
        for state in osd["state"]
        if state.startswith("no")
    ]
    for part in ("crush_node_flags", "device_class_flags"):
        placed += [f"{at}: {flag}" for at, names in said.get(part, {}).items() for flag in names]
    kept = ("size", "min_size", "type", "crush_rule")
    return {
        "flags": [*flags, *placed],
        "nearfull_ratio": said["nearfull_ratio"],
        "pools": [
            {"id": pool["pool"], "name": pool["pool_name"], **{key: pool[key] for key in kept}}
            for pool in said["pools"]
        ],
    }


def tree(said: Any) -> Any:
    """Which OSDs each host has, and those that no host has."""
    nodes = {node["id"]: node for node in said["nodes"]}
    hosts = {
        node["name"]: [
            {
                "id": nodes[child]["id"],
                "up": nodes[child]["status"] == "up",
                "in": nodes[child]["reweight"] > 0,
            }
            for child in node["children"]
        ]
        for node in said["nodes"]
        if node["type"] == "host"
    }
    held = {osd["id"] for osds in hosts.values() for osd in osds}
    osds = [node["id"] for node in said["nodes"] if node["type"] == "osd"]
    stray = [node["id"] for node in said.get("stray", ())]
    return {"hosts": hosts, "stray": [osd for osd in (*osds, *stray) if osd not in held]}


def crush(said: Any) -> Any:
    """The rules, and each type of bucket with its height: 0 is an OSD."""
    return {
        "types": {kind["name"]: kind["type_id"] for kind in said["types"]},
        "rules": {
            str(rule["rule_id"]): {"name": rule["rule_name"], "steps": rule["steps"]}
            for rule in said["rules"]
        },
    }


def osd_use(said: Any) -> Any:
    return {
        str(osd["id"]): {
            "bytes": osd["kb"] * 1024,
            "used_bytes": osd["kb_used"] * 1024,
            "weight": osd["crush_weight"] * osd["reweight"],
        }
        for osd in said["nodes"]
    }


def room(said: Any) -> Any:
    """Of each pool, what is stored and what more fits, in bytes, copies not counted."""
    return {
        pool["name"]: {
            "stored_bytes": pool["stats"]["stored"],
            "more_bytes": pool["stats"]["max_avail"],
        }
        for pool in said["pools"]
    }


def placement_groups(said: Any) -> Any:
    if not said["pg_ready"]:
        raise RuntimeError("the manager has not heard of every placement group yet")
    return [
        {
            "id": group["pgid"],
            "state": group["state"],
            "acting": group["acting"],
            "scrubbed": group["last_scrub_stamp"],
            "deep_scrubbed": group["last_deep_scrub_stamp"],
        }
        for group in said["pg_stats"]
    ]


def crashes(said: Any) -> Any:
    return [
        {"id": crash["crash_id"], "entity": crash["entity_name"], "at": crash["timestamp"]}
        for crash in said
    ]


def versions(said: Any) -> Any:
    return {kind: counts for kind, counts in said.items() if kind != "overall"}


LOOKS: dict[str, tuple[Any, ...]] = {
    "health": (health, "health", "detail"),
    "clocks": (clocks, "time-sync-status"),
    "osd map": (osd_map, "osd", "dump"),
    "osd tree": (tree, "osd", "tree"),
    "crush": (crush, "osd", "crush", "dump"),
    "osd use": (osd_use, "osd", "df"),
    "room": (room, "df"),
    "placement groups": (placement_groups, "pg", "ls"),
    "crashes": (crashes, "crash", "ls-new"),
    "versions": (versions, "versions"),
}


def item(keep: Any, said: Any) -> dict[str, Any]:
    """The part of an answer that is kept, or why it is not understood."""
    try:
        return {"value": keep(said)}
    except RuntimeError as error:
        return {"error": str(error)}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        return {"error": f"not understood: {type(error).__name__} {error}"}


def look(name: str) -> dict[str, Any]:
    keep, *words = LOOKS[name]
    try:
        return item(keep, ask(*words))
    except (Silent, RuntimeError, ValueError) as error:
        return {"error": str(error)}


def monitor() -> str:
    """What the monitor of this machine says of itself, which it does without a quorum too."""
    sockets = [path for pattern in SOCKETS for path in glob.glob(pattern)]  # noqa: PTH207
    for socket in sockets:
        try:
            said = ask("--admin-daemon", socket, "mon_status", within_s=5.0)
            return f"its monitor {said['name']} is {said['state']}"
        except (Silent, RuntimeError, ValueError, KeyError, TypeError):
            continue
    return "no monitor answers on it"


def report() -> dict[str, Any]:
    try:
        first = ask("quorum_status", within_s=FIRST_S)
    except Silent as error:
        return {"silent": str(error), "monitor": monitor()}
    except (RuntimeError, ValueError) as error:
        return {"error": str(error)}
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        items = dict(zip(LOOKS, pool.map(look, LOOKS)))  # noqa: B905 (strict came with 3.10)
    return {"items": {"quorum": item(quorum, first), **items}}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(report()) + "\n")
