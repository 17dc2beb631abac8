"""Reading objects of Kubernetes: sizes in every form, and fields that are missing, null or odd."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.probes import owned
from harness.tests.fake_transport import FakeKube
from harness.tests.mutilated import mutilate
from harness.transport import objects
from harness.transport.objects import Odd, described, must, quantity

_UNITS = [("", 1), ("k", 1000), ("M", 10**6), ("G", 10**9), ("Ki", 1 << 10), ("Gi", 1 << 30)]


@given(st.integers(1, 900), st.sampled_from(_UNITS))
def test_quantities_are_bytes(number: int, unit: tuple[str, int]) -> None:
    assert quantity(f"{number}{unit[0]}") == number * unit[1]


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("64Mi", 64 << 20),
        ("67108864", 64 << 20),
        ("1G", 10**9),
        ("128974848000m", 128974848),
        ("1.5Gi", 3 << 29),
        ("1e3", 1000),
    ],
)
def test_sizes_are_read_as_the_api_writes_them(text: str, size: int) -> None:
    assert quantity(text) == size


@pytest.mark.parametrize("text", ["", "Gi", "5 apples", "5GiGi", "-", "NaN", "Infinity"])
def test_what_is_no_quantity_is_an_error(text: str) -> None:
    with pytest.raises(Odd, match="not a quantity"):
        quantity(text)


@given(st.text(max_size=12))
def test_any_text_is_a_size_or_odd(text: str) -> None:
    with suppress(Odd):
        assert isinstance(quantity(text), int)


def test_what_is_missing_or_null_is_empty() -> None:
    for item in ({}, {"status": None}, {"status": {"conditions": None}}, None):
        assert objects.listed(item, "status", "conditions") == []
        assert objects.part(item, "status", "conditions") == {}
        assert objects.text(item, "status", "conditions") is None
        assert objects.count(item, "status", "conditions", default=3) == 3
        assert not objects.flag(item, "status", "conditions")
        assert objects.epoch(item, "status", "conditions") is None
        with pytest.raises(Odd, match=r"it has no status\.conditions"):
            objects.must(item, "status", "conditions")


def test_another_type_is_odd_and_says_where() -> None:
    item = {"status": {"phase": 7, "count": True, "at": "soon", "labels": {"a": 1}}}
    for read, key, says in (
        (objects.text, "phase", "status.phase is of type int"),
        (objects.count, "count", "status.count is of type bool"),
        (objects.epoch, "at", "status.at is no time: soon"),
        (objects.texts, "labels", "status.labels.a is of type int"),
        (objects.listed, "labels", "status.labels is of type dict"),
    ):
        with pytest.raises(Odd, match=says):
            read(item, "status", key)
    with pytest.raises(Odd, match=r"status\.phase is of type int"):
        objects.text(item, "status", "phase", "deeper")


@given(st.data())
def test_an_odd_object_costs_itself_alone(data: st.DataObject) -> None:
    def pod(name: str) -> Any:
        return {"metadata": {"name": name, "namespace": "odoo"}, "spec": {"nodeName": "one"}}

    odd = mutilate([pod("odd")], data)
    found = described(
        {"items": [*odd, pod("well")]}, lambda it: objects.text(it, "spec", "nodeName")
    )
    assert found.values["odoo/well"] == "one"
    assert len(found.values) + len(found.odd) == 2


def test_objects_without_names_are_told() -> None:
    found = described({"items": [None, {}, {"metadata": {"name": "a"}}]}, lambda _: 1)
    assert found.values == {"a": 1}
    assert found.odd == {
        "object 0": "not understood: it has no name",
        "object 1": "not understood: it has no name",
    }


@given(st.data())
def test_an_odd_volume_of_another_claim_is_passed_over(data: st.DataObject) -> None:
    def kept(name: str, space: str) -> Any:
        spec = {
            "claimRef": {"namespace": space, "name": "limited"},
            "accessModes": ["ReadWriteMany"],
            "persistentVolumeReclaimPolicy": "Retain",
        }
        return {"metadata": {"name": name}, "spec": spec, "status": {"phase": "Released"}}

    ours = "cutover-probe-0a1b2c3d"
    listed = [*mutilate([kept("theirs", "odoo")], data), kept("ours", ours)]
    kube = FakeKube({"/api/v1/persistentvolumes": {"items": listed}})
    assert owned.volume_of_claim(kube, ours, "limited") == "Released, reclaim policy Retain"
    assert owned.volume_modes(kube, ours) == {"limited": ["ReadWriteMany"]}
    owned.sweep_volumes(kube, [])
    owned.give_back_volumes(kube, ours)
    patched = [
        must(manifest, "metadata", "name") for verb, manifest in kube.calls if verb == "APPLY"
    ]
    assert patched == ["ours", "ours"]
