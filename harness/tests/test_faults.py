"""The contract of every fault in the table."""

from __future__ import annotations

from random import Random

import pytest

from harness.faults import FAULTS
from harness.faults.fault import Fault
from harness.faults.model import Act, Undo
from harness.tests.fault_examples import EXAMPLES, whole_cluster
from harness.transport.reading import reading

each_fault = pytest.mark.parametrize("fault", EXAMPLES, ids=lambda fault: fault.name)


def test_every_fault_of_the_table_has_an_example() -> None:
    assert {fault.name for fault in EXAMPLES} == set(FAULTS)


@each_fault
def test_a_fault_comes_back_from_json_unchanged(fault: Fault) -> None:
    assert type(fault).model_validate_json(fault.model_dump_json()) == fault


@each_fault
def test_its_undo_comes_back_from_json_unchanged(fault: Fault) -> None:
    undo = fault.arm(whole_cluster(), 30)
    assert Undo.model_validate_json(undo.model_dump_json()) == undo
    assert undo.id == fault.id


@each_fault
def test_all_but_injecting_and_healing_only_reads(fault: Fault) -> None:
    watched = reading(whole_cluster(), scripts=())
    resolved = fault.resolved(watched, Random(1))
    assert resolved.refuse(watched) is None
    assert resolved.arm(watched, 30)
    assert list(resolved.acts(watched))
    resolved.active(watched)
    resolved.healed(watched)


@each_fault
def test_a_whole_cluster_is_not_seen_as_broken(fault: Fault) -> None:
    whole = whole_cluster()
    assert not fault.resolved(whole, Random(1)).active(whole)


@each_fault
def test_its_acts_are_argument_lists_for_a_known_place(fault: Fault) -> None:
    whole = whole_cluster()
    for act in fault.acts(whole):
        assert isinstance(act, Act)
        assert act.place in ("one", "two", "here", "api")
        assert all(act.argv)


@each_fault
def test_it_says_what_it_is_in_its_docstring(fault: Fault) -> None:
    assert (type(fault).__doc__ or "").strip()
