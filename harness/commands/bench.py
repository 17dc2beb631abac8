"""``./cutover bench osd``: how fast every machine's disk for Ceph commits, all at the same time."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from harness.bench import baseline as baselines
from harness.bench.bench import Committed, Result, Through, measure
from harness.commands.output import AsJson, Cluster, say, say_json, say_progress
from harness.core.errors import ConfigError, HarnessError, Refused
from harness.core.interrupts import end_like_ctrl_c
from harness.core.model import Exit
from harness.probes import storage_bench
from harness.settings import Profile, Target, load_gates, load_profile, state_dir
from harness.settings.bench import load_jobs
from harness.settings.provision import Disks
from harness.transport import Reach, connect
from harness.transport.reach import same_cluster

_REQUIREMENT = "W3-BENCH"
_GIB = 1 << 30
_DEVIATION = "osd_bench_deviation_percent"
_THROUGH: Mapping[Through, str] = {"volume": "a shared volume", "image": "a block image"}

bench = typer.Typer(name="bench", help="Measure the disks.", no_args_is_help=True)


@bench.callback()
def _group() -> None:
    """Measure the disks."""


@bench.command()
def osd(
    cluster: Cluster = "lab",
    length: Annotated[str, typer.Option(help="quick or full.")] = "quick",
    allow_writes: Annotated[
        bool, typer.Option("--allow-writes", help="Overwrite the whole raw partition.")
    ] = False,
    baseline: Annotated[
        bool,
        typer.Option(
            "--baseline", help="Store this as the baseline of later runs, if its runs agree."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Measure the disk for Ceph on every machine at once: raw ones with fio, others through Ceph.

    Example: ./cutover bench osd --cluster contabo --length full --allow-writes

    A raw partition is overwritten, behind every guard. A partition with an OSD is measured through
    Ceph, by the OSD's own bench and by commits to a claim on CephFS and to a block image; its
    existing data stays unchanged. Ctrl-C ends fio on every machine.

    Ends with 0 (fast enough), 1 (too slow), 2 (wrong usage), 3 (not measured) or 4 (refused).
    """
    profile = load_profile(cluster)
    jobs = load_jobs(length)
    disks = _permitted(profile, allow_writes)
    end_like_ctrl_c()
    with connect(profile) as reach:
        results = _measured(
            reach,
            disks,
            lambda: through_ceph(
                reach,
                measure(
                    reach,
                    profile.cluster().osd_disks,
                    jobs,
                    least_bytes=int(disks.at_least_gib * _GIB),
                    tell=_tell,
                ),
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
    useless = baselines.useless(results) if write_baseline else ()
    status = exit_of(results, slow, useless)
    if write_baseline and not useless and status in (Exit.GO, Exit.NO_GO):
        baselines.write(disks.baseline, results, disks.state)
    document = {
        "schema": 1,
        "cluster": profile.name,
        "measured": disks.state,
        "length": length,
        "at": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "results": [asdict(it) | {"too_slow": slow[it.machine]} for it in results],
        "no_baseline": list(useless),
        "exit": int(status),
    }
    place = _keep(profile.name, document)
    if as_json:
        say_json(document)
    else:
        for it in results:
            say(f"{it.machine:<14} {_words(it, slow[it.machine])}")
        for line in useless:
            say(f"no baseline    {line}: measure again while nothing else runs")
        say(f"\nresult   {place}")
    raise typer.Exit(int(status))


def through_ceph(reach: Reach, results: list[Result]) -> list[Result]:
    """The same results, with customers' commits through Ceph if Ceph has the disks already."""
    profile, seed = reach.profile, secrets.randbits(32)
    if profile.disks is None or profile.disks.state == "raw":
        return results

    def tell(text: str) -> None:
        _tell(profile.name, text)

    ways: dict[Through, Callable[[], Mapping[str, Committed]]] = {}
    if profile.storage is not None:
        ways["volume"] = lambda: storage_bench.measure_volume(reach, seed, tell)
    if (pool := profile.ceph.image_pool) is not None:
        ways["image"] = lambda: storage_bench.measure_images(reach, pool, tell)
    told = {kind: _committed(results, way) for kind, way in ways.items()}
    return [
        replace(it, through={kind: by[it.machine] for kind, by in told.items()}) for it in results
    ]


def _committed(
    results: Sequence[Result], way: Callable[[], Mapping[str, Committed]]
) -> Mapping[str, Committed]:
    """Each machine's commits in one way; the reason if that could not be measured at all."""
    try:
        return way()
    except HarnessError as error:
        return {it.machine: Committed(unproven=str(error)) for it in results}


def exit_of(
    results: Sequence[Result], slow: Mapping[str, Sequence[str]], useless: Sequence[str] = ()
) -> Exit:
    """The exit status. A refusal comes first; a missing or incomplete measurement is no GO."""
    if any(it.refused for it in results):
        return Exit.REFUSED
    if any(slow.values()):
        return Exit.NO_GO
    proven = results and all(
        it.iops and not it.unproven and all(told.iops for told in it.through.values())
        for it in results
    )
    return Exit.GO if proven and not useless else Exit.NOT_PROVEN


def too_slow(
    it: Result, targets: Mapping[str, Target], compared: baselines.Baseline | None
) -> list[str]:
    """Each target that a measured disk misses, in words; a target that only warns is left out."""
    if it.iops is None:
        return []
    measured = {"sync_write_iops": it.iops}
    slower: list[str] = []
    if it.p99_ms is not None:
        measured["sync_p99_ms"] = it.p99_ms
    if compared is not None and it.machine in compared.machines:
        before = compared.machines[it.machine]
        measured[_DEVIATION] = _below(
            it.iops, before.iops, (before.spread_percent, it.spread_percent)
        )
        slower = list(_slower(it.through, before.through, targets[_DEVIATION]))
    return [
        f"{targets[key].words}: {number:.1f}, expected {targets[key].sign} {targets[key].number:g}"
        for key, number in measured.items()
        if not targets[key].met_by(number)
    ] + slower


def _slower(
    through: Mapping[Through, Committed],
    before: Mapping[Through, baselines.Rate],
    target: Target,
) -> Iterator[str]:
    """Each way through Ceph that is too far below its baseline, in words."""
    for kind, told in through.items():
        was = before.get(kind)
        if told.iops is None or was is None:
            continue
        below = _below(told.iops, was.iops, (was.spread_percent, told.spread_percent))
        if not target.met_by(below):
            said = f"{below:.1f} % below its baseline of {was.iops:.0f}"
            yield (
                f"committed writes/s on {_THROUGH[kind]}: {said}, expected ≤ {target.number:g} %"
            )


def _below(iops: float, before: float, spreads: Sequence[float]) -> float:
    """How far a rate is below its baseline, in percent; 0 within the noise of either.

    Noise as wide as the whole rate excuses nothing.
    """
    below = baselines.below_percent(iops, before)
    noises = [
        noise
        for it in spreads
        if (noise := baselines.noise_percent(it)) < baselines.NO_LIMIT_PERCENT
    ]
    return 0.0 if below <= max(noises, default=0.0) else below


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
            f"the profile {profile.name} declares no uid: it could be any cluster",
            remedy="./cutover doctor shows its uid: add it to the profile as `uid:`",
        )
    if disks.state == "raw" and not (allow_writes and disks.allow_writes):
        raise Refused(
            f"a raw benchmark overwrites partition {disks.number} of {disks.device}",
            remedy="disks.allow_writes: true in the profile, and --allow-writes, permit it",
        )
    return disks


def _measured(reach: Reach, disks: Disks, work: Callable[[], list[Result]]) -> list[Result]:
    """The measurement; when interrupted, a result that says so for each machine."""
    try:
        same_cluster(reach)
        return work()
    except KeyboardInterrupt:
        return [Result(machine=it, unproven="interrupted") for it in disks.osds]


def _targets(profile: Profile) -> Mapping[str, Target]:
    (requirement,) = [it for it in load_gates().requirements if it.id == _REQUIREMENT]
    return requirement.on(profile.changes(_REQUIREMENT)).targets


def _tell(machine: str, line: str) -> None:
    """Show progress of fio and of the harness; the guard's final answer is no progress."""
    try:
        line = json.loads(line)["progress"]
    except (ValueError, KeyError, TypeError):
        if line.startswith("{"):
            return
    say_progress(f"{machine}: {line}")


def _keep(cluster: str, document: Mapping[str, object]) -> Path:
    """Store the result with all evidence in a file of its own."""
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
    for kind, told in it.through.items():
        rate = f"{told.iops:.0f}/s" if told.iops else f"not measured: {told.unproven}"
        worst = "" if told.p99_ms is None else f", p99 {told.p99_ms:.1f} ms"
        spread += f"; on {_THROUGH[kind]} {rate}{worst}"
    verdict = f"  too slow: {'; '.join(slow)}" if slow else ""
    return f"{it.iops:.0f} committed writes/s{p99}{spread}{verdict}"
