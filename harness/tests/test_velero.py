"""The cluster's own backups by Velero: a good night is proven, and each bad one is red."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.checks import CHECKS
from harness.core.model import Outcome, Verdict
from harness.settings.storage import Velero
from harness.tests.clean_case import case
from harness.tests.clean_cluster import CLUSTER, NOW
from harness.tests.fake_transport import FakeKube
from harness.tests.mutilated import mutilate
from harness.tests.probe_rig import PROFILE, observe, reach
from harness.tests.velero_objects import BACKUP, one, served, served_before_1_12, stamp

RUN = "every declared schedule of the cluster's backups runs"
WHOLE = "the newest backup of each schedule is whole and young"
DATA = "the declared claims are in it, with their data"
DECLARED = Velero.model_validate(
    {
        "schedules": [
            {
                "name": "platform-daily",
                "within_h": 26,
                "claims": ["saasodoo/odoo-backups-storage", "saasodoo/postgres-*"],
            }
        ]
    }
)
OBSERVED = PROFILE.model_copy(update={"velero": DECLARED})
Change = Callable[[Any], object]


def judged(
    check: str, change: Change = lambda _: None, like: Callable[[float], Any] = served
) -> Verdict:
    """The verdict on what the probe sees of these objects."""
    objects = like(NOW)
    change(objects)
    seen = observe("velero", reach(kube=FakeKube(objects), like=OBSERVED), "contabo")
    there = case({"velero": {CLUSTER.name: seen}})
    schedules = tuple(it.declared() for it in DECLARED.schedules)
    return CHECKS[check](replace(there, cluster=replace(CLUSTER, schedules=schedules)))


def status(kind: str, **fields: Any) -> Change:
    return lambda objects: one(objects, kind)["status"].update(fields)


def gone(kind: str) -> Change:
    def change(objects: Any) -> None:
        (path,) = [it for it in objects if it.endswith(f"/{kind}")]
        del objects[path]["items"][0]

    return change


@pytest.mark.parametrize("check", [RUN, WHOLE, DATA])
def test_a_night_on_which_all_went_well_is_proven(check: str) -> None:
    verdict = judged(check)
    assert verdict.outcome is Outcome.PASS, verdict.reason


@pytest.mark.parametrize("check", [RUN, WHOLE, DATA])
def test_a_velero_that_has_no_data_mover_is_judged_by_what_it_has(check: str) -> None:
    verdict = judged(check, like=served_before_1_12)
    assert verdict.outcome is Outcome.PASS, verdict.reason


def test_a_claim_that_no_pod_was_read_for_is_red_where_there_is_no_data_mover() -> None:
    verdict = judged(DATA, gone("podvolumebackups"), served_before_1_12)
    assert (verdict.outcome, verdict.reason) == (
        Outcome.FAIL,
        f"saasodoo/odoo-backups-storage: expected its data in {BACKUP}, seen none",
    )


def test_only_what_rests_on_a_missing_kind_is_not_proven() -> None:
    """The schedule moves its snapshots; the kind that tells of that is not in the API."""

    def no_kind(objects: Any) -> None:
        (path,) = [it for it in objects if it.endswith("/datauploads")]
        del objects[path]

    assert {judged(check, no_kind).outcome for check in (RUN, WHOLE)} == {Outcome.PASS}
    verdict = judged(DATA, no_kind)
    assert verdict.outcome is Outcome.NOT_PROVEN
    assert verdict.where == ("saasodoo/postgres-1",)
    assert "the API has no datauploads (velero.io/v2alpha1)" in verdict.reason


def paused(objects: Any) -> None:
    one(objects, "schedules")["spec"]["paused"] = True


def elsewhere(objects: Any) -> None:
    one(objects, "schedules")["spec"]["template"]["storageLocation"] = "offsite"


def late(objects: Any) -> None:
    (path,) = [it for it in objects if it.endswith("/backups")]
    del objects[path]["items"][0]


def only_snapshots(objects: Any) -> None:
    gone("datauploads")(objects)
    status("backups", csiVolumeSnapshotsAttempted=1, csiVolumeSnapshotsCompleted=1)(objects)


EMPTY = {"snapshotID": "", "progress": {}, "message": "volume was empty so no data was upload"}


@pytest.mark.defect(RUN, WHOLE, DATA)
@pytest.mark.parametrize(
    ("check", "change", "words"),
    [
        (RUN, gone("schedules"), "platform-daily: expected a schedule of that name, seen none"),
        (RUN, paused, "expected a schedule that runs, seen it paused"),
        (
            RUN,
            status("schedules", phase="FailedValidation", validationErrors=["bad cron"]),
            "expected an enabled schedule, seen FailedValidation; bad cron",
        ),
        (
            RUN,
            status("backupstoragelocations", phase="Unavailable", message="no such bucket"),
            "expected its location default Available, seen Unavailable: no such bucket",
        ),
        (RUN, elsewhere, "expected its location (offsite), seen none"),
        (
            WHOLE,
            status("backups", phase="PartiallyFailed", errors=2),
            f"expected a whole backup, seen {BACKUP} PartiallyFailed, 2 errors",
        ),
        (
            WHOLE,
            status("backups", phase="Failed", failureReason="no node agent"),
            "Failed, 0 errors: no node agent",
        ),
        (WHOLE, late, "expected a backup of the last 26 hours"),
        (WHOLE, status("backups", expiration=stamp(NOW - 60)), f"{BACKUP} has expired"),
        (
            DATA,
            status("datauploads", **EMPTY),
            f"saasodoo/postgres-1: expected its data in {BACKUP}, seen an empty volume: volume was",
        ),
        (
            DATA,
            status("podvolumebackups", phase="Failed", message="no space"),
            "saasodoo/odoo-backups-storage: expected its data in "
            f"{BACKUP}, seen the copy Failed: no space",
        ),
        (DATA, only_snapshots, "seen none; 1 snapshots stay in the cluster"),
    ],
)
def test_a_bad_night_is_red_for_its_own_reason(check: str, change: Change, words: str) -> None:
    verdict = judged(check, change)
    assert verdict.outcome is Outcome.FAIL, verdict.reason
    assert words in verdict.reason


@pytest.mark.parametrize(
    "phase",
    ["InProgress", "UploadingPartialFailure", "WaitingForPluginOperations", "Finalizing"],
)
def test_a_backup_under_way_is_passed_over(phase: str) -> None:
    verdict = judged(WHOLE, status("backups", phase=phase))
    assert "platform-daily-20251231010000, 30.0 hours old" in verdict.reason


def test_a_copy_of_unknown_size_is_not_proven() -> None:
    verdict = judged(DATA, status("datauploads", progress={}))
    assert verdict.outcome is Outcome.NOT_PROVEN
    assert "does not say how many bytes" in verdict.reason


def test_a_pattern_that_no_claim_has_is_red() -> None:
    def change(objects: Any) -> None:
        del objects["/api/v1/persistentvolumeclaims"]["items"][1]

    verdict = judged(DATA, change)
    assert verdict.outcome is Outcome.FAIL
    assert "expected a claim saasodoo/postgres-* that is older" in verdict.reason


def another_clusters(objects: Any) -> None:
    """Velero shows what it finds in the bucket: a younger backup, of the same schedule's name."""
    theirs = copy.deepcopy(one(objects, "backups"))
    theirs["metadata"] |= {
        "name": "platform-daily-20260101040000",
        "uid": "found",
        "creationTimestamp": stamp(NOW - 2 * 3600),
    }
    began, ended = NOW - 4 * 3600, NOW - 3 * 3600
    theirs["status"] |= {"startTimestamp": stamp(began), "completionTimestamp": stamp(ended)}
    (path,) = [it for it in objects if it.endswith("/backups")]
    objects[path]["items"].insert(0, theirs)


