"""Who may break something: every guard that is asked before the first fault."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.core.errors import NotProven, Refused, TimedOut, Unreachable
from harness.drill.recovery import OF_SCRIPTS, recover_from_journal, recover_leftovers
from harness.faults import disruption_lock, preflight
from harness.faults.budget import ClusterState
from harness.faults.kinds import slow_api
from harness.faults.kinds.kubernetes import StopRke2, StopStaticPod
from harness.faults.model import EVERYTHING
from harness.faults.preflight import affordable, leftovers, may_disrupt, permitted, survivable
from harness.probes import owned
from harness.settings import Profile
from harness.tests.fake_transport import FakeKube, FakeShell
from harness.tests.fault_examples import pod, whole_cluster
from harness.tests.stage import PROFILE, UID, reach
from harness.tests.test_disruption_lock import Clock
from harness.transport import Completed, Reach


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(disruption_lock, "held", lambda *_: nullcontext())
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


def profile(**changes: Any) -> Profile:
    return Profile.model_validate({**PROFILE, "allow_disruption": True, **changes})


def cluster(*, uid: str = UID, left: Any = None, **changes: Any) -> Reach:
    """A cluster whose machines keep this undo, and answer to `heal`."""
    left = left or {"armed": [], "leftovers": []}
    ready = {"conditions": [{"type": "Ready", "status": "True"}]}
    objects = {
        "/api/v1/namespaces/kube-system": {"metadata": {"uid": uid}},
        "/api/v1/nodes/one": {"status": ready},
        "/api/v1/nodes": {"items": []},
        f"/api/v1/namespaces?{owned.SELECTOR}": {"items": []},
        **{path: {"items": []} for path in slow_api.KEPT},
    }

    def python(argv: Sequence[str], _stdin: str) -> Completed:
        verb, *words = argv[4:]
        if verb == "list":
            return Completed(status=0, stdout=json.dumps(left), stderr="")
        if verb == json.dumps(OF_SCRIPTS):
            return Completed(status=0, stdout="{}", stderr="")
        if verb == "needs":
            return Completed(status=0, stdout='{"missing": []}', stderr="")
        done = words[0] != "stuck"
        return Completed(status=0, stdout=json.dumps({"done": done, "said": "busy"}), stderr="")

    well = Completed(status=0, stdout="", stderr="")
    answers = {("one", "python3"): python, ("one", "nft"): well, ("one", "systemctl"): well}
    whole = reach(FakeKube(objects))
    one = profile(machines=[{"name": "one", "address": "10.0.0.1"}], **changes)
    return replace(whole, profile=one, shell=FakeShell(answers))  # type: ignore[arg-type]


def test_nobody_breaks_anything_by_accident() -> None:
    with pytest.raises(Refused, match="it needs --allow-disruption"):
        may_disrupt(profile(), allowed=False)


def test_the_owner_of_the_profile_must_want_it_too() -> None:
    with pytest.raises(Refused, match="does not allow disruption"):
        may_disrupt(profile(allow_disruption=False), allowed=True)


def test_a_profile_that_does_not_say_which_cluster_it_means_is_refused() -> None:
    with pytest.raises(Refused, match="which cluster it means"):
        may_disrupt(profile(uid=None), allowed=True)


def test_another_cluster_than_the_declared_one_is_refused() -> None:
    other = cluster(uid="another")
    with pytest.raises(Refused, match="but another answers"), permitted(other, "r", allowed=True):
        pytest.fail("it may not")


def test_a_whole_cluster_that_is_the_declared_one_may_be_broken() -> None:
    with permitted(cluster(), "r", allowed=True):
        pass


def test_a_fault_is_refused_when_the_lease_is_not_ours_any_more() -> None:
    whole = cluster()
    fault = StopRke2(id="f00d", machine="one")
    with pytest.raises(Refused, match="the Lease cutover-disruption is gone"):
        affordable(whole, disruption_lock.DisruptionLock(whole.kube, "r"), fault)


@pytest.mark.parametrize(
    ("status", "said", "missing"),
    [(0, '{"missing": ["systemd-run"]}', "systemd-run"), (127, "", "python3")],
)
def test_a_machine_that_cannot_keep_an_undo_is_not_broken(
    ours: disruption_lock.DisruptionLock, status: int, said: str, missing: str
) -> None:
    lacking = Completed(status=status, stdout=said, stderr="python3: not found")
    bare = whole_cluster(answers={("*", "python3"): lacking})
    fault = StopRke2(id="f00d", machine="one")
    cannot = f"one cannot keep the undo, it has no {missing}"
    with pytest.raises(Refused, match=cannot):
        affordable(bare, ours, fault)
    with pytest.raises(Refused, match=cannot) as no:
        survivable(bare, [fault])
    assert f"install {missing} there" in no.value.remedy


def state_of(*, in_quorum: Sequence[str]) -> ClusterState:
    names = ("one", "two", "three")
    everybody = frozenset(names)
    return ClusterState(
        machines=names,
        ready=everybody,
        etcd=names,
        etcd_well=everybody,
        monitors=names,
        in_quorum=frozenset(in_quorum),
    )


def test_a_shortage_is_told_with_its_arithmetic_for_any_of_the_machines(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The monitor of machine one is down: that of another one is the last but one."""
    monkeypatch.setattr(preflight, "SUMS_WITHIN_S", 0.0)
    monkeypatch.setattr(preflight, "current_state", lambda _: state_of(in_quorum=("two", "three")))
    first, second = (StopRke2(id="f00d", machine=it) for it in ("one", "two"))
    monkeypatch.setattr(StopRke2, "blast_radius", EVERYTHING)
    survivable(whole_cluster(), [])
    survivable(whole_cluster(), [first])
    with pytest.raises(Refused, match="monitors in quorum: 2 − 1 = 1, 2 needed"):
        survivable(whole_cluster(), [first, second])


