"""Runs on a machine, as ``python3 - VERB …``: stores the undo of faults, and writes a JSON line.

    arm ENTRY        store the undo, in the place of an earlier one with its id, and start a timer
                     that runs it when its lease ends
    renew ID LEASE   begin the lease anew
    heal ID          run the undo now
    list             the undo that is armed here, and leftovers of faults that are not armed
    needs            the programs that this needs and the machine lacks

An undo lies in FOLDER/ID/: ``undo`` (the script) and ``entry.json`` (its data). It removes itself
when every command succeeded, and with the last one the unit that runs all of them after a boot.
Standard library of Python 3.8 only; nothing of this needs the network.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypedDict

FOLDER = Path("/var/lib/cutover-faults")
UNITS = Path("/etc/systemd/system")
BOOT_UNIT = UNITS / "cutover-heal.service"
AT_BOOT = UNITS / "multi-user.target.wants" / BOOT_UNIT.name
# Most undo needs the network, an API server or Ceph: the unit starts after the network, and systemd
# restarts it until it succeeds. It does not wait for the node's services: a fault may prevent their
# start. It is not Type=oneshot, because systemd before 244 does not restart those.
BOOT = """[Unit]
Description=Take back what a fault of the cutover harness left before this boot
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec=0

[Service]
ExecStart=/bin/sh -c 'for undo in {folder}/*/undo; do \\
  [ ! -e "$undo" ] || /bin/sh "$undo" || failed=1; done; [ -z "$failed" ]'
Restart=on-failure
RestartSec=5s
"""
# A command that hangs or fails does not stop the later commands; failed commands run again.
UNDO = """#!/bin/sh
exec 9< "$0" && flock 9
[ -e {entry} ] || exit 0
status=0
{commands}
[ $status = 0 ] || exit 1
rm -rf {entry}
rmdir {folder} 2> /dev/null || exit 0
rm -f {at_boot} {boot_unit}
"""
WITHIN_S = 180.0
NEEDS = ("systemd-run", "systemctl", "sh", "flock", "timeout")
# The handle of every queue that a fault adds to a machine's uplinks.
QUEUE = "c0de:"
RUN = Path("/run")
MANIFESTS = Path("/var/lib/rancher/rke2/agent/pod-manifests")
# Where limits are: in cgroup v1, and in systemd's drop-in files for cgroup v2.
BLKIO = Path("/sys/fs/cgroup/blkio")
SET = Path("/run/systemd/system.control")
OURS = re.compile("cutover-[a-z0-9]{4,16}")
# The units that run OSDs: of packages, of cephadm, and of containers.
LIMITED = re.compile(
    r"ceph-(osd@|[0-9a-f-]+@osd\.)\d+\.service|(cri-containerd|docker|libpod)-\w+\.scope"
)
LEAVE_GROUP = """for process in $(cat "$1/cgroup.procs"); do
  echo $process > "$1/../cgroup.procs"
done
rmdir "$1"
"""
LIFT_LIMITS = """if [ "$(systemctl show --property=ActiveState --value "$1")" = active ]; then
  systemctl set-property --runtime "$1" IOReadBandwidthMax= IOWriteBandwidthMax= || exit 1
fi
rm --force "/run/systemd/system.control/$1.d/50-IOReadBandwidthMax.conf" \\
  "/run/systemd/system.control/$1.d/50-IOWriteBandwidthMax.conf"
