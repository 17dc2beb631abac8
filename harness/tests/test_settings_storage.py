"""What a profile says of backups: its own size is the target, and the folders make sense."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from harness.settings import Backups, Legacy, load_gates
from harness.settings.gates import TargetChange
from harness.tests.probe_rig import PROFILE


def test_the_declared_size_of_the_claim_is_the_target() -> None:
    (requirement,) = [it for it in load_gates().requirements if it.id == "W3-BACKUPS"]
    claim = Backups(claim="c", namespace="n", at_least_gib=20)
    profile = PROFILE.model_copy(update={"backups": claim})
    target = requirement.on(profile.changes("W3-BACKUPS")).targets["claim_gib"]
    assert (target.at_least, "backups.at_least_gib" in target.words) == (20, True)
    assert profile.changes("W3-PVC") == {}
    own = {"W3-BACKUPS": {"claim_gib": TargetChange(number=50, because="it has grown by now")}}
    assert (
        profile.model_copy(update={"targets": own}).changes("W3-BACKUPS")["claim_gib"].number == 50
    )


def test_without_a_declared_size_the_gates_own_stays() -> None:
    (requirement,) = [it for it in load_gates().requirements if it.id == "W3-BACKUPS"]
    claim = Backups(claim="c", namespace="n")
    profile = PROFILE.model_copy(update={"backups": claim})
    assert requirement.on(profile.changes("W3-BACKUPS")).numbers()["claim_gib"] == 500


def test_the_active_folder_is_one_of_the_folders() -> None:
    with pytest.raises(ValidationError, match=r"none of backups\.folders"):
        Backups(claim="c", namespace="n", folders=("active", "staging"), active="done")


def legacy(**declared: Any) -> Legacy:
    known = {"path": "/mnt/cephfs", "type": "ceph", "source": "10.0.0.1:/", "baseline": "/state/b"}
    return Legacy.model_validate(
        {**known, "except": ["volumes", "a/b", "x*"], **declared}, context={"root": Path("/")}
    )


@pytest.mark.parametrize("folder", ["volumes", "volumes/own", "a/b"])
def test_writes_are_allowed_in_what_may_change(folder: str) -> None:
    assert legacy(writes=folder).writes == folder


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        ({"writes": "a"}, r"legacy\.except names"),
        ({"writes": "volumes2"}, r"legacy\.except names"),
        ({"writes": "xy"}, r"legacy\.except names"),
        ({"writes": "volumes/../odoo"}, "must be a plain path"),
        ({"writes": "/mnt"}, "should match pattern"),
        ({"writes": "volumes/"}, "should match pattern"),
        ({"writes": "volumes", "access": "ro"}, r"legacy\.access is ro"),
    ],
)
def test_writes_that_would_count_as_changes_are_refused(
    declared: dict[str, str], words: str
) -> None:
    with pytest.raises(ValidationError, match=words):
        legacy(**declared)
