"""Rook's objects with a field missing, null or of another type: told, and never an exception."""

from __future__ import annotations

import json
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.checks import csi, rook
from harness.core.model import Outcome
from harness.tests.clean_cluster import NOW
from harness.tests.mutilated import mutilate
from harness.tests.rook_objects import Item, recorded
from harness.tests.rook_seen import CEPH, CRASH, MONS, VERSION, judge, seen

CHECKS = {**rook.CHECKS, **csi.CHECKS}


@cache
def _written(csi_operator: bool) -> str:
    return json.dumps(recorded("cluster", csi_operator=csi_operator, now=NOW))


def _recorded(csi_operator: bool) -> list[Item]:
    """Objects that share nothing, as the API gives them."""
    return list(json.loads(_written(csi_operator)))


@pytest.mark.parametrize("csi_operator", [True, False], ids=["CSI operator", "Rook's own CSI"])
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_an_odd_field_never_ends_the_look_and_every_check_has_a_verdict(
    csi_operator: bool, data: st.DataObject
) -> None:
    items = mutilate(_recorded(csi_operator), data, keep=("apiVersion", "kind"))
    value = seen(items, "cluster")
    verdicts = {check: judge(check, value, "cluster") for check in CHECKS}
    for item, found in value.items():
        assert found.get("error", "not understood").startswith("not understood"), (item, found)
    odd = {name for found in value.values() for name in found.get("odd", ())}
    for check, verdict in verdicts.items():
        assert verdict.reason
        # What is odd is a gap, and never a pass of the check that needs it.
        assert not odd & set(verdict.where) or verdict.outcome is Outcome.NOT_PROVEN, check


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_an_odd_pod_leaves_what_does_not_need_pods_alone(data: st.DataObject) -> None:
    items = _recorded(csi_operator=True)
    pods = [item for item in items if item["kind"] == "Pod"]
    others = [item for item in items if item["kind"] != "Pod"]
    value = seen([*others, *mutilate(pods, data, keep=("apiVersion", "kind"))], "cluster")
    for check in (CEPH, MONS, VERSION):
        assert judge(check, value, "cluster").outcome is Outcome.PASS
    assert judge(CRASH, value, "cluster").outcome in set(Outcome)
