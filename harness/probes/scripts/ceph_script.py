"""Runs beside a Ceph client, as ``python3 -``: asks Ceph everything once, prints a line of JSON.

Either {"items": {name: {"value"} or {"error"}}}; or, when no monitor answers in time, {"silent":
what was said, "monitor": what the monitor of this machine says of itself}; or {"error"}.
The script keeps Ceph's own words, and leaves out what no check needs. Python 3.8, its standard
library, and ``rados``, on which the ``ceph`` program is built: starting that program takes longer
than asking all of this over one connection.
"""

from __future__ import annotations

import errno
import functools
import glob
import json
import os
import site
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as Late
from typing import Any

# Ceph's JSON, or made from it: if it is not as documented, its item says so.
Said = Any

CONNECT_S = 8
# A client that is connected to a monitor without a quorum waits past its own limit.
FIRST_S = 15.0
COMMAND_S = 25.0
SOCKET_S = 5.0
# A healthy OSD tells its version in milliseconds; a slower one serves no customer either.
OSD_S = 5.0
BANNER_S = 2.0
# An OSD hangs up on a client that has no right on OSDs.
RIGHT = "has this client's keyring a right on OSDs? `osd 'allow r'` is enough (ceph auth caps)"
# A refusal ("not permitted") by the OSD itself is an answer.
ANSWERED = (0, -errno.EPERM, -errno.EACCES)
NOT_THERE = (-errno.ENXIO, -errno.ENOENT, -errno.ETIMEDOUT)
SOCKETS = ("/var/run/ceph/*-mon.*.asok", "/var/run/ceph/*/*-mon.*.asok")
# The monitors answer everything else.
OF_MANAGERS = ("osd df", "pg ls", "crash ls-new")
DETAILS = 20


class Silent(Exception):
    """No monitor answered in time."""


@functools.lru_cache(maxsize=None)  # noqa: UP033 (cache came with 3.9)
def cluster() -> Said:
    """The connection, as the ``ceph`` program makes it; raises Silent or RuntimeError."""
    site.main()  # python3 -S leaves it out: it finds the module
    try:
        import rados
    except ImportError:
        raise RuntimeError(
            "there is no ceph program here, or not its Python module rados"
        ) from None
    try:
        found = rados.Rados(conffile="", conf={"client_mount_timeout": str(CONNECT_S)})
        found.conf_parse_env("CEPH_ARGS")
        found.connect()
    except rados.TimedOut as error:
        raise Silent(f"no monitor could be reached within {CONNECT_S} s: {error}") from None
    except rados.Error as error:
        raise RuntimeError(f"Ceph cannot be asked: {error}") from None
    return found


def ask(what: str) -> Said:
    """What Ceph answers to a command; raises Silent, or RuntimeError with its complaint."""
    words = (
        {"prefix": "health", "detail": "detail"} if what == "health detail" else {"prefix": what}
    )
    call = cluster().mgr_command if what in OF_MANAGERS else cluster().mon_command
    status, said, complaint = call(json.dumps({**words, "format": "json"}), b"")
    if status:
        text = f"ceph {what} ended with status {-status}: {complaint[-300:]}"
        raise Silent(text) if status == -errno.ETIMEDOUT else RuntimeError(text)
    return json.loads(said)


def health(said: Said) -> Said:
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


def quorum(said: Said) -> Said:
    """The monitors, those in quorum, and the addresses of each (``at``)."""
    known = said["monmap"]["mons"]
    return {
        "fsid": said["monmap"]["fsid"],
        "monitors": [monitor["name"] for monitor in known],
        "in": said["quorum_names"],
        "at": {it["name"]: sorted({host for host, _ in addresses(it)}) for it in known},
    }


def clocks(said: Said) -> Said:
    return {
        name: {"skew_s": clock["skew"], "health": clock["health"]}
        for name, clock in said.get("time_skew_status", {}).items()
    }


def osd_map(said: Said) -> Said:
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


def tree(said: Said) -> Said:
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


def crush(said: Said) -> Said:
    """The rules, and each type of bucket with its height: 0 is an OSD."""
    return {
        "types": {kind["name"]: kind["type_id"] for kind in said["types"]},
        "rules": {
            str(rule["rule_id"]): {"name": rule["rule_name"], "steps": rule["steps"]}
            for rule in said["rules"]
        },
    }


def osd_use(said: Said) -> Said:
    return {
        str(osd["id"]): {
            "bytes": osd["kb"] * 1024,
            "used_bytes": osd["kb_used"] * 1024,
            "weight": osd["crush_weight"] * osd["reweight"],
        }
        for osd in said["nodes"]
    }


def room(said: Said) -> Said:
    """For each pool, what it stores and what more fits, in bytes, copies not counted."""
    return {
        pool["name"]: {
            "stored_bytes": pool["stats"]["stored"],
            "more_bytes": pool["stats"]["max_avail"],
        }
        for pool in said["pools"]
    }


def placement_groups(said: Said) -> Said:
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


def crashes(said: Said) -> Said:
    return [
        {"id": crash["crash_id"], "entity": crash["entity_name"], "at": crash["timestamp"]}
        for crash in said
    ]


def versions(said: Said) -> Said:
    return {kind: counts for kind, counts in said.items() if kind != "overall"}


def addresses(daemon: Said) -> list[tuple[str, int]]:
    """Where clients reach an OSD: host and port of each protocol (msgr v2, v1) that it speaks."""
    vector = daemon.get("public_addrs", {}).get("addrvec") or [{"addr": daemon["public_addr"]}]
    found = []
    for each in vector:
        host, _, port = each["addr"].partition("/")[0].rpartition(":")
        found.append((host.strip("[]"), int(port)))
    return found


