"""A load on both platforms in turn: the runs, the recorded ones, leave for a live one, verdicts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import typer
from pydantic import ValidationError
from typer.testing import CliRunner

from harness.checks import CHECKS
from harness.commands import load as command
from harness.core.errors import ConfigError, NotProven, Refused
from harness.core.model import Exit, Outcome, Verdict
from harness.drill.context import Options
from harness.drill.service import DrillService
from harness.facts.loads import COMPARISON, Offered, Recorded
from harness.facts.schema import Known, Unknown, dump, read
from harness.load import comparison
from harness.load.spec import LoadSpec, old_spec, staged_spec
from harness.pytest_gate.catalogue import Step as StepText
from harness.settings import Profile
from harness.settings.loads import LoadBaseline, find_load
from harness.tests import probe_rig
from harness.tests.clean_case import case, clean
from harness.tests.clean_cluster import CLUSTER
from harness.tests.stage import manifest, requirement, scenario, session

NO_SLOWER = "the new platform is no slower under the same load"
OLD = "10.0.0.2"
CLI = typer.Typer()
CLI.command()(command.load)


# --- the check ---


def judged(change: Callable[[Any], object] = lambda _: None) -> Verdict:
    there = clean()
    change(there["load-comparison"][CLUSTER.name]["busy-hour"]["value"])
    return CHECKS[NO_SLOWER](case(there))


def slower(factor: float, key: str = "p99_ms") -> Callable[[Any], object]:
    def change(compared: Any) -> None:
        for run in compared["new"]:
            run["whole"][key] *= factor

    return change


def new(**known: Any) -> Callable[[Any], object]:
    return lambda it: [run["whole"].update(known) for run in it["new"]]


def test_an_equal_platform_passes_and_its_ratio_is_measured() -> None:
    verdict = judged()
    assert verdict.outcome is Outcome.PASS
    assert verdict.measured == {"slower_ratio": 1.0}
    assert verdict.reason.endswith("the new platform is no slower than the old one")


def test_runs_whose_p99_is_their_slowest_request_are_named() -> None:
    verdict = judged(new(answered=39, errors={}))
    assert verdict.outcome is Outcome.PASS
    assert "p99 is the slowest one: busy-hour: 39 requests" in verdict.reason


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (slower(1.4), "expected p99 at most 1.2 × the old platform's, seen 1.40 ×"),
        (slower(1.4, "p95_ms"), "expected p95 at most 1.2 × the old platform's, seen 1.40 ×"),
        (new(p95_ms=None, p99_ms=None), "seen too few answers"),
    ],
)
def test_a_slower_platform_fails_with_the_times_of_all_runs(
    change: Callable[[Any], object], says: str
) -> None:
    verdict = judged(change)
    assert (verdict.outcome, says in verdict.reason) == (Outcome.FAIL, True), verdict.reason
    assert "80, 81, 82, 83, 84 ms before" in verdict.reason or "p95" in says


def both(number: int, **known: Any) -> Callable[[Any], object]:
    """A change of one old run, beside a new platform that would fail."""

    def change(compared: Any) -> None:
        slower(3)(compared)
        compared["old"][number].update(known)

    return change


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (slower(1.2), "too few runs, or too much noise, to tell"),
        (lambda it: [it[side].pop() for side in ("old", "new") for _ in range(2)], "too few runs"),
        (both(1, troubles=["it ended early"]), "run 2 on the old platform: it ended early"),
        (both(0, busy_percent=97.0), "used 97 % of a processor"),
        (
            lambda it: it["old"][0]["whole"].update(p99_ms=None, errors={"timed out": 30}),
            "too few of its requests were answered: {'timed out': 30}",
        ),
    ],
)
def test_noise_few_runs_and_a_baseline_that_was_not_well_prove_nothing(
    change: Callable[[Any], object], says: str
) -> None:
    verdict = judged(change)
    assert (verdict.outcome, says in verdict.reason) == (Outcome.NOT_PROVEN, True), verdict.reason


def test_the_day_of_recorded_runs_is_said() -> None:
    verdict = judged(lambda it: it.update(recorded="2026-03-01"))
    assert verdict.outcome is Outcome.PASS
    assert verdict.reason.endswith("the old one, as recorded on 2026-03-01")


def test_a_load_that_was_not_compared_is_not_proven() -> None:
    there = clean()
    there["load-comparison"][CLUSTER.name] = {"busy-hour": {"error": "no request was answered"}}
    verdict = CHECKS[NO_SLOWER](case(there))
    assert verdict.outcome is Outcome.NOT_PROVEN
    assert "no request was answered" in verdict.reason
    bare = replace(case(there), cluster=replace(CLUSTER, loads={}))
    assert CHECKS[NO_SLOWER](bare).outcome is Outcome.NOT_PROVEN


# --- the runs ---


def profile(**baseline: Any) -> Profile:
    told = {"addresses": [OLD], "pairs": 4, **baseline}
    sites = probe_rig.PROFILE.ingress
    assert sites is not None
    ingress = sites.model_validate({**sites.model_dump(), "sites": ["app.example"]})
    return probe_rig.PROFILE.model_copy(
        update={
            "loads": ("busy-hour",),
            "ingress": ingress,
            "load_baseline": LoadBaseline.model_validate(told),
        }
    )


def clean_run() -> Offered:
    value = clean()["load-comparison"][CLUSTER.name]
    compared = read(COMPARISON.kind, value)["busy-hour"]
    assert isinstance(compared, Known)
    return compared.value.old[0]


@pytest.fixture
def offered(monkeypatch: pytest.MonkeyPatch) -> list[LoadSpec]:
    """The loads that were offered, one after the other; nothing is sent."""
    those: list[LoadSpec] = []

    def offer(spec: LoadSpec) -> Offered:
        those.append(spec)
        return clean_run()

    monkeypatch.setattr(comparison, "offer", offer)
    return those


def recorded(path: Path, **changes: Any) -> Path:
    what = staged_spec(find_load("busy-hour"), profile()).what
    runs = (clean_run(),) * 4
    comparison.write(path, replace(Recorded(what, "2026-03-01", runs), **changes))
    return path


def nothing() -> None:
    """The old platform may get a load."""


def test_both_platforms_get_the_same_plan_in_turn_by_their_own_ways(
    offered: list[LoadSpec],
) -> None:
    told: list[str] = []
    hosts = {"app.example": "app.old.example"}
    compared = comparison.compare("busy-hour", profile(hosts=hosts), told.append, nothing)
    assert (len(compared.old), len(compared.new)) == (4, 4)
    assert [list(it.addresses) for it in offered] == [[OLD], ["10.0.0.200"]] * 4
    assert [it.pages[0].host for it in offered] == ["app.old.example", "app.example"] * 4
    assert len({(it.plan, it.timeout_s) for it in offered}) == 1
    assert told[:2] == [
        "busy-hour, pair 1 of 4: the old platform",
        "busy-hour, pair 1 of 4: the new platform",
    ]


def test_the_old_platforms_scheme_port_and_authority_are_its_own() -> None:
    spec = staged_spec(find_load("busy-hour"), profile())
    old = old_spec(spec, LoadBaseline.model_validate({"addresses": [OLD], "scheme": "https"}))
    assert (spec.scheme, spec.port) == ("http", 80)
    assert (old.scheme, old.port, old.authority) == ("https", 443, None)
    with pytest.raises(ValidationError, match="or `recorded:` runs of it"):
        LoadBaseline.model_validate({})


def test_no_request_is_sent_to_the_old_platform_once_the_lock_is_lost(
    offered: list[LoadSpec],
) -> None:
    def lost() -> None:
        if len(offered) == 2:
            raise Refused("another harness has the lock")

    with pytest.raises(Refused):
        comparison.compare("busy-hour", profile(), str, lost)
    assert len(offered) == 2


def test_recorded_runs_are_compared_with_new_ones_of_the_new_platform_alone(
    offered: list[LoadSpec], tmp_path: Path
) -> None:
    file = recorded(tmp_path / "old.json")
    there = profile(addresses=[], recorded={"busy-hour": str(file)})
    compared = comparison.compare("busy-hour", there, str, nothing)
    assert compared.recorded == "2026-03-01"
    assert [list(it.addresses) for it in offered] == [["10.0.0.200"]] * 4
    assert dump(compared.old) == dump((clean_run(),) * 4)


def test_a_load_without_recorded_runs_cannot_be_compared_once_the_old_platform_is_gone(
    offered: list[LoadSpec],
) -> None:
    gone = profile(addresses=[], recorded={"another": "/none.json"})
    with pytest.raises(NotProven, match="no runs of this load are recorded"):
        comparison.compare("busy-hour", gone, str, nothing)
    assert offered == []


def test_recorded_runs_of_another_load_prove_nothing(
    offered: list[LoadSpec], tmp_path: Path
) -> None:
    file = recorded(
        tmp_path / "old.json", what="stage 1, 5/s: 5 requests/s for 20 s, seed 1: GET /"
    )
    with pytest.raises(NotProven, match=r"got another load on 2026-03-01 \(stage 1, 5/s"):
        comparison.compare("busy-hour", profile(recorded={"busy-hour": str(file)}), str, nothing)
    assert offered == []


def test_the_old_platform_is_recorded_alone_and_no_file_is_replaced(
    offered: list[LoadSpec], tmp_path: Path
) -> None:
    found = comparison.record("busy-hour", profile(), str, nothing)
    assert [list(it.addresses) for it in offered] == [[OLD]] * 4
    comparison.write(tmp_path / "old.json", found)
    assert comparison.recorded_in(tmp_path / "old.json") == found
    with pytest.raises(FileExistsError):
        comparison.write(tmp_path / "old.json", found)


def test_a_file_that_holds_no_runs_is_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "old.json").write_text("{}")
    for name in ("old.json", "none.json"):
        with pytest.raises(ConfigError, match="holds no recorded runs of a load"):
            comparison.recorded_in(tmp_path / name)


def test_a_run_that_cannot_begin_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def offer(_: LoadSpec) -> Offered:
        raise NotProven("no request of the load was answered")

    monkeypatch.setattr(comparison, "offer", offer)
    with pytest.raises(NotProven, match="pair 1 of 4: the old platform: no request"):
        comparison.compare("busy-hour", profile(), str, nothing)
    bare = profile().model_copy(update={"load_baseline": None})
    with pytest.raises(NotProven, match="does not say how the old platform is reached"):
        comparison.compare("busy-hour", bare, str, nothing)


# --- a run of the gate, and the command ---

ASKS = scenario().model_copy(update={"steps": (StepText(keyword="Then", text=NO_SLOWER),)})
PLAN = manifest(requirements=(requirement(targets={}),), scenarios=(ASKS,))


def service(like: Profile, *, allowed: bool) -> DrillService:
    return DrillService(
        reach=probe_rig.reach(like=like),
        folder=Path("/nowhere"),
        options=Options(allowed=allowed, seed=1),
        progress=lambda _: None,
        hide=str,
    )


def test_a_live_old_platform_gets_a_load_only_with_leave(
    offered: list[LoadSpec], tmp_path: Path
) -> None:
    with pytest.raises(NotProven, match="disturbs a live platform: it needs --allow-disruption"):
        session(
            tmp_path / "run",
            cast(Any, service(profile(), allowed=False)),
            lambda run: run.compare_loads(),
        )
    with pytest.raises(Refused, match="does not allow disruption"):
        session(
            tmp_path / "refused",
            cast(Any, service(profile(), allowed=True)),
            lambda run: run.compare_loads(),
        )
    assert offered == []


def test_recorded_runs_need_no_leave_and_are_observed_once(
    offered: list[LoadSpec], tmp_path: Path
) -> None:
    file = recorded(tmp_path / "old.json")
    there = service(profile(recorded={"busy-hour": str(file)}), allowed=False)

    def twice(run: Any) -> None:
        run.compare_loads()
        run.compare_loads()

    run_state = session(tmp_path / "run", cast(Any, there), twice)
    assert len(offered) == 4
    (seen,) = run_state.observations(COMPARISON.name).values()
    found = read(COMPARISON.kind, seen.value)["busy-hour"]
    assert not isinstance(found, Unknown)
    assert found.value.recorded == "2026-03-01"


def test_the_command_hands_the_baseline_on_and_reads_it_first(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[list[str]] = []

    def run(_: str, options: list[str], *, as_json: bool) -> int:
        asked.append(options)
        return int(as_json)

    monkeypatch.setattr(command, "run_features", run)
    file = recorded(tmp_path / "old.json")
    told = CliRunner().invoke(CLI, ["busy-hour", "--baseline", str(file), "--allow-disruption"])
    assert told.exit_code == Exit.GO, told.output
    assert asked == [
        [
            "--week=9",
            "--only=W9-LOAD",
            "--load=busy-hour",
            f"--baseline={file}",
            "--allow-disruption",
        ]
    ]
    wrong = CliRunner().invoke(CLI, ["busy-hour", "--baseline", str(tmp_path / "none.json")])
    assert isinstance(wrong.exception, ConfigError)


def test_the_old_platform_is_recorded_only_with_leave(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(command, "load_profile", lambda _: profile())
    told = CliRunner().invoke(CLI, ["busy-hour", "--record", str(tmp_path / "old.json")])
    assert isinstance(told.exception, Refused)
    (tmp_path / "old.json").write_text("")
    told = CliRunner().invoke(
        CLI, ["busy-hour", "--record", str(tmp_path / "old.json"), "--allow-disruption"]
    )
    assert "recorded runs are not replaced" in str(told.exception)