def test_a_shortage_that_is_over_in_a_moment_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[ClusterState | NotProven]
    looks = [NotProven("Ceph says nothing"), state_of(in_quorum=("one",))]

    def current_state(_: Reach) -> ClusterState:
        found = looks.pop(0) if looks else state_of(in_quorum=("one", "two", "three"))
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr(preflight, "current_state", current_state)
    monkeypatch.setattr("harness.core.waiting.time", Clock())
    survivable(whole_cluster(), [StopRke2(id="f00d", machine="one")])
    assert not looks


@pytest.mark.parametrize("doubt", [NotProven("Ceph says nothing"), Unreachable("no API")])
def test_a_fault_is_refused_while_the_cluster_state_is_unknown(
    monkeypatch: pytest.MonkeyPatch, doubt: Exception
) -> None:
    def current_state(_: Reach) -> ClusterState:
        raise doubt

    monkeypatch.setattr(preflight, "current_state", current_state)
    monkeypatch.setattr(preflight, "SUMS_WITHIN_S", 0.0)
    with pytest.raises(Refused, match=str(doubt)):
        survivable(whole_cluster(), [StopRke2(id="f00d", machine="one")])


BESIDE = pod("web-1"), pod("web-2")
TOGETHER = pod("web-1"), {**pod("web-2"), "spec": {"nodeName": "one"}}


def serving(*looks: Sequence[Any]) -> Reach:
    """A cluster of two whole machines, whose pods are these at each look."""
    ready = {"conditions": [{"type": "Ready", "status": "True"}]}
    nodes = [{"metadata": {"name": name}, "status": ready} for name in ("one", "two")]
    left = [*looks]
    pods = lambda: {"items": [*(left.pop(0) if len(left) > 1 else left[0])]}  # noqa: E731
    return whole_cluster({"/api/v1/nodes": {"items": nodes}, "/api/v1/pods": pods}, disks=None)


@pytest.fixture
def ours(monkeypatch: pytest.MonkeyPatch) -> disruption_lock.DisruptionLock:
    monkeypatch.setattr(disruption_lock.DisruptionLock, "confirm", lambda _: None)
    monkeypatch.setattr(preflight, "PODS_WITHIN_S", 0.0)
    return disruption_lock.DisruptionLock(FakeKube(), "r")


def test_a_machine_may_be_broken_when_its_pods_have_others_elsewhere(
    ours: disruption_lock.DisruptionLock,
) -> None:
    affordable(serving(BESIDE), ours, StopRke2(id="f00d", machine="one"))


