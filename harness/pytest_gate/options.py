"""The gate's pytest options, and the run that a command line requests."""

from __future__ import annotations

import re
import secrets
from pathlib import Path

import pytest

from harness.drill.context import Options
from harness.drill.schedule import Turn
from harness.pytest_gate.launch import Asked
from harness.record.history import chosen_turns, recorded_seed, run_folder
from harness.settings import Profile
from harness.settings.drills import seconds


def declare(parser: pytest.Parser) -> None:
    """Add the gate's options to those of pytest."""
    group = parser.getgroup("gate", "the gate")
    group.addoption("--cluster", default="lab", help="cluster profile, by name or path")
    group.addoption("--week", type=int, help="prove what is due by this week")
    group.addoption("--only", action="append", default=[], help="prove this requirement only")
    group.addoption("--drill", help="carry out this drill, and nothing else")
    group.addoption("--allow-disruption", action="store_true", help="let drills break things")
    group.addoption("--machine", action="append", default=[], help="run drills on this machine")
    group.addoption("--seed", type=int, help="draw every choice from this number")
    group.addoption("--soak-for", default="8h", help="soak for this duration")
    group.addoption("--replay", help="replay the turns of this run's soak")
    group.addoption("--turns", help="replay only these turns, by number: 1,4,5")
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
        resume=config.option.resume,
        signing_key=config.option.signing_key,
        root=config.rootpath,
    )


def of_drills(config: pytest.Config, profile: Profile) -> Options:
    """The command line's options for drills and soaks; ConfigError for an unknown name."""
    option = config.option
    profile.require_machines(option.machine)
    return Options(
        allowed=option.allow_disruption,
        seed=_seed(config),
        machines=tuple(option.machine),
        soak_s=seconds(option.soak_for),
        turns=_turns(config),
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