systemctl daemon-reload
"""
MOUNTS = Path("/proc/mounts")
LOCAL = re.compile("/dev/(?!rbd|nbd)")
KINDS = ("ext4", "xfs", "btrfs")
RUN_UNDO = ("/bin/sh", "-c", '[ ! -e "$1" ] || exec /bin/sh "$1"', "undo")


class Armed(TypedDict):
    """The entry of an armed undo, as far as leftovers are compared with it."""

    id: str
    commands: list[list[str]]


class Healed(TypedDict):
    """Whether an undo has run, and what it said when it failed."""

    done: bool
    said: str


class Listed(TypedDict):
    """The undo that is armed here, and the commands that remove other leftovers."""

    armed: list[Armed]
    leftovers: list[list[str]]


def run(*argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=75,
        check=False,
    )


def arm(text: str) -> dict[str, object]:
    entry = json.loads(text)
    folder = FOLDER / entry["id"]
    folder.mkdir(parents=True, exist_ok=True)
    limit = ("timeout", "--kill-after=5", f"{max(1.0, entry.get('within_s', WITHIN_S)):g}")
    lines = [shlex.join([*limit, *command]) + " || status=1" for command in entry["commands"]]
    undo = UNDO.format(
        entry=folder,
        folder=FOLDER,
        commands="\n".join(lines),
        at_boot=AT_BOOT,
        boot_unit=BOOT_UNIT,
    )
    write(folder / "entry.json", text)
    write(folder / "undo", undo)
    write(BOOT_UNIT, BOOT.format(folder=FOLDER))
    AT_BOOT.parent.mkdir(exist_ok=True)
    if not AT_BOOT.is_symlink():
        AT_BOOT.symlink_to(BOOT_UNIT)
    return {"armed": new_timer(entry["id"], entry["lease_s"])}


def needs() -> dict[str, object]:
    return {"missing": [name for name in NEEDS if shutil.which(name) is None]}


def renew(name: str, lease_s: str) -> dict[str, object]:
    if not (FOLDER / name).exists():
        return {"gone": True}
    return {"gone": False, "armed": new_timer(name, float(lease_s))}


def heal(name: str) -> Healed:
    undo = FOLDER / name / "undo"
    if undo.exists() and not undo.stat().st_size:
        undo.unlink()  # torn by a crash
    done = run("/bin/sh", str(undo)) if undo.exists() else None
    if undo.exists():
        return {"done": False, "said": done.stdout.strip()[-600:] if done else ""}
    shutil.rmtree(undo.parent, ignore_errors=True)  # a crash may have left it without an undo
    stop_timers(name, timers(name))
    return {"done": True, "said": ""}


def listing() -> Listed:
    armed = entries()
    return {"armed": armed, "leftovers": leftovers(armed)}


def entries() -> list[Armed]:
    """The entries that are armed here, also those that a crash damaged."""
    found = []
    for folder in sorted(FOLDER.iterdir()) if FOLDER.is_dir() else ():
        try:
            entry: Armed = json.loads((folder / "entry.json").read_text(encoding="utf-8"))
            entry["id"], entry["commands"] = folder.name, list(entry["commands"])
        except (OSError, ValueError, TypeError, KeyError):
            entry = {"id": folder.name, "commands": []}
        found.append(entry)
    return found


def leftovers(armed: list[Armed]) -> list[list[str]]:
    """Commands that remove what carries the mark and belongs to no armed undo."""
    known = {entry["id"] for entry in armed}
    found = []
    tables = run("nft", "list", "tables").stdout if shutil.which("nft") else ""
    for table, name in re.findall(r"^table (\w+ cutover-(\w+))$", tables, re.MULTILINE):
        if name not in known:
            found.append(["nft", f"delete table {table}"])
    listed = run("systemctl", "list-units", "--plain", "--no-legend", "--all", "cutover-fault-*")
    for unit, name in re.findall(r"^(cutover-fault-(\w+)\.\w+)", listed.stdout, re.MULTILINE):
        if name not in known:
            found.append(["systemctl", "stop", unit])
    return [
        *found,
        *stray_queues(armed),
        *stray_files(known),
        *stray_manifests(known),
        *stray_limits(armed, known),
    ]


def stray_queues(armed: list[Armed]) -> list[list[str]]:
    """Queues without an armed undo. A queue has no name: the command that removes it matches it."""
    listed = run("tc", "qdisc", "show").stdout if shutil.which("tc") else ""
    undone = [command for entry in armed for command in entry["commands"]]
    return [
        ["tc", "qdisc", "del", "dev", device, "root", "handle", QUEUE]
        for device in re.findall(rf"^qdisc \w+ {QUEUE} dev (\S+) root", listed, re.MULTILINE)
        if not any(device in command and QUEUE in " ".join(command) for command in undone)
    ]


def stray_files(known: set[str]) -> list[list[str]]:
    """Files that fill a disk, in the root of each local file system; and programs in /run."""
    mounts = [line.split() for line in MOUNTS.read_text(encoding="utf-8").splitlines()]
    # A network file system may never answer.
    own = {Path(where) for what, where, kind, *_ in mounts if LOCAL.match(what) and kind in KINDS}
    files = [file for top in sorted(own | {Path("/")}) for file in top.glob("cutover-fill-*")]
    files += sorted(RUN.glob("cutover-*.py"))  # the program of slow-api
    names = [(it, it.stem.rpartition("-")[2]) for it in files]
    return [["rm", "--force", str(it)] for it, name in names if name not in known]


def stray_manifests(known: set[str]) -> list[list[str]]:
    """Manifests of static pods that a fault moved out of the kubelet's folder."""
    found = []
    for moved in sorted(MANIFESTS.parent.glob("cutover-*.*.yaml")):
        name, _, part = moved.name[len("cutover-") :].partition(".")
        if name not in known:
            found.append(["mv", "--force", str(moved), str(MANIFESTS / part)])
    return found


