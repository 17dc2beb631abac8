"""A cluster may have its own numbers for targets, with a reason that the report shows."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from harness.errors import ConfigError
from harness.settings import TargetChange, load_gates, load_profile

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


def test_a_change_without_a_reason_is_refused() -> None:
    with pytest.raises(ValidationError):
        TargetChange(number=200, because="slow")


def test_the_real_machines_keep_the_default_targets() -> None:
    assert load_profile("contabo").targets == {}
