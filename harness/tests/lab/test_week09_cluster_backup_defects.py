"""Seeded defects of the cluster's own backups (W9-BACKUP), on Velero's objects in the lab's API.

The lab has no Velero, and nowhere to keep its backups: the objects are as Velero writes them, with
open schemas, and the claim is the lab's.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from harness.tests.lab import objects
from harness.tests.lab.red import says
from harness.tests.lab.world import World
from harness.tests.velero_objects import BACKUP, one, served

SPACE = "test-velero"
KINDS = {
    "schedules": ("Schedule", "v1"),
    "backups": ("Backup", "v1"),
    "backupstoragelocations": ("BackupStorageLocation", "v1"),
    "podvolumebackups": ("PodVolumeBackup", "v1"),
    "datauploads": ("DataUpload", "v2alpha1"),
}
# The requirement's other half is not asked: without --allow-disruption it is NOT PROVEN.
RESTORE = {
    "customers": {"demo": {"database": "odoo_demo", "folder": "/tmp/data"}},
    **{
        side: {
            "machine": machine,
            "server": {"machine": machine, "address": "127.0.0.1", "password_file": "/none"},
            "backups": "/tmp/backups",
            **more,
        }
        for side, machine, more in (
            ("source", "vmi2887101", {}),
            ("target", "vmi2887102", {"folder": "/tmp/restored", "psql": ["psql"]}),
        )
    },
    "heartbeat": {"write": "select 1", "newest": "select now()"},
    "answer": {"sql": "select true", "says": "True"},
}
SCHEDULES = [{"name": "platform-daily", "within_h": 26, "claims": ["saasodoo/postgres-1"]}]


def kind(plural: str) -> dict[str, Any]:
    """A kind of Velero's, with an open schema."""
    name, version = KINDS[plural]
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.velero.io"},
        "spec": {
            "group": "velero.io",
            "scope": "Namespaced",
            "names": {"plural": plural, "kind": name},
            "versions": [
                {
                    "name": version,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": schema},
                }
            ],
        },
    }


@pytest.fixture
def velero(world: World) -> Iterator[objects.Namespace]:
    with objects.namespace(world, SPACE) as space:
        names = [f"{plural}.velero.io" for plural in KINDS]
        try:
            space.apply(*(kind(plural) for plural in KINDS))
            yield space
        finally:
            world.kubectl("delete", "crd", *names, "--wait=false", "--ignore-not-found")


def night(space: objects.Namespace) -> dict[str, Any]:
    """Velero's objects after a whole backup: it began just now, when the claim was there."""
    there = served(time.time())
    for plural, (name, version) in KINDS.items():
        for item in next(it for path, it in there.items() if path.endswith(f"/{plural}"))["items"]:
            item.update(apiVersion=f"velero.io/{version}", kind=name)
            item["metadata"]["namespace"] = space.name
            # These are the API's own to give.
            for field in ("uid", "creationTimestamp"):
                item["metadata"].pop(field, None)
    space.apply(one(there, "backups"))
    made = space.get("backups.velero.io", BACKUP)["metadata"]
    one(there, "datauploads")["metadata"]["labels"]["velero.io/backup-uid"] = made["uid"]
    # Velero makes the object before it begins; one that is younger than its end came by the bucket.
    times = dict.fromkeys(("startTimestamp", "completionTimestamp"), made["creationTimestamp"])
    one(there, "backups")["status"].update(times)
    return there


@pytest.mark.defect(
    "every declared schedule of the cluster's backups runs",
    "the newest backup of each schedule is whole and young",
    "the declared claims are in it, with their data",
)
def test_a_paused_schedule_a_partly_failed_backup_and_an_empty_volume_are_found(
    world: World, velero: objects.Namespace
) -> None:
    text = yaml.safe_dump(
        {"restore": RESTORE, "velero": {"namespace": SPACE, "schedules": SCHEDULES}}, width=1000
    )
    profile = world.profile_with([("\nstack:", f"\n{text}\nstack:")])
    there = night(velero)

    def put() -> None:
        lists = [it["items"] for path, it in there.items() if "velero.io" in path]
        velero.apply(*(item for items in lists for item in items))

    put()
    ruling = world.gate("W9-BACKUP", cluster=profile)
    assert ruling.outcome("W9-BACKUP") == "not_proven", ruling.reason("W9-BACKUP")
    assert "platform-daily" not in ruling.reason("W9-BACKUP")
    assert "postgres-1" not in ruling.reason("W9-BACKUP")

    one(there, "schedules")["spec"]["paused"] = True
    one(there, "backups")["status"].update(phase="PartiallyFailed", errors=2)
    message = "volume was empty so no data was upload"
    one(there, "datauploads")["status"].update(snapshotID="", progress={}, message=message)
    put()
    says(
        world.gate("W9-BACKUP", cluster=profile),
        "W9-BACKUP",
        "platform-daily: expected a schedule that runs, seen it paused",
        f"platform-daily: expected a whole backup, seen {BACKUP} PartiallyFailed, 2 errors",
        f"saasodoo/postgres-1: expected its data in {BACKUP}, seen an empty volume: {message}",
    )
