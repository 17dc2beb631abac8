"""Seeded defects of W7-INSTANCE, W7-DATABASE and W9-JOURNEY: a platform that forgets its limits."""

from __future__ import annotations

import re
import shutil

import pytest
import yaml

from harness.tests.lab.flawed import flawed
from harness.tests.lab.red import says
from harness.tests.lab.test_week05_databases import sql
from harness.tests.lab.world import World

LIMIT = """
targets:
  W7-INSTANCE:
    provision_minutes: {number: 0.001, because: no platform is as fast}
"""


CREATE = "does: create\n        "
MADE_AND_DELETED = ("sign up", "subscribe", "create", "delete")
# A deleted instance stops within a few seconds; what a defect leaves stays for good.
DELETED_S, GONE_S = 25, 10


def deleted_at_once(world: World) -> str:
    """No instance is there in time, each is deleted unused, and what stays is waited for shortly.

    The steps that are left out are walked by the customer who goes the whole way.
    """
    section = world.section("journeys")
    declared = yaml.safe_load(section)
    journeys = declared["journeys"]
    steps = [it for it in journeys["instance"]["steps"] if it["does"] in MADE_AND_DELETED]
    steps[-1] = {**steps[-1], "within_s": DELETED_S}
    journeys["instance"] = {**journeys["instance"], "steps": steps}
    journeys["leftovers"]["gone_within_s"] = GONE_S
    return world.profile_with([(section, yaml.safe_dump(declared)), ("\ntargets:\n", LIMIT)])


@pytest.mark.slow
def test_a_customer_goes_the_whole_way_and_moves_to_a_server_of_its_own(world: World) -> None:
    asked = ("W7-INSTANCE", "W7-DATABASE")
    ruling = world.gate(*asked, disrupt=True, within_s=900)
    assert [ruling.outcome(it) for it in asked] == ["pass", "pass"], [
        ruling.reason(it) for it in asked
    ]


@pytest.mark.defect("what it made is as it was asked for")
@pytest.mark.defect("the deletion leaves nothing behind")
@pytest.mark.defect("the instance is there in time")
@pytest.mark.defect("the customer is removed again")
def test_storage_without_a_limit_and_each_kind_of_leftover_is_found(world: World) -> None:
    defects = "no-quota,leave-object,leave-claim,leave-database,leave-role"
    with flawed(world, {"instance-service": defects}):
        ruling = world.gate(
            "W7-INSTANCE", cluster=deleted_at_once(world), disrupt=True, within_s=600
        )
    says(
        ruling,
        "W7-INSTANCE",
        "expected size 10 GiB, seen 1024 GiB",
        "expected a quota of 10 GiB, a pod sees 1024 GiB",
        "expected within 0.001 min",
        "Service saasodoo/odoo-c",
        "PersistentVolumeClaim saasodoo/odoo-instance-",
        "PersistentVolume pvc-",
        "database odoo_c",
        "role odoo_c",
    )
    found = re.search("odoo-(c[0-9a-f]{8})-([0-9a-f]{8})", ruling.reason("W7-INSTANCE"))
    assert found is not None
    world.kubectl(
        "--namespace=saasodoo", "delete", "service,pvc", f"--selector=instance={found[0]}"
    )
    for what in ("database", "role"):
        sql(world, "postgres", f"drop {what} odoo_{found[1]}_{found[2]}")


@pytest.mark.defect("every step of the journey is done")
@pytest.mark.defect("the pages report no error")
def test_a_field_of_another_name_stops_the_customer_and_pages_with_errors_are_found(
    world: World,
) -> None:
    soon = [(f"{CREATE}within_s: 180", f"{CREATE}within_s: 12")]
    pages = "script-error,blocked-resource"
    with flawed(world, {"instance-service": "renamed-field", "frontend-service": pages}):
        profile = world.profile_with(soon)
        ruling = world.gate("W9-JOURNEY", cluster=profile, disrupt=True, within_s=600)
    says(ruling, "W9-JOURNEY", "expected /status", "seen none")
    if shutil.which("chromium") is not None:
        script = "script: ReferenceError: statistics is not defined"
        # Nothing answers there: Chromium says its status, or that it kept another site's page out.
        says(ruling, "W9-JOURNEY", script, "seen GET http://static.lab.example/style.css: ")