def test_a_machine_that_has_all_pods_of_a_kind_is_not_broken(
    ours: disruption_lock.DisruptionLock,
) -> None:
    fault = StopRke2(id="f00d", machine="one")
    with pytest.raises(Refused, match="ReplicaSet shop/web: 2 − 2 = 0, 1 needed") as refused:
        affordable(serving(TOGETHER), ours, fault)
    assert "`even_all`" in refused.value.remedy
    affordable(serving(TOGETHER), ours, fault.model_copy(update={"even_all": True}))


def test_pods_that_still_start_after_an_earlier_fault_are_waited_for(
    ours: disruption_lock.DisruptionLock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preflight, "PODS_WITHIN_S", 30.0)
    affordable(serving(BESIDE[:1], BESIDE), ours, StopRke2(id="f00d", machine="one"))


def test_a_fault_that_leaves_its_machine_asks_for_no_pods(
    ours: disruption_lock.DisruptionLock,
) -> None:
    affordable(
        serving(TOGETHER), ours, StopStaticPod(id="f00d", machine="one", part="kube-apiserver")
    )


def test_nothing_is_broken_while_an_earlier_fault_is_there() -> None:
    left = {"armed": [{"id": "f00d", "fault": "cut-off", "target": "one"}], "leftovers": []}
    with (
        pytest.raises(Refused, match="an earlier fault is still there: one: cut-off of one"),
        permitted(cluster(left=left), "r", allowed=True),
    ):
        pytest.fail("it may not")


def test_nothing_is_broken_while_something_carries_our_name() -> None:
    left = {"armed": [], "leftovers": [["nft", "delete table inet cutover-f00d"]]}
    with (
        pytest.raises(Refused, match="leftovers named cutover-"),
        permitted(cluster(left=left), "r", allowed=True),
    ):
        pytest.fail("it may not")


def test_nothing_is_broken_while_a_machine_cannot_be_asked() -> None:
    lost = replace(cluster(), shell=FakeShell({}))
    with (
        pytest.raises(Refused, match="cannot check for leftovers of earlier faults: one"),
        permitted(lost, "r", allowed=True),
    ):
        pytest.fail("it may not")


def test_heal_takes_back_what_is_armed_and_what_carries_our_name() -> None:
    left = {
        "armed": [{"id": "f00d", "fault": "cut-off", "target": "one"}],
        "leftovers": [["nft", "delete table inet cutover-beef"]],
    }
    mended = list(recover_leftovers(cluster(left=left)))
    assert [(it.what, it.trouble) for it in mended] == [
        ("cut-off of one", None),
        ("`nft 'delete table inet cutover-beef'`", None),
    ]


def test_heal_tells_what_it_could_not_take_back() -> None:
    left = {"armed": [{"id": "stuck", "fault": "cut-off", "target": "one"}], "leftovers": []}
    (mended,) = recover_leftovers(cluster(left=left))
    assert mended.trouble == "one: the undo of stuck failed: busy"


def test_heal_tells_which_machine_could_not_be_asked() -> None:
    (mended,) = recover_leftovers(replace(cluster(), shell=FakeShell({})))
    assert mended.place == "one"
    assert "not known" in (mended.trouble or "")


def armed(reach: Reach, **changes: Any) -> dict[str, Any]:
    fault = StopRke2(id="f00d", machine="one")
    undo = fault.arm(reach, 30).model_dump(mode="json")
    data = {"fault": fault.name, "undo": undo, "parameters": fault.model_dump(mode="json")}
    return {"f00d": {**data, **changes}}


def test_heal_runs_the_undo_of_the_journal_and_sees_the_fault_gone() -> None:
    whole = cluster()
    (mended,) = recover_from_journal(whole, armed(whole))
    assert (mended.what, mended.trouble, mended.fault) == ("stop-rke2 of one", None, "f00d")
    assert isinstance(whole.shell, FakeShell)
    assert ("one", ("systemctl", "start", "--no-block", "rke2-server")) in whole.shell.calls


