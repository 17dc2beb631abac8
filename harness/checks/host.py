"""W1-HOST: each machine can run a node, now and after its next boot, and the clocks agree."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import TypeVar

from harness.checks.findings import Finding, Seen, conclude, items, joined, unknown, wanted
from harness.core.declared import Machine
from harness.core.model import Case, Verdict
from harness.facts import host
from harness.facts.host import CHRONY, CLOCK, UNITS, Boot, Chrony, ClockBounds, Interface, UnitState
from harness.facts.schema import Entry

# chrony's reference when it follows no source: nothing yet, or its own clock.
_NO_SOURCE = ("00000000", "7F7F0101")
_REMEDY = "./cutover provision nodes brings chrony"
_DAEMONS = ("chrony.service", "chronyd.service")
T = TypeVar("T")
_DISKS = ("/", "/var/lib/rancher")
_NODE_UNITS = ("rke2-server.service", "rke2-agent.service")
_BOOTS_INTO = ("multi-user.target", "graphical.target")


def time_daemon(states: Mapping[str, UnitState], field: str, *wanted: str) -> bool:
    """True if chrony, under either of its names, is in one of these states."""
    return any(states.get(unit, {}).get(field) in wanted for unit in _DAEMONS)


def clocks_follow_source(case: Case) -> Verdict:
    """Judges the sources, because chrony still says ``Normal`` after its last source died."""
    target = wanted(case, "clock_source_offset_ms", "clock_update_minutes")
    limit = target["clock_source_offset_ms"]
    machines = case.cluster.machines
    seen, units = items(case, CHRONY, machines), items(case, UNITS, machines)
    offsets = {name: abs(chrony.offset_s) * 1000 for name, chrony in seen.values.items()}
    ages = [it.updated_s / 60 for it in seen.values.values() if it.updated_s is not None]
    findings = [
        unknown(name, f"{other} keeps this clock, and only chrony can be asked: {_REMEDY}")
        if (other := other_daemon(states))
        else Finding(name, "expected a running chrony, seen it stopped: the clock follows nothing")
        for name, states in units.values.items()
        if not time_daemon(states, "ActiveState", "active")
    ]
    for name, chrony in seen.values.items():
        findings += [Finding(name, says) for says in _lost(chrony, target["clock_update_minutes"])]
        if offsets[name] > limit:
            text = (
                f"expected a clock within {limit:g} ms of its source, seen {offsets[name]:.1f} ms"
            )
            findings.append(Finding(name, text))
    measured = {"clock_source_offset_ms": max(offsets.values())} if offsets else {}
    return conclude(
        findings,
        joined(seen, units),
        proven=f"every clock is within {limit:g} ms of a source that answers",
        measured=measured | ({"clock_update_minutes": max(0.0, *ages)} if ages else {}),
        target=target,
    )


def other_daemon(states: Mapping[str, UnitState]) -> str | None:
    """The running unit that keeps a clock in chrony's place."""
    units = host.OTHER_CLOCKS
    return next((it for it in units if states.get(it, {}).get("ActiveState") == "active"), None)


def _lost(chrony: Chrony, limit_minutes: float) -> Iterator[str]:
    """Why this chrony follows no source."""
    sources, age_s = chrony.sources, chrony.updated_s
    if chrony.leap == "Not synchronised" or chrony.reference_id in _NO_SOURCE:
        yield f"expected a clock source, seen none ({chrony.leap})"
    elif not sources:
        yield "expected a clock source, seen none configured"
    elif not any(it.reach for it in sources):
        silent = ", ".join(it.name for it in sources)
        yield f"expected a clock source that answers, seen none: no answer from {silent} (reach 0)"
    if age_s is not None and age_s / 60 > limit_minutes:
        yield (
            f"expected an update from a clock source within {limit_minutes:g} min, "
            f"seen the last one {age_s / 60:.0f} min ago"
        )


