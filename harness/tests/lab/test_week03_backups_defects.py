"""Seeded defects of W3-BACKUPS: a claim of the wrong kind, an extra claim, and a wrong layout."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from harness.core.waiting import until
from harness.tests.lab import objects
from harness.tests.lab.asking import ask
from harness.tests.lab.objects import Namespace
from harness.tests.lab.red import says
from harness.tests.lab.world import World

SHARED, ALONE = "one shared claim holds the backups", "no instance has a backup claim of its own"
LAYOUT = "backups lie as declared"
FILE = "acme_20251101_000000_database.sql"
CLAIM, PLATFORM, SPACE = "odoo-backups-storage", "saasodoo", "test-backups"


@pytest.fixture
def space(world: World) -> Iterator[Namespace]:
    with objects.namespace(world, SPACE) as one:
        yield one


def declaring(world: World, claim: str) -> str:
    """A profile whose backups are in the test's own claim."""
    ours = f"  claim: {CLAIM}\n  namespace: {PLATFORM}\n"
    return world.profile_with([(ours, f"  claim: {claim}\n  namespace: {SPACE}\n")])


def once(name: str, size: str) -> dict[str, Any]:
    """A claim that only one machine may write."""
    made = objects.claim(name, size)
    made["spec"]["accessModes"] = ["ReadWriteOnce"]
    return made


def folder(space: Namespace, claim: str) -> str:
    """The folder on CephFS of a claim's volume, once it is bound."""

    def volume() -> str:
        return str(space.get("pvc", claim).get("spec", {}).get("volumeName", ""))

    until(
        lambda: space.get("pvc", claim).get("status", {}).get("phase") == "Bound",
        within_s=120,
        what=f"claim {claim} is bound",
    )
    return str(space.get("pv", volume())["spec"]["hostPath"]["path"])


@pytest.mark.defect(
    "one shared claim holds the backups",
    "no instance has a backup claim of its own",
    "backups lie as declared",
)
def test_backups_in_one_shared_claim_are_proven_and_each_defect_is_found(
    world: World, space: Namespace
) -> None:
    found = ask(world.lab.name, "backup-claims", SHARED, ALONE, LAYOUT)
    assert {outcome for outcome, _ in found.values()} == {"pass"}, found

    at = folder(Namespace(world, PLATFORM), CLAIM)
    space.apply(once("acme-backup", "400Gi"))
    folder(space, "acme-backup")
    world.do(world.one, "rmdir", f"{at}/staging")
    world.do(world.one, "mv", f"{at}/active/{FILE}", f"{at}/{FILE}")
    try:
        says(
            world.gate("W3-BACKUPS"),
            "W3-BACKUPS",
            f"{SPACE}/acme-backup: expected no backup claim beside the shared one",
            "expected a folder staging/, seen none",
            f"expected only active/, staging/ and temp/ at the top, seen the file {FILE}",
        )
    finally:
        world.do(world.one, "mv", f"{at}/{FILE}", f"{at}/active/{FILE}")
        world.do(world.one, "mkdir", f"{at}/staging")
    # The same claim, declared to be the shared one, is of the wrong kind.
    found = ask(declaring(world, "acme-backup"), "backup-claims", SHARED)
    outcome, reason = found[SHARED]
    assert outcome == "fail"
    assert "expected it to be ReadWriteMany, seen ReadWriteOnce" in reason
    assert "expected 500 GiB, seen 400" in reason
