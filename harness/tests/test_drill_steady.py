"""The steady state: what is wrong, what nobody could see, and who is left out of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from harness.checks import CHECKS
from harness.core import waiting
from harness.core.errors import TransportError
from harness.core.model import Case, Outcome, Verdict
from harness.drill import steady as module
from harness.drill.context import DrillContext, Options
from harness.drill.steady import all_numbers, observe_bystanders, trouble, wait_steady
from harness.faults.disruption_lock import DisruptionLock
from harness.probes import PROBES
from harness.record.records import Kind
from harness.settings import load_gates, load_profile
from harness.settings.drills import Looks, drill_names, load_drill, load_steady
from harness.tests.ceph_seen import item
from harness.tests.clean_case import clean
from harness.tests.clean_cluster import NAMES
from harness.tests.stage import FakeProbe, reach
from harness.transport import Reach

CHECK = "all answer"
LOOKS = Looks(probes=("answers",), checks=(CHECK,))


def all_answer(case: Case) -> Verdict:
    """Every declared machine said that it is well."""
    said = case.of("answers")
    silent = [it.name for it in case.cluster.machines if said[it.name].error]
    ill = [it.name for it in case.cluster.machines if said[it.name].value == "ill"]
    outcome = Outcome.FAIL if ill else Outcome.NOT_PROVEN if silent else Outcome.PASS
    return Verdict(outcome=outcome, reason=f"ill: {ill}, silent: {silent}")


@dataclass
class Asked:
    """A probe that remembers whom it asked."""

    answers: dict[str, Any]
    name: str = "answers"
    within_s: float = 5.0
    asked: list[str] = field(default_factory=list)

    def targets(self, reach: Reach) -> Sequence[str]:
        return [it.name for it in reach.profile.machines if it.name in self.answers]

    def observe(self, reach: Reach, target: str) -> Any:
        self.asked.append(target)
        answer = self.answers[target]
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, list):  # its last answer stays
            return answer.pop(0) if answer[1:] else answer[0]
        return answer


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_EVERY_S", 0.01)
    monkeypatch.setitem(CHECKS, CHECK, all_answer)


def probing(patch: pytest.MonkeyPatch, **answers: Any) -> Asked:
    probe = Asked(answers)
    patch.setitem(PROBES, "answers", probe)
    return probe


def test_what_failed_and_what_nobody_saw_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    probing(monkeypatch, one="well", two="ill")
    assert trouble(reach(), LOOKS, {}).failed == ("all answer: ill: ['two'], silent: []",)
    probing(monkeypatch, one="well", two=TransportError("no way"))
    assert trouble(reach(), LOOKS, {}).unknown == ("all answer: ill: [], silent: ['two']",)
    probing(monkeypatch, one="well", two=ZeroDivisionError("a probe broke"))
    assert trouble(reach(), LOOKS, {}).unknown
    probing(monkeypatch, one="well")  # and the check raises KeyError
    assert "KeyError" in trouble(reach(), LOOKS, {}).unknown[0]


def test_a_machine_that_is_broken_is_neither_asked_nor_judged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    probe = probing(monkeypatch, one="well", two="ill")
    assert not trouble(reach(), LOOKS, {}, "two").all
    assert probe.asked == ["one"]
    assert trouble(reach(), LOOKS, {}, "one").failed


@pytest.mark.parametrize(
    ("code", "is_trouble"),
    [
        ("BLUESTORE_SLOW_OP_ALERT", False),
        ("BLOCK_DEVICE_STALLED_READ_ALERT", False),
        ("OSD_SLOW_PING_TIME_BACK", False),
        ("OSD_SLOW_PING_TIME_FRONT", False),
        ("SLOW_OPS", True),
        ("RECENT_CRASH", True),
    ],
)
def test_what_ceph_tells_of_the_last_minutes_or_the_last_day_is_no_trouble_now(
    monkeypatch: pytest.MonkeyPatch, code: str, *, is_trouble: bool
) -> None:
    """SLOW_OPS is an operation that waits; BlueStore warns for a day after one that was slow.

    Of heartbeats, Ceph warns by an average of 15 minutes.
    """
    seen = clean()
    warned = {code: {"severity": "HEALTH_WARN", "says": "1 OSD(s)", "detail": ["osd.2"]}}
    item("health", {"status": "HEALTH_WARN", "checks": warned, "muted": []})(seen)
    ways = reach()
    probe = FakeProbe({ways.profile.name: seen["ceph"]["test"]}, name="ceph")
    monkeypatch.setitem(PROBES, "ceph", probe)
    found = trouble(ways, Looks(probes=("ceph",), checks=("Ceph is healthy",)), {})
    assert (bool(found.failed), found.unknown) == (is_trouble, ())


@pytest.mark.parametrize("drill", ["cut-off-machine", "cut-one-way"])
def test_a_mount_that_ceph_evicted_during_a_cut_off_is_no_steady_state(
    monkeypatch: pytest.MonkeyPatch, drill: str
) -> None:
    profile = load_profile("lab")
    looks = load_drill(drill).looks_on(profile.cluster().parts)
    assert looks is not None
    answers = {it.name: clean()["legacy-mount"][NAMES[0]] for it in profile.machines}
    monkeypatch.setitem(PROBES, "legacy-mount", FakeProbe(answers, name="legacy-mount"))
    ways = replace(reach(), profile=profile)
    assert not trouble(ways, looks, {}).all
    answers[profile.machines[2].name] |= {
        "read": {"error": "OSError: [Errno 108] Cannot send after transport endpoint shutdown"}
    }
    (found,) = trouble(ways, looks, {}).failed
    assert profile.machines[2].name in found
    assert "umount -f -l /mnt/cephfs" in found


@dataclass
class Clock:
    """Goes on when somebody waits, and only then."""

    now: float = 0.0

    def monotonic(self) -> float:
        return self.now

    time = monotonic

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two seconds between looks at what is ill, ten between looks at what is well."""
    told = Clock()
    monkeypatch.setattr(module, "_EVERY_S", 2.0)
    monkeypatch.setattr(module, "_AGAIN_EVERY_S", 10.0)
    monkeypatch.setattr(module, "time", told)
    monkeypatch.setattr(waiting, "time", told)


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize(
    ("one", "took_s", "failed"),
    [
        (["well"], 0, False),
        (["ill", "ill", "well"], 4, False),
        (["ill"], 60, True),
        # What goes on must do so until the machine is healed.
        (["well", "well", "well", "ill"], 60, True),
        # What is on CephFS is read from memory for a while after its metadata server is gone.
        (["well", "well", *["ill"] * 5, "well"], 26, False),
        # One look says nothing.
        (["well", "ill", "well"], 0, False),
    ],
)
def test_the_others_went_on_once_they_are_well_for_good(
    monkeypatch: pytest.MonkeyPatch, one: list[str], took_s: float, failed: bool
) -> None:
    probing(monkeypatch, one=one, two="ill")
    seen = observe_bystanders(reach(), LOOKS, {}, "two", 60)
    says = ["all answer: ill: ['one'], silent: []"] if failed else []
    assert (seen["failed"], seen["unknown"]) == (says, [])
    assert seen["took_s"] == pytest.approx(took_s)