def test_a_younger_backup_of_another_cluster_hides_no_missing_one_of_this() -> None:
    def change(objects: Any) -> None:
        late(objects)
        another_clusters(objects)

    verdict = judged(WHOLE, change)
    assert verdict.outcome is Outcome.FAIL
    assert "platform-daily-20251231010000, 30.0 hours old" in verdict.reason


def test_a_failed_backup_of_another_cluster_is_no_failure_of_this() -> None:
    def change(objects: Any) -> None:
        another_clusters(objects)
        one(objects, "backups")["status"]["phase"] = "PartiallyFailed"

    assert {judged(check, change).outcome for check in (RUN, WHOLE, DATA)} == {Outcome.PASS}


def test_a_bucket_with_other_clusters_backups_alone_proves_nothing() -> None:
    def change(objects: Any) -> None:
        another_clusters(objects)
        (path,) = [it for it in objects if it.endswith("/backups")]
        del objects[path]["items"][1:]
        del one(objects, "schedules")["status"]["lastBackup"]

    verdict = judged(WHOLE, change)
    assert verdict.outcome is Outcome.NOT_PROVEN
    assert "platform-daily-20260101040000 was found in the bucket" in verdict.reason


def test_a_location_that_velero_has_not_looked_at_for_hours_proves_no_schedule() -> None:
    """Without its server, Velero's objects stay as they were: Enabled and Available."""
    seen = status("backupstoragelocations", lastValidationTime=stamp(NOW - 5 * 3600))
    verdict = judged(RUN, seen)
    assert verdict.outcome is Outcome.NOT_PROVEN
    assert "looked last at its location default 5.0 hours ago" in verdict.reason


@given(st.data(), st.sampled_from(["schedules", "backups", "datauploads", "podvolumebackups"]))
def test_an_object_with_a_field_lost_or_replaced_ends_no_look(
    data: st.DataObject, kind: str
) -> None:
    """It costs itself alone, and what was not understood is NOT PROVEN or red, with its name."""

    def change(objects: Any) -> None:
        (path,) = [it for it in objects if it.endswith(f"/{kind}")]
        objects[path]["items"] = mutilate(objects[path]["items"], data)

    for check in (RUN, WHOLE, DATA):
        assert judged(check, change).outcome in Outcome
