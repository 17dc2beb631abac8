"""The state of a lab: running machines, parts that are whole, and resources."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass

from harness.lab import ceph, cgroups, cloudnativepg, kubernetes, lifecycle, machines, rook, swarm
from harness.lab.shape import Lab

MIB = 1024**2


@dataclass(frozen=True)
class Power:
    """One machine: whether it runs, its number of processes and their memory."""

    name: str
    on: bool
    processes: int
    memory_mib: int


@dataclass(frozen=True)
class Status:
    """A lab's present state; ``trouble`` names the parts that are not whole."""

    name: str
    built: bool
    machines: tuple[Power, ...]
    trouble: dict[str, str]

    @property
    def whole(self) -> bool:
        return self.built and not self.trouble

    def document(self) -> dict[str, object]:
        return {"schema": 1, **asdict(self), "whole": self.whole}

    def lines(self) -> Iterator[str]:
        """The state in words, a line each."""
        yield f"lab {self.name}: {'whole' if self.whole else 'not whole'}"
        for machine in self.machines:
            power = f"on, {machine.processes} processes, {machine.memory_mib} MiB"
            yield f"  {machine.name}  {power if machine.on else 'off'}"
        for part, trouble in self.trouble.items():
            yield f"  {part}: {trouble}"


def status(lab: Lab) -> Status:
    """Look at a lab; every look has a deadline, and nothing is changed."""
    powers = tuple(_power(lab, name) for name in (node.name for node in lab.nodes))
    off = [power.name for power in powers if not power.on]
    trouble = {"machines": f"off: {', '.join(off)}"} if off else {}
    running = [node for node in lab.nodes if node.name not in off]
    log = lab.logs / "status.log"
    if running:
        parts = {"kubernetes": kubernetes, "ceph": ceph, "rook": rook, "swarm": swarm}
        parts["postgres"] = cloudnativepg
        seen = {name: part.trouble(lab, log) for name, part in parts.items()}
        trouble |= {part: words for part, words in seen.items() if words}
    return Status(lab.name, lifecycle.is_built(lab), powers, trouble)


def _power(lab: Lab, name: str) -> Power:
    node = lab.node(name)
    group = machines.group(lab, node)
    return Power(
        name,
        machines.init(lab, node) is not None,
        len(cgroups.pids(group)),
        cgroups.memory_bytes(group) // MIB,
    )
