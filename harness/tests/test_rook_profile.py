"""What a profile says of Rook, and the version that an image names."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from harness.checks.rook import tag_of
from harness.settings import Profile
from harness.tests import rook_objects
from harness.tests.rook_objects import MONITORS, Mode

_NAME = st.lists(st.sampled_from(["rook", "ceph", "a.b-c_1"]), min_size=1).map("/".join)
_TAG = st.tuples(*[st.integers(0, 99)] * 3).map(lambda it: "v{}.{}.{}".format(*it))
_REGISTRY = st.sampled_from(["", "docker.io/", "registry.example:5000/"])


@given(_REGISTRY, _NAME, _TAG, st.sampled_from(["", "@sha256:5f0c"]))
def test_the_tag_of_an_image_is_what_follows_its_name(
    registry: str, name: str, tag: str, digest: str
) -> None:
    assert tag_of(f"{registry}{name}:{tag}{digest}") == tag
    assert tag_of(f"{registry}{name}{digest}") is None


def _as_written(mode: Mode | None, **changes: Any) -> Profile:
    profile = rook_objects.profile("external").model_dump(mode="json", by_alias=True)
    profile["stack"]["rook"] = mode
    profile["rook"] |= changes
    return Profile.model_validate(profile)


@pytest.mark.parametrize(
    "changes",
    [
        {"monitors": []},
        {"monitors": ["10.0.0.1"]},
        {"monitors": ["ceph.example:6789"]},
        {"monitors": ["10.0.0.1:0"]},
        {"version": "1.18"},
        {"drivers": []},
        {"drivers": ["nfs"]},
        {"namespace": "Rook"},
        {"device": "/dev/sda2"},
    ],
    ids=str,
)
def test_a_profile_that_says_something_else_is_refused(changes: dict[str, Any]) -> None:
    _as_written("external")
    with pytest.raises(ValidationError):
        _as_written("external", **changes)


def test_a_profile_says_what_rook_manages_and_where_its_osds_are() -> None:
    assert _as_written("external", device=None).cluster().rook is not None
    with pytest.raises(ValidationError, match="what holds the OSDs"):
        _as_written("cluster", device=None)
    without = rook_objects.profile("external").model_dump(
        mode="json", by_alias=True, exclude={"rook"}
    )
    with pytest.raises(ValidationError, match="say in `rook:`"):
        Profile.model_validate(without)


def test_a_profile_without_csi_drivers_says_why_and_keeps_the_other_questions() -> None:
    with pytest.raises(ValidationError, match="say in `absent: rook-csi:` why"):
        _as_written("external", csi="absent")
    profile = rook_objects.profile("external").model_dump(mode="json", by_alias=True)
    profile["rook"]["csi"] = "absent"
    profile["absent"]["rook-csi"] = "claims are on local disks"
    cluster = Profile.model_validate(profile).cluster()
    assert cluster.absent["rook-csi"] == "claims are on local disks"
    assert "rook" in cluster.parts
    assert "rook-csi" in _as_written("external").cluster().parts


def test_pools_and_osds_are_judged_in_cluster_mode_alone() -> None:
    external, cluster = (rook_objects.profile(mode).cluster() for mode in ("external", "cluster"))
    assert "outside Kubernetes" in external.absent["rook-cluster"]
    assert {"rook", "rook-cluster"} <= cluster.parts
    assert _as_written(None).cluster().rook is None
    assert external.rook is not None
    assert external.rook.monitors == MONITORS