def clocks_agree(case: Case) -> Verdict:
    """Every pair of clocks agrees within the target.

    Each clock is known only within bounds. A pair fails if it certainly differs by more than the
    target. It is not proven if it possibly does.
    """
    target = wanted(case, "clock_between_nodes_ms")
    limit = target["clock_between_nodes_ms"]
    seen = items(case, CLOCK, case.cluster.machines)
    findings, worst = [], 0.0
    for one, other in combinations(sorted(seen.values), 2):
        least, most = _apart_ms(seen.values[one], seen.values[other])
        worst = max(worst, most)
        where = f"{one} and {other}"
        if least > limit:
            findings.append(
                Finding(where, f"expected clocks within {limit:g} ms, seen at least {least:.0f} ms")
            )
        elif most > limit:
            why = f"their clocks differ by {least:.0f} to {most:.0f} ms: too coarse to tell"
            findings.append(unknown(where, why))
    return conclude(
        findings,
        seen,
        proven=f"all clocks agree within {worst:.0f} ms, the measurement's own coarseness included",
        measured={"clock_between_nodes_ms": worst} if len(seen.values) > 1 else {},
        target=target,
    )


def _apart_ms(one: ClockBounds, other: ClockBounds) -> tuple[float, float]:
    """The least and the most by which two bounded clocks can differ."""
    ahead = one.at_least_s - other.at_most_s
    behind = other.at_least_s - one.at_most_s
    return max(0.0, ahead, behind) * 1000, max(-ahead, -behind) * 1000


def _each(case: Case, entry: Entry[T]) -> Seen[T]:
    return items(case, entry, case.cluster.machines)


def swap_off(case: Case) -> Verdict:
    seen = _each(case, host.SWAP)
    findings = [
        Finding(name, f"expected no swap {when}, seen {', '.join(there)}")
        for name, swap in seen.values.items()
        for there, when in ((swap.active, "in use"), (swap.at_boot, "configured for the next boot"))
        if there
    ]
    return conclude(findings, seen, proven="swap is off everywhere and stays off after a boot")


def disks_have_room(case: Case) -> Verdict:
    target = wanted(case, "disk_free_percent")
    limit = target["disk_free_percent"]
    parts = {path: _each(case, host.disk(path)) for path in _DISKS}
    rooms = [
        (name, f"{what} of {path}", free)
        for path, part in parts.items()
        for name, disk in part.values.items()
        for what, free in (("space", disk.free_percent), ("inodes", disk.inodes_free_percent))
        if free is not None
    ]
    findings = [
        Finding(name, f"expected {limit:g} % of the {what} free, seen {free:.1f} %")
        for name, what, free in rooms
        if free < limit
    ]
    return conclude(
        findings,
        joined(*parts.values()),
        proven=f"every disk has at least {limit:g} % free",
        measured={"disk_free_percent": min(free for *_, free in rooms)} if rooms else {},
        target=target,
    )


def memory_available(case: Case) -> Verdict:
    target = wanted(case, "memory_available_percent")
    limit = target["memory_available_percent"]
    seen = _each(case, host.MEMORY)
    shares = {
        name: 100 * memory.available_bytes / memory.total_bytes
        for name, memory in seen.values.items()
    }
    findings = [
        Finding(name, f"expected {limit:g} % of memory available, seen {share:.1f} %")
        for name, share in shares.items()
        if share < limit
    ]
    return conclude(
        findings,
        seen,
        proven=f"every machine has at least {limit:g} % of its memory available",
        measured={"memory_available_percent": min(shares.values())} if shares else {},
        target=target,
    )


def kernel_parameters(case: Case) -> Verdict:
    """Judges the files of sysctl.d too: at the next boot, what they set replaces the value."""
    declared = {name: " ".join(value.split()) for name, value in case.cluster.sysctls.items()}
    parts = {name: _each(case, host.sysctl(name)) for name in declared}
    findings = [
        Finding(machine, f"expected {name} = {declared[name]}, seen {value}")
        for name, part in parts.items()
        for machine, value in part.values.items()
        if value != declared[name]
    ]
    files = _each(case, host.SYSCTL_SETTINGS)
    findings += [
        Finding(
            machine,
            f"expected {name} = {declared[name]} after the next boot or `sysctl --system` too, "
            f"seen {setting.value} in {setting.file}: correct that file",
        )
        for machine, settings in files.values.items()
        for name, setting in settings.items()
        if setting.value != declared[name]
    ]
    return conclude(
        findings,
        joined(files, *parts.values()),
        proven=f"{', '.join(parts)} are as declared on every machine",
    )


