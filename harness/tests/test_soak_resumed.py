"""A soak whose harness was killed: nothing that was known is lost, and no turn is taken twice."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field

from harness.checks import CHECKS
from harness.core.errors import NotListening, NotProven, TransportError, Unhealed
from harness.core.model import Outcome, Verdict
from harness.drill import service as module
from harness.drill.context import Options
from harness.drill.recovery import RecoveryResult
from harness.drill.schedule import Turn, drawn
from harness.drill.service import DrillService
from harness.drill.soak import rebuilt, soak
from harness.facts.drills import EndReason
from harness.faults.disruption_lock import DisruptionLock
from harness.faults.kinds import FAULTS
from harness.gate import RunState
from harness.ledger.history import History
from harness.ledger.read_back import read_again, recovered
from harness.record.journal import Journal, JournalReader
from harness.record.records import DrillOutcome, Kind, SoakEvent
from harness.settings import ROOT
from harness.settings.drills import load_soak
from harness.tests import clean_drills
from harness.tests.clean_case import case, clean
from harness.tests.clean_cluster import NAMES
from harness.tests.drill_world import World
from harness.tests.fake_transport import FakeKube
from harness.tests.killed_soak import PART, RULES, SEED, SPACE
from harness.tests.ledger_rig import ground
from harness.tests.noop_fault import NoOp, Note
from harness.tests.stage import reach

LISTED = "/api/v1/namespaces?labelSelector=app.kubernetes.io%2Fmanaged-by%3Dcutover"
MIB_AN_HOUR = 50


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a soak that was killed in its third turn."""
    folder = tmp_path_factory.mktemp("killed")
    ended = subprocess.run(
        [sys.executable, "-m", "harness.tests.killed_soak", str(folder), "3"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    return folder


@pytest.fixture
def run_state(killed: Path) -> RunState:
    """What the next session knows of it."""
    known = RunState.of(JournalReader(killed / "run"), CHECKS)
    last = known.last
    known.feed(last._replace(kind="session", data={}))
    return known


def test_the_turns_of_a_killed_soak_are_known_and_the_next_one_follows(run_state: RunState) -> None:
    value = rebuilt(RULES, run_state.broken_off[PART])
    assert [turn["number"] for turn in value["turns"]] == [1, 2, 3]
    assert [turn.get("broken_off") for turn in value["turns"]] == [
        None,
        None,
        EndReason.HARNESS_KILLED,
    ]
    assert all(turn["faults"][0]["gone_s"] >= 0 for turn in value["turns"][:2])
    assert (value["ended"], value["wanted_s"]) == (EndReason.HARNESS_KILLED, 600.0)
    assert value["lasted_s"] >= value["turns"][2]["at_s"] > 0
    assert len(value["footprints"]) == 1
    drilling = drills(soak_s=600.0)
    before = [DrillOutcome(value=value, tallies={})]
    assert not drilling.is_soaked(before)
    assert drilling._left_s(before) == pytest.approx(600.0 - value["lasted_s"])
    following = next(drilling._turns(RULES, before))
    assert following == list(islice(drawn(RULES, ("one", "two"), SEED), 4))[3]


def test_the_fault_of_the_killed_turn_is_known_to_be_open(run_state: RunState) -> None:
    (left,) = run_state.left.values()
    assert left["undo"]["commands"] == [["mend"]]


def test_at_every_record_of_its_journal_a_soak_can_be_put_together(run_state: RunState) -> None:
    events = run_state.broken_off[PART]
    for number in range(1, len(events) + 1):
        value = rebuilt(RULES, events[:number])
        begun = [it["turn"]["number"] for it in events[:number] if it["event"] == "turn begun"]
        over = [it["turn"]["number"] for it in events[:number] if it["event"] == "turn over"]
        assert [turn["number"] for turn in value["turns"]] == begun
        assert [it["number"] for it in value["turns"] if "broken_off" not in it] == over
        assert value["ended"] == EndReason.HARNESS_KILLED


def test_what_ended_by_itself_is_over_and_what_was_stopped_is_gone_on_with() -> None:
    begun = SoakEvent(event="begun", lasted_s=0.0, ended=None, wanted_s=60.0, space=SPACE)
    ends = {None: True, EndReason.BY_HAND: False, "a fault stayed: it is there": True}
    for ended, is_over in ends.items():
        value = rebuilt(RULES, [begun, SoakEvent(event="over", lasted_s=9.0, ended=ended)])
        assert value["ended"] == ended
        outcome = DrillOutcome(value=value, tallies={})
        assert drills(soak_s=60.0).is_soaked([outcome]) is is_over, ended


def test_how_the_visitors_of_a_killed_soak_fared_is_not_known_and_that_is_said(
    run_state: RunState,
) -> None:
    events = run_state.broken_off[PART]
    assert lasted(rebuilt(RULES, events)["load"]).outcome is Outcome.NOT_PROVEN
    reason = lasted(rebuilt(RULES, events)["load"]).reason
    assert "was killed, or broke off: how its visitors fared is not known" in reason
    assert "no request was made" not in reason
    unvisited: list[Any] = [{**events[0], "load": False}, *events[1:]]
    assert rebuilt(RULES, unvisited)["load"] is None
    over: Any = {**events[-1], "event": "over", "load": clean_drills.load("all")}
    assert lasted(rebuilt(RULES, [*events, over])["load"]).outcome is Outcome.PASS


def lasted(load: Any) -> Verdict:
    """A soak of two parts of which the first one was killed."""
    seen = clean()
    whole = {**seen["soak"][clean_drills.PART], "lasted_s": 14401.0}
    seen["soak"] = {
        PART: {**whole, "ended": EndReason.HARNESS_KILLED, "load": load},
        "part 2": whole,
    }
    return CHECKS["the soak lasted as long as it should"](case(seen))


def test_a_soak_journals_how_its_visitors_fared_when_it_is_over() -> None:
    world = World()
    turns = drawn(RULES, ("one", "two"), SEED)
    value, _ = soak(RULES, turns, 0.0, world.context(PART))
    fared = {"phases": {}, "troubles": ["whole: True"]}
    told = [data for kind, data in world.events if kind in ("begun", "over")]
    assert [it["load"] for it in told] == [True, fared]
    assert value["load"] == rebuilt(RULES, told)["load"] == fared


def read(folder: Path, patch: pytest.MonkeyPatch) -> Any:
    with ground(folder, patch) as made:
        tallies = read_again(
            lambda _: made.stage, ["http"], folder=folder / "ledger/everything", within_s=5
        )
    return tallies["http"]


def test_what_a_killed_harness_had_acknowledged_is_read_back_and_judged(
    killed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tally = read(killed, monkeypatch)
    assert tally.ok >= 15
    assert tally.found >= tally.ok
    assert (tally.lost, tally.duplicated, tally.unexpected, tally.stale) == (0, 0, 0, 0)
    assert (tally.troubles, tally.unread) == ((), "")


def test_what_was_lost_meanwhile_is_told_of_a_killed_harness_too(
    killed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subprocess.run(["cp", "-r", f"{killed}/.", str(tmp_path)], check=True)
    for path in (tmp_path / "ledger/everything").glob("*.found"):
        path.unlink()
    for path in (tmp_path / "kept/http").iterdir():
        kept = path.read_text().splitlines(keepends=True)
        path.write_text("".join(kept[4:]))
    assert read(tmp_path, monkeypatch).lost > 0


def test_what_cannot_be_read_back_is_not_proven_aloud(killed: Path, tmp_path: Path) -> None:
    subprocess.run(["cp", "-r", f"{killed}/ledger/everything/book", str(tmp_path)], check=True)

    def nowhere(kind: str) -> Any:
        raise NotListening(f"no way to {kind}")

    away = read_again(nowhere, ["http"], folder=tmp_path, within_s=0.1)["http"]
    gone = _recovered(tmp_path, FakeKube({LISTED: {"items": []}}))["http"]
    going = {"metadata": {"name": SPACE, "deletionTimestamp": "2026-11-26T10:00:00Z"}}
    leaving = _recovered(tmp_path, FakeKube({LISTED: {"items": [going]}}))["http"]
    for tally, words in ((away, "no way to http"), (gone, "is gone"), (leaving, "is gone")):
        assert tally.ok >= 15
        assert tally.unread
        assert words in tally.troubles[0]
        verdict = judged_ledger(tally.to_json() | {"kept": ["http"]})
        assert verdict.outcome is Outcome.NOT_PROVEN
        assert words in verdict.reason


def _recovered(folder: Path, kube: FakeKube) -> Any:
    made = reach(kube)
    given: Any = {"folder": folder, "space": SPACE, "run": "run", "seed": SEED}
    return recovered(made, names=["http"], hide=len, **given)


def judged_ledger(tally: Any) -> Verdict:
    seen = clean()
    seen["ledger"] = {"http": tally}
    return CHECKS["the soak lost no acknowledged write"](case(seen))


def test_without_a_book_nothing_can_be_said_of_the_writes(tmp_path: Path) -> None:
    with pytest.raises(NotProven, match="there is no history"):
        _recovered(tmp_path, FakeKube())


def drills(soak_s: float, folder: Path = Path("/nowhere")) -> DrillService:
    options = Options(allowed=True, seed=SEED, soak_s=soak_s)
    return DrillService(reach=reach(), folder=folder, options=options, progress=print, hide=len)


class Recorder:
    """A run that only remembers what was written."""

    name = "run"

    def __init__(self) -> None:
        self.events: list[tuple[str, Any]] = []

    def write(self, kind: Kind, subject: str, data: Any) -> object:
        self.events.append((kind, {"subject": subject, **data}))
        return None


@pytest.fixture
def permissive(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Whoever asks may, the cluster is calm, and what was written to is gone."""
    lock = DisruptionLock(FakeKube({}), "run")
    monkeypatch.setattr(module, "permitted", lambda *_, **__: nullcontext(lock))
    monkeypatch.setattr("harness.drill.context.wait_steady", lambda *_: (0.0, ()))
    monkeypatch.setattr("harness.ledger.targets.is_there", lambda *_: False)
    return monkeypatch


@pytest.mark.parametrize("folder", ["everything", "everything.2"])
def test_a_killed_part_is_recovered_with_its_limits_its_latency_and_a_last_footprint(
    killed: Path, run_state: RunState, permissive: pytest.MonkeyPatch, tmp_path: Path, folder: str
) -> None:
    """Also when an earlier session had kept a ledger for it, and broke off before it was begun."""
    History(tmp_path / "ledger/part-1/everything/book", "run").close()
    at = tmp_path / "ledger/part-1" / folder
    at.mkdir(exist_ok=True)
    subprocess.run(["cp", f"{killed}/ledger/everything/book", str(at)], check=True)
    permissive.setattr(module, "recover_from_journal", lambda _reach, left: _mended(left))
    run = Recorder()
    done = drills(600.0, tmp_path).recover(PART, run_state.broken_off[PART], run_state.left, run)
    value: Any = done.value
    assert len(value["footprints"]) == 2
    tallies: Any = done.tallies
    assert tallies[f"{PART}/everything/http"]["ok"] >= 15
    assert {"grows_percent", "refused_percent", "slower_ratio", "latency_ms"} <= value.keys()
    assert set(done.tallies) == {f"{PART}/everything/{it}" for it in load_soak().ledger}
    assert [it["event"] for kind, it in run.events if kind == "fault"] == ["healed", "heal-proved"]


def test_a_fault_that_the_killed_harness_left_ends_the_resuming(
    run_state: RunState, permissive: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    permissive.setattr(
        module, "recover_from_journal", lambda _reach, left: _mended(left, "it stays")
    )
    with pytest.raises(Unhealed, match="it stays"):
        drills(600.0, tmp_path).recover(
            PART, run_state.broken_off[PART], run_state.left, Recorder()
        )


def _mended(left: Mapping[str, Any], trouble: str | None = None) -> Iterator[RecoveryResult]:
    for name in left:
        yield RecoveryResult(what="no-op", place="one", trouble=trouble, fault=name)


def test_an_hour_of_the_busiest_soak_leaves_a_small_journal(tmp_path: Path) -> None:
    rules = load_soak()
    with Journal.create(tmp_path / "run", "run") as journal:
        before = (tmp_path / "run/journal.jsonl").stat().st_size
        turn = {**clean_drills.run(NAMES[0]), "number": 1, "at_s": 300.0}
        seen = {"at_s": 300.0, "seen": clean_drills.footprint()}
        for event in ({"turn": turn}, {"turn": turn}, {"footprint": seen}):
            journal.append("soaked", PART, {"event": "turn over", **event, "lasted_s": 300.0})
        undo = {"commands": [["mend"]] * 20, "parameters": {"tables": "x" * 4096}}
        for _ in range(5):
            journal.append("fault", "f00d", {"event": "armed", **undo})
        took = (tmp_path / "run/journal.jsonl").stat().st_size - before
    # Each turn with a look of its own, which is more than there are.
    shortest_s = rules.pause_s[0] + min(chance.hold_s[0] for chance in rules.faults)
    an_hour = took * (3600 / shortest_s + 3600 / rules.look_every_s)
    assert an_hour < MIB_AN_HOUR * 1024 * 1024


@given(
    where=st.sampled_from(["footprint", "resolved", "inject", "healed", "calm", "outcome", "tell"]),
    error=st.sampled_from(
        [KeyError("x"), TransportError("x"), Unhealed("x"), OSError("x"), KeyboardInterrupt()]
    ),
)
@settings(max_examples=60, deadline=None)
def test_however_a_soak_ends_its_ledger_is_read_back(where: str, error: BaseException) -> None:
    world = World()

    def fails(*_: Any, **__: Any) -> Any:
        raise error

    class Failing(NoOp):
        note: Note = Field(default_factory=lambda: world.note, exclude=True)

    if where in ("resolved", "inject", "healed"):
        setattr(Failing, where, fails)
    if where == "calm":
        world.steady = fails
    if where == "tell":
        world.progress = lambda text: fails() if text.startswith("turn") else None
    if where == "outcome" and isinstance(error, Exception):
        world.load.outcome = fails  # type: ignore[method-assign]
    turn = Turn(number=1, fault="no-op", machine="one", pause_s=0, hold_s=0, seed=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(FAULTS, "no-op", Failing)
        footprint: Callable[..., Any] = fails if where == "footprint" else dict
        patch.setattr("harness.drill.soak.resource_usage", lambda _: footprint())
        value, tallies = soak(RULES, [turn], 0.5, world.context(PART))
    assert tallies == {"postgres": {"ok": 3}}
    assert not world.note.broken
    if isinstance(error, Unhealed) and where in ("inject", "resolved"):
        assert value["unhealed"]
    if isinstance(error, KeyboardInterrupt) and where != "outcome":
        assert value["ended"] == EndReason.BY_HAND