def stray_limits(armed: list[Armed], known: set[str]) -> list[list[str]]:
    """Disk limits of OSDs that were not lifted: a fault's control group, or limits of a unit.

    The limits have no name. No other program sets them on an OSD or a container: Kubernetes has no
    such limits.
    """
    groups = [it for it in BLKIO.rglob("cutover-*") if OURS.fullmatch(it.name)]
    found = [
        ["sh", "-c", LEAVE_GROUP, "lift", str(it)]
        for it in sorted(groups)
        if it.name[len("cutover-") :] not in known
    ]
    undone = {word for entry in armed for command in entry["commands"] for word in command}
    units = {file.parent.name[: -len(".d")] for file in SET.glob("*.d/50-IO*BandwidthMax.conf")}
    for unit in sorted(units - undone):
        if LIMITED.fullmatch(unit):
            found.append(["sh", "-c", LIFT_LIMITS, "lift", unit])
    return found


def write(path: Path, text: str) -> None:
    """Write a file atomically and sync it to the disk: the power may fail next."""
    part = path.with_name(path.name + ".part")
    with part.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def timer(name: str, number: int) -> str:
    return f"cutover-undo-{name}-{number}"


def timers(name: str) -> list[int]:
    """The numbers of an undo's waiting timers, oldest first."""
    listed = run("systemctl", "list-units", "--plain", "--no-legend", "--all", "--type=timer")
    return sorted(int(it) for it in re.findall(rf"cutover-undo-{name}-(\d+)\.timer", listed.stdout))


def new_timer(name: str, lease_s: float) -> str:
    """Start a timer, then stop those before it: there is always one."""
    waiting = timers(name)
    number = max(waiting, default=0) + 1
    start_timer(name, number, lease_s)
    stop_timers(name, waiting)
    return timer(name, number)


def start_timer(name: str, number: int, lease_s: float) -> None:
    done = run(
        "systemd-run",
        f"--unit={timer(name, number)}",
        f"--on-active={lease_s:g}s",
        "--timer-property=AccuracySec=100ms",
        "--property=Restart=on-failure",
        "--property=RestartSec=1s",
        "--property=StartLimitIntervalSec=0",
        "--collect",
        *RUN_UNDO,
        str(FOLDER / name / "undo"),
    )
    if done.returncode:
        raise RuntimeError("no timer: " + done.stdout.strip()[-300:])


def stop_timers(name: str, numbers: list[int]) -> None:
    if numbers:
        run("systemctl", "stop", *(f"{timer(name, number)}.timer" for number in numbers))


VERBS: dict[str, Callable[..., Mapping[str, object]]] = {
    "arm": arm,
    "renew": renew,
    "heal": heal,
    "list": listing,
    "needs": needs,
}


def main(verb: str, *arguments: str) -> None:
    try:
        report = VERBS[verb](*arguments)
    except (OSError, RuntimeError, subprocess.SubprocessError) as error:
        report = {"error": f"{type(error).__name__}: {error}"}
    sys.stdout.write(json.dumps(report) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
