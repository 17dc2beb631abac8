"""A cluster may have its own numbers for targets, with a reason that the report shows."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from harness.core.errors import ConfigError
from harness.settings import Ceph, Profile, TargetChange, load_gates, load_profile

SLOW = TargetChange(number=200, because="three machines share two processors")


def test_a_changed_target_keeps_its_bound_and_says_why() -> None:
    requirement = next(it for it in load_gates().requirements if it.id == "W1-ETCD")
    target = requirement.on({"wal_fsync_p99_ms": SLOW}).targets["wal_fsync_p99_ms"]
    assert (target.sign, target.number) == ("≤", 200)
    assert "share two processors" in target.words
    assert requirement.targets["wal_fsync_p99_ms"].number == 10


def test_a_target_that_the_requirement_has_not_is_refused() -> None:
    requirement = next(it for it in load_gates().requirements if it.id == "W1-ETCD")
    with pytest.raises(ConfigError, match="wal_fsync_p99_s"):
        requirement.on({"wal_fsync_p99_s": SLOW})


def test_a_target_of_a_part_is_wanted_only_of_clusters_that_have_it() -> None:
    requirement = next(it for it in load_gates().requirements if it.id == "W3-BENCH")
    assert "sync_p99_ms" in requirement.of({"raw-disks"}).targets
    live = requirement.of(load_profile("lab").cluster().parts)
    assert set(live.targets) == {
        "sync_write_iops",
        "sync_write_wanted_iops",
        "osd_bench_deviation_percent",
        "bench_age_days",
    }


def test_a_change_without_a_reason_is_refused() -> None:
    with pytest.raises(ValidationError):
        TargetChange(number=200, because="slow")


def test_the_real_machines_keep_the_default_targets() -> None:
    assert load_profile("contabo").targets == {}


def test_what_ceph_may_complain_of_is_declared_with_its_reason() -> None:
    ceph = Ceph(warnings={"POOL_NO_REDUNDANCY": "a scratch pool"}, flags={"noout": "maintenance"})
    declared = load_profile("lab").model_copy(update={"ceph": ceph}).cluster()
    assert declared.ceph_warnings == {"POOL_NO_REDUNDANCY": "a scratch pool"}
    assert declared.ceph_flags == {"noout": "maintenance"}
    assert load_profile("contabo").cluster().source_gb == 86


@pytest.mark.parametrize(
    "said",
    [
        {"warnings": {"POOL_NO_REDUNDANCY": "so"}},
        {"warnings": {"pool": "a reason that is long enough"}},
        {"flags": {"noout": ""}},
        {"source_gb": 0},
        {"through": "luck"},
    ],
)
def test_a_declaration_without_reason_or_sense_is_refused(said: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Ceph(**said)


def test_a_cluster_whose_pods_canal_connects_is_not_asked_for_cilium() -> None:
    declared = load_profile("contabo").model_dump(mode="json", by_alias=True)
    # What RKE2 brings where its configuration names no other.
    stack = {**declared["stack"], "cni": "canal"}
    parts = Profile.model_validate({**declared, "stack": stack}).cluster().parts
    assert "network-policy" in parts
    assert "cilium" not in parts
