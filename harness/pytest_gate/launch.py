"""Opens a run: the options of its command line become a manifest, a folder and a journal.

Every mistake in files or options is found here, before anything is touched.
"""

from __future__ import annotations

import platform
import re
import secrets
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

from harness import __version__
from harness.checks import Check
from harness.core.errors import ConfigError, Refused
from harness.core.model import Outcome
from harness.drill.context import Options
from harness.drill.restore import customer_of
from harness.drill.schedule import Turn
from harness.drill.shift import order_of
from harness.gate import Manifest, RunState, judge, streaks
from harness.pytest_gate.catalogue import Scenario, read_features
from harness.record.bundle import Signer
from harness.record.history import REMEMBERED, chosen_turns, recorded_seed, run_folder, whole_gates
from harness.record.journal import Journal, Record, hand_on
from harness.record.records import Kind, Session
from harness.record.redaction import Redactor, secrets_of
from harness.settings import ROOT, Gates, Profile, load_gates, load_profile, load_waivers
from harness.settings.drills import seconds
from harness.settings.loads import LoadBaseline

# A resumed run mixes observations of two times: beyond a day they no longer show one state.
RESUMABLE = timedelta(hours=24)

_RECORDED_VERSIONS = ("kubernetes", "paramiko", "pytest", "pytest-bdd")


def add_options(parser: pytest.Parser) -> None:
    """Add the gate's options to those of pytest."""
    group = parser.getgroup("gate", "the gate")
    group.addoption("--cluster", default="lab", help="cluster profile, by name or path")
    group.addoption("--week", type=int, help="prove what is due by this week")
    group.addoption("--only", action="append", default=[], help="prove this requirement only")
    group.addoption("--drill", help="carry out this drill, and nothing else")
    group.addoption("--load", help="offer this load instead of the profile's")
    group.addoption("--baseline", type=Path, help="compare with this file's runs of the load")
    group.addoption("--workers", type=int, help="let so many workers offer the load")
    group.addoption("--listen", help="let them come to this address of this computer")
    group.addoption("--allow-disruption", action="store_true", help="let drills break things")
    group.addoption("--machine", action="append", default=[], help="run drills on this machine")
    group.addoption("--seed", type=int, help="draw every choice from this number")
    group.addoption("--soak-for", default="8h", help="soak for this duration")
    group.addoption("--replay", help="replay the turns of this run's soak")
    group.addoption("--turns", help="replay only these turns, by number: 1,4,5")
    group.addoption("--customer", help="restore this customer's backup")
    group.addoption("--to", help="move the traffic to these shares, and leave it there: 1,10,50")
    group.addoption("--past-no-return", help="this person agrees to pass the point of no return")
    group.addoption("--resume", help="go on with this run")
    group.addoption("--without-evidence", action="store_true", help="collect no evidence when red")
    group.addoption("--signing-key", type=Path, help="sign the evidence with this key")


def runs_features(config: pytest.Config) -> bool:
    """True if pytest was started on feature files."""
    features = config.rootpath / "features"
    paths = [(config.invocation_params.dir / arg.split("::")[0]).resolve() for arg in config.args]
    return any(features in (path, *path.parents) or path in features.parents for path in paths)


def is_bare_week(config: pytest.Config) -> bool:
    """Without a path, ``pytest -m week3`` means the features."""
    return config.args_source is config.ArgsSource.TESTPATHS and _week(config) is not None


def _week(config: pytest.Config) -> int | None:
    """The requested week: "-m week1" is its gate too; of several weeks, the last one's."""
    marked = [int(week) for week in re.findall(r"\bweek(\d+)\b", config.option.markexpr)]
    return config.option.week if config.option.week is not None else max(marked, default=None)


def asked(config: pytest.Config) -> Asked:
    """The run that the command line requests."""
    return Asked(
        cluster=config.option.cluster,
        week=_week(config),
        only=tuple(config.option.only),
        drill=config.option.drill,
        customer=config.option.customer,
        resume=config.option.resume,
        signing_key=config.option.signing_key,
        root=config.rootpath,
    )


def profile_of(config: pytest.Config) -> Profile:
    """The requested cluster's profile; with ``--load``, that load is the only one of it.

    With ``--baseline``, that load is compared with the recorded runs of this file, and with
    ``--workers``, so many workers offer it.
    """
    option = config.option
    profile = load_profile(option.cluster).offered_by(option.workers, option.listen)
    load, file = option.load, option.baseline
    if load is None:
        return profile
    baseline = profile.load_baseline if file is None else LoadBaseline(recorded={load: file})
    return profile.model_copy(update={"loads": (load,), "load_baseline": baseline})


