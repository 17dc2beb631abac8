"""A machine in small: programs that keep what they were told in a file, as the real ones would.

``python3 machine_script.py STATE PROGRAM …``. Whatever is asked for twice, or is not there, fails
where the real program fails. Units that have a file of their own (``OWN``) stay when they stop;
others are gone then, as transient ones are.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

OWN = ("ceph-mds@one", "ceph-mon@one", "ceph-osd@0", "chrony", "containerd", "rke2-server")
FRESH: dict[str, Any] = {
    "tables": [],
    "queues": [],
    "units": dict.fromkeys(OWN, "active"),
    "limits": {},
    "clock_s": 0,
    "power": "on",
    "cordoned": [],
    "marked": [],
    "objects": [],
    "osds out": [],
}


def nft(state: Any, words: list[str]) -> int:
    """Every table of one call, or none."""
    (text,) = words
    tables = set(state["tables"])
    for verb, table in re.findall(r"(add |delete |)table (\w+ [\w-]+)", text):
        if verb == "delete ":
            if table not in tables:
                return 1
            tables.remove(table)
        else:
            tables.add(table)
    state["tables"] = sorted(tables)
    return 0


def tc(state: Any, words: list[str]) -> int:
    verb, device = words[1], words[words.index("dev") + 1]
    there = device in state["queues"]
    if verb == "show":
        sys.stdout.write(f"qdisc netem c0de: root dev {device}\n" if there else "")
        return 0
    if there is (verb == "add"):
        return 2
    (state["queues"].append if verb == "add" else state["queues"].remove)(device)
    return 0


def systemd_run(state: Any, words: list[str]) -> int:
    (unit,) = (word.partition("=")[2] for word in words if word.startswith("--unit="))
    if unit in state["units"]:
        return 1
    state["units"][unit] = "active"
    argv = [word for word in words if not word.startswith("--")]
    program = PROGRAMS.get(Path(argv[0]).name) if argv else None
    return program(state, words[words.index(argv[0]) + 1 :]) if program else 0


def systemctl(state: Any, words: list[str]) -> int:
    verb = words[0]
    names = [it for it in words[1:] if not it.startswith("--")]
    units = [
        name if name.startswith("cutover") else name.removesuffix(".service") for name in names
    ]
    known = [unit for unit in units if unit in state["units"]]
    if verb == "daemon-reload":
        return 0
    if verb == "show":
        sys.stdout.write("".join(state["units"].get(it, "inactive") + "\n" for it in units))
        return 0
    if verb == "is-active":
        return 0 if all(state["units"].get(it) == "active" for it in units) else 3
    if verb == "set-property":
        return set_property(state, units[0], names[1:])
    if known != units:
        return 5
    for unit in units if verb in ("start", "stop") else ():
        if verb == "start":
            state["units"][unit] = "active"
        elif unit in OWN:
            state["units"][unit] = "inactive"
        else:
            del state["units"][unit]
    return 0


def set_property(state: Any, unit: str, settings: list[str]) -> int:
    for setting in settings:
        key, _, value = setting.partition("=")
        state["limits"][f"{unit} {key}"] = value
        if not value:
            del state["limits"][f"{unit} {key}"]
    return 0


def kubectl(state: Any, words: list[str]) -> int:
    verb, *rest = [word for word in words if not word.startswith("--")]
    if verb == "delete":
        thing = "/".join(rest)
        if thing in state["objects"]:
            state["objects"].remove(thing)
            return 0
        return 0 if "--ignore-not-found" in words else 1
    node = rest[-1]
    if verb == "annotate":
        state["marked"] = [] if node.endswith("-") else [node]
        return 0
    state["cordoned"] = [node] if verb == "drain" else []
    return 0


def ceph(state: Any, words: list[str]) -> int:
    verb, osd = words[-2:]
    state["osds out"] = [osd] if verb == "out" else []
    return 0


def chronyc(state: Any, words: list[str]) -> int:
    if state["units"]["chrony"] != "active":
        return 1
    if words[0] == "makestep":
        state["clock_s"] = 0
    return 0


def date(state: Any, words: list[str]) -> int:
    (seconds,) = re.findall(r"--set=([+-]\d+) seconds", words[0])
    state["clock_s"] += int(seconds)
    return 0


def power(to: str) -> Callable[[Any, list[str]], int]:
    def switch(state: Any, _: list[str]) -> int:
        state["power"] = to
        return 0

    return switch


PROGRAMS: dict[str, Callable[[Any, list[str]], int]] = {
    "nft": nft,
    "tc": tc,
    "systemd-run": systemd_run,
    "systemctl": systemctl,
    "kubectl": kubectl,
    "ceph": ceph,
    "chronyc": chronyc,
    "date": date,
    "on": power("on"),
    "off": power("off"),
}


def main(path: Path, program: str, *words: str) -> int:
    state = json.loads(path.read_text(encoding="utf-8"))
    status = PROGRAMS[program](state, list(words))
    path.write_text(json.dumps(state), encoding="utf-8")
    return status


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), *sys.argv[2:]))