def test_what_is_dear_is_looked_at_only_when_all_else_is_well(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    probing(monkeypatch, one=["ill", "well"], two=["well", "well"])
    dear = FakeProbe({"one": 1}, name="dear")
    monkeypatch.setitem(PROBES, "dear", dear)
    well = Verdict(outcome=Outcome.PASS, reason="")
    monkeypatch.setitem(CHECKS, "dear", lambda _: well)
    looks = [LOOKS, Looks(probes=("dear",), checks=("dear",))]
    took_s, left = wait_steady(reach(), looks, {}, 20)
    assert (left, dear.looks) == ((), 1)
    assert took_s < 20


class Run:
    """Takes in whatever is written."""

    name = "run"

    def write(self, kind: Kind, subject: str, data: Any) -> object:
        return kind, subject, data


def test_a_drills_own_looks_are_taken_before_and_after_it_and_during_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    asked: list[Any] = []

    def calm(_reach: Any, looks: Any, _numbers: Any, _within_s: float) -> Any:
        asked.append([it.checks for it in looks])
        return 0.0, ()

    def beside(_reach: Any, looks: Any, _numbers: Any, machine: str, _within_s: float) -> Any:
        asked.append((machine, looks.checks))
        return {}

    monkeypatch.setattr("harness.drill.context.wait_steady", calm)
    monkeypatch.setattr("harness.drill.context.observe_bystanders", beside)
    own = load_drill("break-dns").looks
    assert own is not None
    context = DrillContext(
        name="break-dns",
        reach=reach(),
        lock=DisruptionLock(reach().kube, "run"),
        run=Run(),
        folder=tmp_path,
        options=Options(allowed=True, seed=1),
        progress=print,
        hide=len,
        looks=own,
    )
    context.wait_steady(1.0)
    context.observe_bystanders("one", 1.0)
    assert asked == [[load_steady().checks, own.checks], ("one", own.during)]
    assert replace(context, looks=None).observe_bystanders("one", 1.0) is None


WANTED = {
    "lose-manager": ("Swarm services answer", "every Swarm service has its replicas"),
    "break-dns": ("a name server answers the pods of every machine", "names resolve in pods"),
    "lose-ingress": ("a host reaches its service", "a host reaches its service"),
}


@pytest.mark.parametrize("name", WANTED)
def test_what_a_drill_breaks_is_looked_at_on_the_others_and_everywhere_again(name: str) -> None:
    looks = load_drill(name).looks
    assert looks is not None
    during, afterwards = WANTED[name]
    assert during in looks.during
    assert afterwards in looks.checks


def test_every_look_of_a_drill_needs_a_part_that_profiles_know() -> None:
    parts = reach().profile.cluster().parts | reach().profile.cluster().absent.keys()
    own = [looks for it in drill_names() if (looks := load_drill(it).looks)]
    assert {it.needs for it in own if it.needs} <= parts | {"swarm"}


def test_a_steady_state_is_judged_by_the_clusters_own_numbers() -> None:
    profile = load_profile("lab")
    own = profile.changes("W1-ETCD")["wal_fsync_p99_ms"].number
    assert all_numbers(load_gates(), profile)["wal_fsync_p99_ms"] == own
