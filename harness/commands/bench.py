"""``./cutover bench osd``: how fast every machine's disk for Ceph commits, all at the same time."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from harness.bench import baseline as baselines
from harness.bench.bench import Result, measure
from harness.commands.output import AsJson, Cluster, say, say_json
from harness.errors import ConfigError, Refused
from harness.model import Exit
from harness.settings import Profile, Target, load_gates, load_profile, state_dir
from harness.settings.bench import load_jobs
from harness.settings.profile import Disks
from harness.transport import Reach, connect
from harness.transport.identity import same_cluster

_REQUIREMENT = "W3-BENCH"
_GIB = 1 << 30
_NO_LIMIT = 100.0

bench = typer.Typer(name="bench", help="Measure the disks.", no_args_is_help=True)


@bench.callback()
def _group() -> None:
    """Measure the disks."""


@bench.command()
def osd(
    cluster: Cluster = "lab",
    length: Annotated[str, typer.Option(help="quick or full.")] = "quick",
    allow_writes: Annotated[
        bool, typer.Option("--allow-writes", help="Write over the whole raw partition.")
    ] = False,
    baseline: Annotated[
        bool, typer.Option("--baseline", help="Remember this as what later ones compare with.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Measure the disk for Ceph on every machine at once: raw ones with fio, else by Ceph itself.

    Example: ./cutover bench osd --cluster contabo --length full --allow-writes

    A raw partition is written over, behind every guard. One that an OSD has is measured through
    Ceph, and nothing on it changes. Ctrl-C ends fio on every machine.

    Ends with 0 (fast enough), 1 (too slow), 2 (wrong usage), 3 (not measured) or 4 (refused).
    """
    profile = load_profile(cluster)
    jobs = load_jobs(length)
    disks = _permitted(profile, allow_writes)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with connect(profile) as reach:
        results = _measured(
            reach,
            disks,
            lambda: measure(
                reach,
                profile.cluster().osd_disks,
                jobs,
                least_bytes=int(disks.at_least_gib * _GIB),
                tell=_tell,
            ),
        )
    _finish(profile, disks, length, results, write_baseline=baseline, as_json=as_json)


def _finish(
    profile: Profile,
    disks: Disks,
    length: str,
    results: Sequence[Result],
    *,
    write_baseline: bool,
    as_json: bool,
) -> None:
    known = baselines.read(disks.baseline)
    compared = known if known is not None and known.measured == disks.state else None
    slow = {it.machine: tuple(too_slow(it, _targets(profile), compared)) for it in results}
    status = exit_of(results, slow)
    if write_baseline and status in (Exit.GO, Exit.NO_GO):
        baselines.write(disks.baseline, results, disks.state)
    document = {
        "schema": 1,
        "cluster": profile.name,
        "measured": disks.state,
        "length": length,
        "at": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "results": [asdict(it) | {"too_slow": slow[it.machine]} for it in results],
        "exit": int(status),
    }
    place = _keep(profile.name, document)
    if as_json:
        say_json(document)
    else:
        for it in results:
            say(f"{it.machine:<14} {_words(it, slow[it.machine])}")
        say(f"\nresult   {place}")
    raise typer.Exit(int(status))


def exit_of(results: Sequence[Result], slow: Mapping[str, Sequence[str]]) -> Exit:
    """A refusal comes first; what was not measured is no GO."""
    if any(it.refused for it in results):
        return Exit.REFUSED
    if any(slow.values()):
        return Exit.NO_GO
    proven = results and all(it.iops and not it.unproven for it in results)
    return Exit.GO if proven else Exit.NOT_PROVEN


def too_slow(
    it: Result, targets: Mapping[str, Target], compared: baselines.Baseline | None
) -> list[str]:
    """Each target that a measured disk misses, in words; one that only warns is none."""
    if it.iops is None:
        return []
    measured = {"sync_write_iops": it.iops}
    if it.p99_ms is not None:
        measured["sync_p99_ms"] = it.p99_ms
    if compared is not None and it.machine in compared.machines:
        before = compared.machines[it.machine]
        noises = (before.noise_percent, baselines.noise_percent(it.spread_percent))
        below = baselines.below_percent(it.iops, before.iops)
        # What lies within the noise is chance; noise as wide as the whole rate excuses nothing.
        if below > max((noise for noise in noises if noise < _NO_LIMIT), default=0.0):
            measured["osd_bench_deviation_percent"] = below
    return [
        f"{targets[key].words}: {number:.1f}, expected {targets[key].sign} {targets[key].number:g}"
        for key, number in measured.items()
        if not targets[key].met_by(number)
    ]


def _permitted(profile: Profile, allow_writes: bool) -> Disks:
    """The profile's disks; ConfigError or Refused before anything is contacted."""
    disks = profile.disks
    if disks is None:
        raise ConfigError(
            f"the profile {profile.name} does not say which disks are Ceph's",
            remedy="declare them in `disks:`",
        )
    if profile.declared_uid() is None:
        raise Refused(
            f"the profile {profile.name} does not say which cluster is meant",
            remedy="./cutover doctor tells its uid",
        )
    if disks.state == "raw" and not (allow_writes and disks.allow_writes):
        raise Refused(
            f"a raw benchmark writes over {disks.device}'s partition {disks.number} everywhere",
            remedy="disks.allow_writes: true in the profile, and --allow-writes, permit it",
        )
    return disks


def _measured(reach: Reach, disks: Disks, work: Callable[[], list[Result]]) -> list[Result]:
    """What was measured; when that was interrupted, a result that says so for each machine."""
    try:
        same_cluster(reach)
        return work()
    except KeyboardInterrupt:
        return [Result(machine=it, unproven="interrupted") for it in disks.osds]


def _targets(profile: Profile) -> Mapping[str, Target]:
    (requirement,) = [it for it in load_gates().requirements if it.id == _REQUIREMENT]
    return requirement.on(profile.targets.get(_REQUIREMENT, {})).targets


def _tell(machine: str, line: str) -> None:
    """Progress, as fio or we say it; the guard's answer itself is no progress."""
    try:
        line = json.loads(line)["progress"]
    except (ValueError, KeyError, TypeError):
        if line.startswith("{"):
            return
    sys.stderr.write(f"{machine}: {line}\n")


def _keep(cluster: str, document: Mapping[str, Any]) -> Path:
    """The result with all evidence, in a file of its own."""
    folder = state_dir() / "bench" / cluster
    folder.mkdir(parents=True, exist_ok=True)
    place = folder / f"{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}.json"
    place.write_text(json.dumps(document, indent=1), encoding="utf-8")
    return place


def _words(it: Result, slow: Sequence[str]) -> str:
    if it.refused:
        return f"refused: {'; '.join(it.refused)}"
    if it.iops is None or it.unproven:
        return f"not measured: {it.unproven}"
    p99 = "" if it.p99_ms is None else f", sync p99 {it.p99_ms:.1f} ms"
    spread = f", runs within {it.spread_percent:.0f} %" if it.spread_percent else ""
    verdict = f"  too slow: {'; '.join(slow)}" if slow else ""
    return f"{it.iops:.0f} committed writes/s{p99}{spread}{verdict}"