def banner(host: str, port: int) -> str | None:
    """Why no Ceph daemon answers at an address; None if one sends its banner, unasked."""
    where = f"{host}:{port}"
    try:
        with socket.create_connection((host, port), timeout=BANNER_S) as line:
            said = line.recv(9)
    except OSError as error:
        return f"{where}: {error.strerror or error}"
    return None if said.startswith(b"ceph ") else f"{where}: not a daemon of Ceph"


def unheard(osd: Said, complaint: str) -> Said:
    """Tells a dead OSD from one that this client may not ask."""
    why = [banner(*address) for address in addresses(osd)]
    refused = [each for each in why if each]
    if len(refused) == len(why):
        return {"value": {"answers": False, "says": "; ".join([complaint, *refused])}}
    return {"error": f"{complaint}, though it runs: {RIGHT}"}


def told_version(osd: Said) -> Said:
    """Whether an OSD answers ``ceph tell osd.N version``: the complaint if it does not."""
    command = json.dumps({"prefix": "version", "format": "json"})
    status, _, complaint = cluster().osd_command(osd["osd"], command, b"")
    if status in ANSWERED:
        return {"value": {"answers": True, "says": ""}}
    if status in NOT_THERE:
        return {"value": {"answers": False, "says": complaint or os.strerror(-status)}}
    return {"error": f"ceph tell osd.{osd['osd']} version ended with status {-status}: {complaint}"}


def osd_answers(said: Said) -> Said:
    """For each OSD that the map calls up: does it answer? The map learns late, or never.

    Ceph marks an OSD down because other OSDs report it. If all die at once, none is left to report,
    and Ceph calls them up for minutes.
    """
    asked = {str(osd["osd"]): osd for osd in said["osds"] if osd["up"]}
    pool = ThreadPoolExecutor(max(1, len(asked)))
    begun = {name: pool.submit(told_version, osd) for name, osd in asked.items()}
    deadline = time.monotonic() + OSD_S
    found, late = {}, {}
    for name, future in begun.items():
        try:
            found[name] = future.result(timeout=max(0.0, deadline - time.monotonic()))
        except Late:
            late[name] = f"no answer within {OSD_S:g} s"
        except Exception as error:  # of rados, whose types are known only where it is installed
            found[name] = {"error": f"{type(error).__name__}: {error}"}
    # Separate threads, because a thread that waits for an OSD may wait for ever.
    with ThreadPoolExecutor(max(1, len(late))) as doors:
        looked = {name: doors.submit(unheard, asked[name], says) for name, says in late.items()}
    return {**found, **{name: future.result() for name, future in looked.items()}}


LOOKS: dict[str, tuple[Said, str]] = {
    "health": (health, "health detail"),
    "clocks": (clocks, "time-sync-status"),
    "osd map": (osd_map, "osd dump"),
    "osd answers": (osd_answers, "osd dump"),
    "osd tree": (tree, "osd tree"),
    "crush": (crush, "osd crush dump"),
    "osd use": (osd_use, "osd df"),
    "room": (room, "df"),
    "placement groups": (placement_groups, "pg ls"),
    "crashes": (crashes, "crash ls-new"),
    "versions": (versions, "versions"),
}


def item(keep: Said, said: Said) -> Said:
    """The part of an answer that is kept, or why it is not understood."""
    try:
        return {"value": keep(said)}
    except RuntimeError as error:
        return {"error": str(error)}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        return {"error": f"not understood: {type(error).__name__} {error}"}


def look(name: str) -> Said:
    keep, what = LOOKS[name]
    try:
        return item(keep, ask(what))
    except (Silent, RuntimeError, ValueError) as error:
        return {"error": str(error)}


def monitor() -> str:
    """What this machine's monitor reports about itself, also without a quorum."""
    sockets = [path for pattern in SOCKETS for path in glob.glob(pattern)]  # noqa: PTH207
    for path in sockets:
        command = ["ceph", "--admin-daemon", path, "mon_status"]
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=SOCKET_S,
                check=True,
            )
            said = json.loads(done.stdout)
            return f"its monitor {said['name']} is {said['state']}"
        except (OSError, subprocess.SubprocessError, ValueError, KeyError, TypeError):
            continue
    return "no monitor answers on it"


def report() -> Said:
    # A thread that never gets an answer is abandoned: see the end of this file.
    pool = ThreadPoolExecutor(1 + len(LOOKS))
    try:
        first = pool.submit(ask, "quorum_status").result(timeout=FIRST_S)
    except Late:
        said = f"ceph quorum_status: no answer within {FIRST_S:g} s"
        return {"silent": said, "monitor": monitor()}
    except Silent as error:
        return {"silent": str(error), "monitor": monitor()}
    except (RuntimeError, ValueError) as error:
        return {"error": str(error)}
    begun = {name: pool.submit(look, name) for name in LOOKS}
    deadline = time.monotonic() + COMMAND_S
    items = {}
    for name, future in begun.items():
        try:
            left_s = max(0.0, deadline - time.monotonic())
            items[name] = future.result(timeout=left_s)
        except Late:
            items[name] = {"error": f"ceph {LOOKS[name][1]}: no answer within {COMMAND_S:g} s"}
    return {"items": {"quorum": item(quorum, first), **items}}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(report()) + "\n")
    sys.stdout.flush()
    os._exit(0)
