"""The programs that the harness runs on machines, and their users; ``doctor`` checks them.

A test compares this list with the commands in probes, faults, benches and backups.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from harness.settings import Profile

Condition = Callable[[Profile], bool]


def _always(_: Profile) -> bool:
    return True


def _drills(profile: Profile) -> bool:
    return profile.allow_disruption


def _ceph(profile: Profile) -> bool:
    """True if the harness asks Ceph with a program on the machines."""
    return profile.ceph.through == "machines"


def _disks(profile: Profile) -> bool:
    return profile.disks is not None


def _swarm(profile: Profile) -> bool:
    return profile.stack.source == "swarm"


# The purpose of each program, by its name.
PROGRAMS: Mapping[str, tuple[Condition, str]] = {
    "blkid": (_disks, "what is on the disk for Ceph"),
    "ceph": (_ceph, "Ceph, asked on the machines (ceph.through)"),
    "chronyc": (_always, "W1-HOST: the clock's sources"),
    "date": (_always, "W1-HOST: how far clocks differ"),
    "df": (_always, "evidence, and fault fill-disk"),
    "docker": (_swarm, "evidence of Docker Swarm"),
    "env": (_always, "every command by sudo"),
    "fallocate": (_drills, "fault fill-disk"),
    "fio": (_disks, "W3-BENCH"),
    "free": (_always, "evidence of memory"),
    "ip": (_always, "W1-NETWORK and W1-EXPOSED: interfaces"),
    "journalctl": (_always, "evidence, and what a fault's program said"),
    "modprobe": (_drills, "faults that delay or lose packets"),
    "mv": (_drills, "fault stop-static-pod"),
    "nft": (_drills, "faults that cut machines off"),
    "nice": (_always, "W1-SNAPSHOT and the baseline of existing data"),
    "partx": (_disks, "provision disk"),
    "pgrep": (_drills, "fault slow-disk"),
    "ping": (_always, "W1-NETWORK: packets of full size"),
    "ps": (_always, "evidence of processes"),
    "python3": (_always, "every probe is a script for it"),
    "sgdisk": (_disks, "provision disk"),
    "sh": (_always, "short scripts of probes and faults"),
    "ss": (_always, "W1-EXPOSED: which program listens on which port"),
    "stat": (_always, "W1-HOST: room on disks"),
    "stress-ng": (_drills, "faults that exhaust processors and memory"),
    "systemctl": (_always, "W1-HOST: units"),
    "systemd-run": (_drills, "the undo of every fault"),
    "tc": (_drills, "faults that delay, lose or narrow packets"),
    "timeout": (_always, "the deadline of every command"),
    "wipefs": (_disks, "what is on the disk for Ceph"),
}


def needed(profile: Profile) -> Iterator[str]:
    """The programs that every machine of this cluster needs, by name."""
    for name, (condition, _) in PROGRAMS.items():
        if condition(profile):
            yield name


def on_servers(profile: Profile) -> Iterator[str]:
    """The further programs of each server, by path: those of ``commands:``."""
    if profile.kubernetes.etcd_tools_image is not None or profile.allow_disruption:
        yield profile.commands.ctr[0]
    if profile.allow_disruption:
        yield profile.commands.kubectl[0]