@pytest.mark.parametrize("said", [{"within_s": 150.0}, {}])
def test_a_command_of_an_undo_may_take_as_long_as_the_journal_says_or_long_when_it_does_not(
    said: dict[str, float],
) -> None:
    class Slow(FakeShell):
        def run(self, machine: str, argv: Sequence[str], **more: Any) -> Completed:
            if argv[0] == "systemctl" and more["within_s"] < 120:
                raise TimedOut(f"no answer within {more['within_s']:g} s")
            return super().run(machine, argv, **more)

    whole = cluster()
    assert isinstance(whole.shell, FakeShell)
    slow = replace(whole, shell=Slow(whole.shell._answers))
    journal = armed(slow)
    undo = {key: it for key, it in journal["f00d"]["undo"].items() if key != "within_s"}
    (mended,) = recover_from_journal(slow, armed(slow, undo={**undo, **said}))
    assert mended.trouble is None


def test_a_fault_of_another_version_is_taken_back_and_not_said_to_be_gone() -> None:
    whole = cluster()
    for other in ({"fault": "stop-rke1"}, {"parameters": {"id": "f00d", "was": "there"}}):
        (mended,) = recover_from_journal(whole, armed(whole, **other))
        assert "cannot check whether" in (mended.trouble or "")
    assert isinstance(whole.shell, FakeShell)
    assert ("one", ("systemctl", "start", "--no-block", "rke2-server")) in whole.shell.calls


def test_heal_does_not_believe_an_undo_whose_effect_nobody_sees(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(StopRke2, "gone_within_s", 0.0)
    whole = cluster()
    assert isinstance(whole.kube, FakeKube)
    whole.kube.objects["/api/v1/nodes/one"] = {"status": {"conditions": []}}
    (mended,) = recover_from_journal(whole, armed(whole))
    assert "stop-rke2 of one is gone: not within" in (mended.trouble or "")


def test_what_a_slow_api_was_left_with_is_found_and_nobody_elses_objects_are() -> None:
    names = ("cutover-beef", "cutover-f00d", "system-nodes", "cutover-at-night")
    listed = {"items": [{"metadata": {"name": name}} for name in names]}
    armed = {"armed": [{"id": "f00d", "fault": "slow-api", "target": "x"}], "leftovers": []}
    left = cluster(left=armed)
    assert isinstance(left.kube, FakeKube)
    left.kube.objects.update(dict.fromkeys(slow_api.KEPT, listed))
    found, _ = leftovers(left)
    (api,) = (it for it in found if it.place == "api")
    assert api.leftovers == tuple(("DELETE", f"{path}/cutover-beef") for path in slow_api.KEPT)
    assert [it.trouble for it in recover_leftovers(left) if it.place == "api"] == [None, None]
    deleted = [what for verb, what in left.kube.calls if verb == "DELETE"]
    assert deleted == [f"{path}/cutover-beef" for path in slow_api.KEPT]


def test_a_machine_that_stayed_cordoned_by_us_is_found_and_an_operators_is_not() -> None:
    nodes = [
        {"metadata": {"name": "one", "annotations": {"cutover.fault": "beef"}}},
        {"metadata": {"name": "two", "annotations": {}}, "spec": {"unschedulable": True}},
    ]
    objects = {"/api/v1/nodes": {"items": nodes}, **{it: {"items": []} for it in slow_api.KEPT}}
    empty = json.dumps({"armed": [], "leftovers": []})
    python = Completed(status=0, stdout=empty, stderr="")
    cordoned = whole_cluster(objects, answers={("*", "python3"): python})
    (left,), lost = leftovers(cordoned)
    assert (left.place, lost) == ("two", [])
    assert [command[-2:] for command in left.leftovers] == [
        ("uncordon", "one"),
        ("one", "cutover.fault-"),
    ]


def test_an_api_that_is_silent_is_told_as_a_place_that_could_not_be_asked() -> None:
    silent = cluster()
    assert isinstance(silent.kube, FakeKube)
    silent.kube.objects["/api/v1/nodes"] = Unreachable("the API is silent")
    assert leftovers(silent) == ([], ["api: the API is silent"])


def test_an_undo_that_was_torn_by_a_crash_is_named_all_the_same() -> None:
    left = cluster(left={"armed": [{"id": "f00d", "commands": []}], "leftovers": []})
    found, lost = leftovers(left)
    assert (found[0].armed, lost) == ({"f00d": "a fault of unknown"}, [])
