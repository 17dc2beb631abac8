"""Which sources of a mount are the same: CephFS names one file system in several ways."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.facts.ceph_names import is_same_source

FSID = "b7f5c1f0-0000-4000-8000-000000000001"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("10.0.0.1,10.0.0.2,10.0.0.3:/", "10.0.0.3,10.0.0.1,10.0.0.2:/"),
        ("10.0.0.1,10.0.0.2:/", "10.0.0.2:6789,10.0.0.1:6789:/"),
        ("10.0.0.1:3300,10.0.0.2:3300:/", "10.0.0.1,10.0.0.2:/"),
        ("[v2:10.0.0.1:3300,v1:10.0.0.1:6789]:/", "10.0.0.1:/"),
        ("[fd00::1]:6789,[fd00::2]:6789:/", "[fd00::2],[fd00::1]:/"),
        (f"admin@{FSID}.cephfs=/", "admin@.cephfs=/"),
    ],
)
def test_one_file_system_is_known_in_each_of_its_forms(one: str, other: str) -> None:
    assert is_same_source("ceph", one, other)
    assert is_same_source("ceph", other, one)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("10.0.0.1,10.0.0.2:/", "10.0.0.1,10.0.0.9:/"),
        ("10.0.0.1:/", "10.0.0.1:/volumes"),
        ("10.0.0.1:6789:/", "10.0.0.1:7000:/"),
        ("10.0.0.1:6789,10.0.0.2:6789:/", "10.0.0.2,10.0.0.1:/volumes"),
        (f"admin@{FSID}.cephfs=/", "admin@00000000-0000-4000-8000-000000000002.cephfs=/"),
        ("admin@.cephfs=/", "admin@.other=/"),
        ("admin@.cephfs=/", "10.0.0.1:/"),
    ],
)
def test_another_file_system_or_folder_is_not_the_same(one: str, other: str) -> None:
    assert not is_same_source("ceph", one, other)


def test_only_cephfs_has_several_forms() -> None:
    assert is_same_source("nfs4", "host:/a", "host:/a")
    assert not is_same_source("nfs4", "a,b:/", "b,a:/")


@given(st.permutations(["10.0.0.1", "10.0.0.2:6789", "10.0.0.3"]))
def test_no_order_of_monitors_matters(monitors: list[str]) -> None:
    assert is_same_source("ceph", ",".join(monitors) + ":/", "10.0.0.1,10.0.0.2,10.0.0.3:/")