def full_packets_pass(case: Case) -> Verdict:
    mtu = case.cluster.node_mtu
    links = _each(case, host.INTERFACES)
    findings = [
        Finding(machine.name, f"expected MTU {mtu} on {machine.address}, seen {have}")
        for machine in case.cluster.machines
        if machine.name in links.values
        and (have := _mtu_of(machine, links.values[machine.name])) != mtu
    ]
    paths = []
    for peer in case.cluster.machines:
        others = [machine for machine in case.cluster.machines if machine.name != peer.name]
        path = items(case, host.path_to(peer.name), others)
        paths.append(path)
        findings += [
            Finding(
                f"{name} → {peer.name}",
                f"expected unfragmented packets of {mtu} bytes to arrive, seen none of "
                f"{pings.sent} answered {pings.says}".strip(),
            )
            for name, pings in path.values.items()
            if pings.received == 0
        ]
    return conclude(
        findings,
        joined(links, *paths),
        proven=f"packets of {mtu} bytes pass unfragmented between all machines",
    )


def _mtu_of(machine: Machine, interfaces: Sequence[Interface]) -> int | None:
    return next((it.mtu for it in interfaces if machine.address in it.addresses), None)


def node_service_runs(case: Case) -> Verdict:
    """RKE2's package has both units, which conflict: the next boot starts one of two enabled."""
    seen = _each(case, host.UNITS)
    judged = [it for it in case.cluster.machines if it.name in seen.values]
    findings = [
        Finding(machine.name, f"expected {unit} {want}, seen {have}")
        for machine in judged
        for unit in [_node_unit(machine)]
        for want, have in _states(seen.values[machine.name][unit])
        if want != have
    ]
    findings += [
        Finding(
            machine.name,
            f"expected {_node_unit(machine)} alone enabled, seen {unit} too: "
            f"systemctl disable {unit}",
        )
        for machine in judged
        for unit in _NODE_UNITS
        if unit != _node_unit(machine)
        and seen.values[machine.name].get(unit, {}).get("UnitFileState") == "enabled"
    ]
    return conclude(
        findings, seen, proven="the RKE2 service is active and enabled on every machine"
    )


def _node_unit(machine: Machine) -> str:
    server, agent = _NODE_UNITS
    return server if machine.is_server else agent


def _states(unit: UnitState) -> Iterator[tuple[str, str]]:
    yield "active", unit.get("ActiveState", "absent")
    yield "enabled", unit.get("UnitFileState") or "absent"


def safe_to_reboot(case: Case) -> Verdict:
    units, boots = _each(case, host.UNITS), _each(case, host.BOOT)
    findings = [
        Finding(name, f"expected to boot into {_BOOTS_INTO[0]}, seen {boot.default_target}")
        for name, boot in boots.values.items()
        if boot.default_target not in _BOOTS_INTO
    ]
    tolerated = case.cluster.tolerated_units
    failed = {
        name: [unit for unit in boot.failed_units if unit not in tolerated]
        for name, boot in boots.values.items()
    }
    findings += [
        Finding(name, f"expected no failed unit, seen {', '.join(units_there)}")
        for name, units_there in failed.items()
        if units_there
    ]
    findings += [
        Finding(name, f"expected {unit} as loaded, seen its file changed since")
        for name, states in units.values.items()
        for unit, state in states.items()
        if state.get("NeedDaemonReload") == "yes"
    ]
    findings += [
        Finding(name, "expected chrony to start at boot, seen it disabled")
        for name, states in units.values.items()
        if not (time_daemon(states, "UnitFileState", "enabled", "alias") or other_daemon(states))
    ]
    return conclude(
        findings,
        joined(units, boots),
        proven=f"every machine would come back from a reboot whole{_tolerance(tolerated, boots)}",
    )


def _tolerance(tolerated: Mapping[str, str], boots: Seen[Boot]) -> str:
    """The declared tolerances that this pass uses, and those that no machine needs."""
    failed = {unit for boot in boots.values.values() for unit in boot.failed_units}
    used = [f"{unit} ({why})" for unit, why in tolerated.items() if unit in failed]
    unused = [unit for unit in tolerated if unit not in failed]
    said = [f"failed, as declared: {', '.join(used)}"] if used else []
    said += [f"declared, but not failed anywhere: {', '.join(unused)}"] if unused else []
    return f" ({'; '.join(said)})" if said else ""


CHECKS = {
    "every clock follows its source": clocks_follow_source,
    "all clocks agree": clocks_agree,
    "swap is off and stays off": swap_off,
    "every disk has room": disks_have_room,
    "every machine has memory available": memory_available,
    "kernel parameters are as declared": kernel_parameters,
    "full-sized packets pass between machines": full_packets_pass,
    "the node service runs and starts at boot": node_service_runs,
    "every machine is safe to reboot": safe_to_reboot,
}
