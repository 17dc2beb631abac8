"""The probe of Ceph: whom it asks, and what it makes of what they say."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.core.errors import TransportError, Unreachable
from harness.probes.ceph import seconds
from harness.settings import Ceph
from harness.tests.fake_transport import FakeKube, FakeShell
from harness.tests.probe_rig import MACHINES, PROFILE, observe, reach
from harness.transport import Completed, Reach

ONE, TWO, THREE = MACHINES

STAMP = "2026-11-25T14:09:55.879746+0000"
GROUP = {"id": "1.0", "state": "active+clean", "acting": [0, 1, 2]}
ITEMS = {"placement groups": {"value": [{**GROUP, "scrubbed": STAMP, "deep_scrubbed": STAMP}]}}
ANSWER = Completed(status=0, stdout=json.dumps({"items": ITEMS}), stderr="")
SILENCE = {"silent": "no answer within 15 s", "monitor": "its monitor is probing"}
SILENT = Completed(status=0, stdout=json.dumps(SILENCE), stderr="")
LOST = Unreachable("no route")
BROKEN = Completed(status=0, stdout=json.dumps({"error": "there is no ceph program"}), stderr="")


def machines(*answers: Any) -> tuple[Reach, FakeShell]:
    shell = FakeShell({(m, "python3"): a for m, a in zip(MACHINES, answers, strict=True)})
    return reach(shell), shell


def test_one_round_trip_to_one_machine_is_enough() -> None:
    ways, shell = machines(ANSWER, LOST, LOST)
    seen = observe("ceph", ways, "contabo")
    assert (seen["through"], seen["silent"], seen["lost"]) == (ONE, {}, {})
    assert [machine for machine, _ in shell.calls] == [ONE]
    (group,) = seen["items"]["placement groups"]["value"]
    assert group["scrubbed"] == pytest.approx(1795615795.879746)


@pytest.mark.parametrize("first", [SILENT, LOST, BROKEN])
def test_the_others_are_asked_when_the_first_gets_no_answer(first: Any) -> None:
    ways, shell = machines(first, LOST, ANSWER)
    seen = observe("ceph", ways, "contabo")
    assert seen["through"] == THREE
    assert seen["lost"][TWO] == "no route"
    assert sorted(machine for machine, _ in shell.calls) == list(MACHINES)


def test_a_ceph_that_answers_nobody_is_an_observation() -> None:
    ways, _ = machines(SILENT, SILENT, SILENT)
    seen = observe("ceph", ways, "contabo")
    assert (seen["through"], seen["items"], seen["lost"]) == (None, {}, {})
    assert seen["silent"][TWO] == "no answer within 15 s; its monitor is probing"


def test_a_ceph_that_nobody_could_ask_is_an_error() -> None:
    ways, _ = machines(LOST, BROKEN, LOST)
    with pytest.raises(Unreachable, match=r"could not be asked: no route; .*no ceph program"):
        observe("ceph", ways, "contabo")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Completed(status=127, stdout="", stderr="python3: not found"), "python3: not found"),
        (Completed(status=0, stdout="what", stderr=""), "garbled: 'what'"),
        (Completed(status=0, stdout="[]", stderr=""), "garbled"),
        (Completed(status=0, stdout="{}", stderr=""), "garbled"),
    ],
)
def test_a_report_that_is_none_is_an_error(answer: Completed, words: str) -> None:
    ways, _ = machines(answer, answer, answer)
    with pytest.raises(Unreachable, match=words):
        observe("ceph", ways, "contabo")


def test_a_time_that_is_garbled_spoils_its_item_alone() -> None:
    items = {**ITEMS, "crashes": {"value": []}}
    items["placement groups"] = {"value": [{**GROUP, "scrubbed": "0.0", "deep_scrubbed": STAMP}]}
    answer = Completed(status=0, stdout=json.dumps({"items": items}), stderr="")
    ways, _ = machines(answer, LOST, LOST)
    seen = observe("ceph", ways, "contabo")["items"]
    assert "not understood" in seen["placement groups"]["error"]
    assert seen["crashes"] == {"value": []}


PODS = "/api/v1/namespaces/rook-ceph/pods?labelSelector=app%3Drook-ceph-tools"
LIKE_ROOK = PROFILE.model_copy(update={"ceph": Ceph(through="toolbox")})


def toolbox(*, ready: str) -> Any:
    conditions = [{"type": "Ready", "status": ready}]
    return {
        "metadata": {"name": "tools-1"},
        "status": {"podIP": "10.42.0.9", "conditions": conditions},
    }


def test_the_toolbox_is_asked_where_rook_runs_ceph() -> None:
    def answer(argv: Sequence[str], stdin: str) -> Completed:
        assert argv == ("python3", "-I", "-S", "-")
        assert "quorum_status" in stdin
        return ANSWER

    kube = FakeKube(
        {PODS: {"items": [toolbox(ready="True")]}}, in_pods={("tools-1", "python3"): answer}
    )
    seen = observe("ceph", reach(kube=kube, like=LIKE_ROOK), "contabo")
    assert seen["through"] == "rook-ceph/tools-1"


@pytest.mark.parametrize("pods", [[], [toolbox(ready="False")]])
def test_without_a_toolbox_that_is_ready_ceph_could_not_be_asked(pods: list[Any]) -> None:
    kube = FakeKube({PODS: {"items": pods}})
    with pytest.raises(TransportError, match="no pod with the label app=rook-ceph-tools is ready"):
        observe("ceph", reach(kube=kube, like=LIKE_ROOK), "contabo")


@settings(max_examples=30)
@given(st.datetimes(min_value=datetime(2020, 1, 1)), st.integers(-12 * 60, 14 * 60))
def test_a_time_is_the_same_in_every_zone(moment: datetime, minutes: int) -> None:
    known = moment.replace(tzinfo=UTC)
    there = known.astimezone(timezone(timedelta(minutes=minutes)))
    assert seconds(there.strftime("%Y-%m-%dT%H:%M:%S.%f%z")) == pytest.approx(known.timestamp())


@pytest.mark.parametrize("text", ["0.000000", "", "2026-11-25T14:09:55.879746"])
def test_a_time_without_its_zone_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        seconds(text)