def drill_options(config: pytest.Config, profile: Profile) -> Options:
    """The command line's options for drills and soaks; ConfigError for an unknown name."""
    option = config.option
    profile.require_machines(option.machine)
    within_min = profile.drills_within_min
    if option.customer is not None:
        customer_of(profile, option.customer)
    return Options(
        allowed=option.allow_disruption,
        seed=_seed(config),
        machines=tuple(option.machine),
        soak_s=seconds(option.soak_for),
        turns=_turns(config),
        customer=option.customer,
        shift=None if option.to is None else order_of(profile, option.to, option.past_no_return),
        # A drill that was asked for by name takes the time that it takes.
        drills_within_s=60 * within_min if within_min and option.drill is None else None,
    )


def _seed(config: pytest.Config) -> int:
    """The given seed, or the seed of the run that is continued, or a new one."""
    option = config.option
    if option.seed is None and option.resume is not None:
        before = recorded_seed(run_folder(config.rootpath / "reports", option.resume))
        if before is not None:
            return before
    return secrets.randbits(32) if option.seed is None else int(option.seed)


def _turns(config: pytest.Config) -> tuple[Turn, ...] | None:
    """The turns of an earlier soak to replay; None: new turns are drawn."""
    if config.option.replay is None:
        return None
    folder = run_folder(config.rootpath / "reports", config.option.replay)
    return chosen_turns(folder, config.option.turns)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The requested run; a week of None means the last one.

    With ``drill``, the run is that drill alone, without the other scenarios of its requirements.
    """

    cluster: str = "lab"
    week: int | None = None
    only: tuple[str, ...] = ()
    drill: str | None = None
    customer: str | None = None
    resume: str | None = None
    signing_key: Path | None = None
    root: Path = ROOT

    @property
    def reports(self) -> Path:
        return self.root / "reports"


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """An open run; ``settled`` names the scenarios that need not run again."""

    folder: Path
    journal: Journal
    run_state: RunState
    redactor: Redactor
    signer: Signer
    settled: frozenset[str] = field(default_factory=frozenset)


def open_run(asked: Asked, profile: Profile, checks: Mapping[str, Check]) -> Opened:
    """Begin a run, or continue one; ConfigError or Refused with nothing touched."""
    signer = Signer.load(asked.signing_key)
    redactor = Redactor(secrets_of(profile) | signer.secrets, signer.derived("redaction"))
    if asked.resume is not None:
        return _resume(asked, asked.resume, profile, checks, redactor, signer)
    manifest = plan_run(asked, profile)
    folder = asked.reports / manifest.run
    journal = Journal.create(folder, manifest.run, redactor)
    run_state = RunState(checks)
    run_state.feed(
        journal.append(Kind.MANIFEST, manifest.run, manifest.model_dump(mode="json", by_alias=True))
    )
    session = Session(signer=signer.fingerprint)
    run_state.feed(journal.append(Kind.SESSION, manifest.run, session))
    return Opened(
        folder=folder, journal=journal, run_state=run_state, redactor=redactor, signer=signer
    )


def plan_run(asked: Asked, profile: Profile) -> Manifest:
    """The content of a run, without beginning it."""
    gates = load_gates(asked.root / "scenarios/gates")
    week = gates.last_week if asked.week is None else asked.week
    due = gates.due(week)
    gates.require_due(asked.only, week)
    unknown = sorted(set(profile.targets) - {it.id for it in gates.requirements})
    if unknown:
        raise ConfigError(
            f"`targets:` of profile {profile.name} names what no gate has: {', '.join(unknown)}",
            remedy="name a requirement of scenarios/gates",
        )
    cluster = profile.cluster()
    ids = {it.id for it in due if not asked.only or it.id in asked.only}
    scenarios = read_features(asked.root / "features")
    _parts_exist(gates, scenarios, cluster.parts | cluster.absent.keys())
    chosen = tuple(
        scenario
        for scenario in scenarios
        if ids & set(scenario.requirements) and asked.drill in (None, scenario.drill)
    )
    # One drill measures the targets of its own part; nothing else measures the others.
    parts = cluster.parts if asked.drill is None else {it for one in chosen for it in one.needs}
    requirements = tuple(it.on(profile.changes(it.id)).of(parts) for it in due if it.id in ids)
    commit, uncommitted = _commit(asked.root)
    before = whole_gates(asked.reports, profile.name)
    return Manifest(
        run=f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-week{week:02d}-{secrets.token_hex(2)}",
        week=week,
        due=len(due),
        only=tuple(sorted(asked.only)),
        drill=asked.drill,
        customer=asked.customer,
        cluster=cluster,
        cluster_title=profile.title,
        cluster_argument=asked.cluster,
        commit=commit,
        uncommitted=uncommitted,
        versions=_versions(),
        requirements=requirements,
        waivers=load_waivers(
            profile.name,
            {requirement.id for requirement in gates.requirements},
            asked.root / "scenarios/waivers",
        ),
        scenarios=chosen,
        past=before[-REMEMBERED:],
        streaks=streaks(before),
    )


def _resume(
    asked: Asked,
    run: str,
    profile: Profile,
    checks: Mapping[str, Check],
    redactor: Redactor,
    signer: Signer,
) -> Opened:
    folder = run_folder(asked.reports, run)
    run_state = RunState(checks)

    def accept(records: Iterable[Record]) -> None:
        hand_on(records, run_state.feed)
        _may_resume(asked, run_state, profile)

    journal = Journal.reopen(folder, redactor, accept=accept)
    settled = _settled(run_state)
    session = Session(signer=signer.fingerprint)
    run_state.feed(journal.append(Kind.SESSION, run_state.manifest.run, session))
    return Opened(
        folder=folder,
        journal=journal,
        run_state=run_state,
        redactor=redactor,
        signer=signer,
        settled=settled,
    )


def _may_resume(asked: Asked, run_state: RunState, profile: Profile) -> None:
    """ConfigError or Refused when this run cannot continue with the given options."""
    manifest = run_state.manifest
    commit, _ = _commit(asked.root)
    if asked.only or (asked.week is not None and asked.week != manifest.week):
        raise ConfigError(
            f"{manifest.run} was asked to prove something else",
            remedy="leave the week and --only out: a resumed run proves what it was asked to",
        )
    if manifest.cluster.name != profile.name:
        raise ConfigError(
            f"{manifest.run} looked at {manifest.cluster.name}, not {profile.name}",
            remedy=f"resume it with --cluster {manifest.cluster.name}",
        )
    if manifest.commit != commit:
        raise Refused(
            f"{manifest.run} ran with commit {manifest.commit}, this is {commit}",
            remedy="start a new run: evidence of two versions makes no verdict",
        )
    age = datetime.now(UTC) - run_state.first.moment
    if age > RESUMABLE:
        raise Refused(
            f"{manifest.run} began {age.days * 24 + age.seconds // 3600} hours ago",
            remedy="start a new run: a cluster does not stand still for a day",
        )


def _settled(run_state: RunState) -> frozenset[str]:
    """The scenarios with a complete result, good or bad."""
    grounds = [ground for judged in judge(run_state).judged for ground in judged.grounds]
    unknown = {it.scenario for it in grounds if it.outcome is Outcome.NOT_PROVEN}
    return frozenset(
        ground.scenario
        for ground in grounds
        if ground.scenario is not None and ground.scenario not in unknown
    )


def point_latest(folder: Path) -> None:
    """Point ``latest``, beside the run's folder, to it; a hint if that fails.

    Called last, for a run that is judged and signed: a killed run never becomes the latest.
    """
    link = folder.parent / "latest"
    fresh = folder.parent / f".latest-{folder.name}"
    try:
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(folder.name)
        fresh.replace(link)
    except OSError as error:
        with suppress(OSError):
            fresh.unlink(missing_ok=True)
        words = f"{link} does not point to this run: {error.strerror}. Remove what is there."
        sys.stderr.write(f"cutover: {words}\n")


def _parts_exist(gates: Gates, scenarios: Sequence[Scenario], known: frozenset[str]) -> None:
    needs = {requirement.id: requirement.needs for requirement in gates.requirements}
    needs |= {scenario.id: scenario.needs for scenario in scenarios}
    needs |= {
        f"{requirement.id}, {key}": (target.needs,)
        for requirement in gates.requirements
        for key, target in requirement.targets.items()
        if target.needs is not None
    }
    for name, parts in needs.items():
        unknown = sorted(set(parts) - known)
        if unknown:
            raise ConfigError(
                f"{name} needs {', '.join(unknown)}, which no profile can declare",
                remedy=f"parts are: {', '.join(sorted(known))}",
            )


def _commit(root: Path) -> tuple[str, bool]:
    """The checked-out commit, and whether there are uncommitted changes."""
    commit = _git(root, "rev-parse", "HEAD")
    if commit is None:
        return "unknown", False
    return commit.strip(), _git(root, "status", "--porcelain") != ""


def _git(root: Path, *arguments: str) -> str | None:
    try:
        return subprocess.run(
            ["git", "-C", str(root), *arguments],
            capture_output=True,
            text=True,
            check=True,
            timeout=20,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None


def _versions() -> dict[str, str]:
    found = {"cutover": __version__, "python": platform.python_version()}
    for package in _RECORDED_VERSIONS:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "missing"
    return found
