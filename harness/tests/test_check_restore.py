"""W5-RESTORE and W9-BACKUP: what a round trip proves, what fails, and what proves nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from harness.checks import CHECKS, restore
from harness.core.declared import RestoreDeclared
from harness.core.model import Outcome, Verdict
from harness.facts.restore import Step
from harness.settings.restore import Restore
from harness.tests.clean_case import case, clean
from harness.tests.clean_cluster import CLUSTER

WHOLE = "a whole backup of the customer is made"
NOTICED = "the inspection notices every known defect"
ROWS = "the restored database is the customer's"
FILES = "the restored files are the customer's"
MOMENT = "every restored row finds its file"
SERVED = "the restored customer is served in time"
LOST = "little enough work is lost"
LEFT = "the restore leaves nothing behind"
Change = Callable[[Any], object]


def judged(check: str, change: Change, declared: RestoreDeclared | None = None) -> Verdict:
    seen = clean()
    change(seen["restore"][CLUSTER.name])
    there = case(seen)
    if declared is not None:
        there = replace(there, cluster=replace(CLUSTER, restore=declared))
    return CHECKS[check](there)


def table(it: Any) -> Any:
    return it["compared"]["tables"]["public.invoices"]


def differs(it: Any) -> None:
    table(it).update(target={"rows": 8, "sha256": "bb"}, differing=1)


def moves(it: Any) -> None:
    differs(it)
    it.update(written={"public.invoices": 1})


def ended(step: Step, says: str = "it broke", *, at_fault: bool) -> Change:
    def change(it: Any) -> None:
        steps = list(Step)
        reached = steps.index(step)
        gone = {
            Step.INSPECT: ("backup",),
            Step.ANSWER: ("rto_s", "rpo_s"),
            Step.DATABASE: ("compared",),
            Step.FILES: ("files", "attachments"),
        }
        for late, keys in gone.items():
            if steps.index(late) >= reached:
                it.update(dict.fromkeys(keys))
        it.update(noticed={}, stopped={"step": step, "says": says, "at_fault": at_fault})

    return change


@pytest.mark.parametrize(
    ("check", "measured"),
    [
        (WHOLE, {}),
        (NOTICED, {"undetected_count": 0}),
        (ROWS, {"differences_count": 0}),
        (FILES, {"differences_count": 0}),
        (MOMENT, {"differences_count": 0}),
        (SERVED, {"rto_minutes": 8}),
        (LOST, {"rpo_minutes": 1}),
        (LEFT, {}),
    ],
)
def test_a_customer_that_comes_back_passes(check: str, measured: dict[str, float]) -> None:
    verdict = judged(check, lambda _: None)
    assert (verdict.outcome, verdict.measured) == (Outcome.PASS, measured)


@pytest.mark.parametrize(
    ("check", "change", "says"),
    [
        (
            WHOLE,
            lambda it: it["backup"].update(faults=[["cut", "the dump ends"]]),
            "odoo_demo_20261129: cut: the dump ends",
        ),
        (WHOLE, ended(Step.MAKE, at_fault=True), "demo: making the backup: it broke"),
        (SERVED, ended(Step.RESTORE, at_fault=True), "demo: restoring it elsewhere: it broke"),
        (SERVED, ended(Step.ANSWER, at_fault=True), "first right answer: it broke"),
        (SERVED, lambda it: it.update(rto_s=1860.0), "within 30 min, seen 31.0 min"),
        (LOST, lambda it: it.update(rpo_s={"value": 960.0}), "at most 15 min of work lost, seen"),
        (NOTICED, lambda it: it["noticed"].update({"empty dump": False}), "empty dump: expected"),
        (ROWS, differs, "public.invoices: expected the same rows, seen 7 and 8"),
        (
            ROWS,
            lambda it: it["compared"].update(
                catalogue={"value": [{"object": "index x", "source": "i", "target": None}]}
            ),
            "index x: expected it on both sides",
        ),
        (
            ROWS,
            lambda it: it["compared"]["sequences"]["value"]["public.id"].update(target=8),
            "public.id: expected 7, seen 8",
        ),
        (
            ROWS,
            lambda it: it["compared"].update(unsound={"value": {"by_name": "it lacks"}}),
            "expected an index that fits its table",
        ),
        (
            FILES,
            lambda it: it["files"].update(counts={"removed": 2}, first=[["ab/x", "removed"]]),
            "demo: 2 files were not restored: ab/x (removed)",
        ),
        (
            MOMENT,
            lambda it: it["attachments"].update(without_file=1, first=["ab/x"]),
            "demo: 1 rows name a missing file: ab/x",
        ),
        (
            MOMENT,
            lambda it: it["attachments"].update(without_row=4),
            "expected 1 files that no row names, seen 4",
        ),
    ],
)
def test_a_customer_that_does_not_come_back_fails(check: str, change: Change, says: str) -> None:
    verdict = judged(check, change)
    assert verdict.outcome is Outcome.FAIL
    assert says in verdict.reason


@pytest.mark.parametrize(
    ("check", "change", "says"),
    [
        (WHOLE, ended(Step.MAKE, at_fault=False), "it ended while making the backup: it broke"),
        (ROWS, ended(Step.MAKE, at_fault=True), "it ended while making the backup"),
        (FILES, ended(Step.RESTORE, at_fault=True), "it ended while restoring it elsewhere"),
        (MOMENT, ended(Step.DATABASE, at_fault=False), "it ended while comparing the database"),
        (SERVED, ended(Step.RESTORE, at_fault=False), "it ended while restoring it elsewhere"),
        (LOST, ended(Step.ANSWER, at_fault=True), "it ended while waiting"),
        (NOTICED, ended(Step.FILES, at_fault=False), "it ended while comparing the files"),
        (LOST, lambda it: it.update(rpo_s={"error": "no heartbeat"}), "no heartbeat"),
        (ROWS, lambda it: it.update(compared={"error": "connection lost"}), "connection lost"),
        (FILES, lambda it: it.update(files={"error": "it is not whole"}), "it is not whole"),
        (FILES, lambda it: it["files"].update(files=0), "nothing was compared"),
        (FILES, lambda it: it["files"].update(newer=3), "3 files differ, and each was written"),
        (FILES, lambda it: it["files"].update(counts={"unread": 1}), "1 files could not be read"),
        (ROWS, moves, "public.invoices was written at the source"),
        (
            ROWS,
            lambda it: it["compared"].update(unsound={"error": "no extension amcheck"}),
            "no extension amcheck",
        ),
        (LEFT, lambda it: it.update(left=["x: no route"]), "it could not be removed: x: no route"),
    ],
)
def test_what_was_not_seen_proves_nothing(check: str, change: Change, says: str) -> None:
    verdict = judged(check, change)
    assert verdict.outcome is Outcome.NOT_PROVEN
    assert says in verdict.reason


def mutated(it: Any) -> None:
    table(it).update(target={"rows": 8, "sha256": "bb"}, mutated=3)


def test_rows_that_differ_as_declared_pass_with_their_number() -> None:
    verdict = judged(ROWS, mutated, RestoreDeclared(mutations={"public.invoices": 3}))
    assert verdict.outcome is Outcome.PASS
    assert "but for 3 rows that differ as declared" in verdict.reason
    verdict = judged(ROWS, mutated, RestoreDeclared(mutations={"public.invoices": 2}))
    assert verdict.reason == "public.invoices: expected 2 declared mutations, seen 3"


def test_an_object_that_differs_on_purpose_passes() -> None:
    def change(it: Any) -> None:
        role = {"object": "role odoo", "source": "login", "target": None}
        it["compared"].update(catalogue={"value": [role]})

    assert judged(ROWS, change).outcome is Outcome.FAIL
    declared = RestoreDeclared(different={"role *": "roles belong to the server"})
    assert judged(ROWS, change, declared).outcome is Outcome.PASS


def test_a_customer_without_attachments_has_none_to_find() -> None:
    assert judged(MOMENT, lambda it: it.update(attachments=None)).outcome is Outcome.PASS


def test_every_check_has_a_case_here() -> None:
    assert set(restore.CHECKS) == {WHOLE, NOTICED, ROWS, FILES, MOMENT, SERVED, LOST, LEFT}


SIDE = {
    "machine": "one",
    "server": {"machine": "one", "address": "127.0.0.1", "password_file": "/x"},
    "backups": "/mnt/backups",
}
RESTORE: dict[str, Any] = {
    "customers": {"demo": {"database": "odoo_demo", "folder": "/mnt/data"}},
    "source": SIDE,
    "target": {**SIDE, "machine": "two", "folder": "/mnt/restored"},
    "heartbeat": {"newest": "select now()"},
    "answer": {"sql": "select 1", "says": "1"},
}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"target": {**SIDE, "folder": "/mnt/restored"}}, "must be another machine"),
        ({"source": {**SIDE, "namespace": "saasodoo"}}, "say either"),
        ({"answer": {"says": "1"}}, "say either"),
        ({"answer": {"sql": "select 1", "command": ["curl"], "says": "1"}}, "say either"),
        ({"customers": {}}, "at least 1"),
        ({"customers": {"demo": {"database": 'x"; drop', "folder": "/x/y"}}}, "pattern"),
        ({"target": {**SIDE, "machine": "two", "folder": "/"}}, "pattern"),
    ],
)
def test_a_restore_that_cannot_be_meant_is_refused(changes: dict[str, Any], says: str) -> None:
    assert Restore.model_validate(RESTORE).layout == "files"
    with pytest.raises(ValidationError, match=says):
        Restore.model_validate({**RESTORE, **changes})
